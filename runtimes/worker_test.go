package runtimes_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sharedcloud.io/function-operator/runtimes"
)

// language is an interpreter and the runtime whose runner it runs.
type language struct {
	runtime string
	path    string
}

// code returns the source that is written in this language.
func (l language) code(python, node string) string {
	if l.node() {
		return node
	}
	return python
}

func (l language) node() bool    { return strings.HasPrefix(l.runtime, "node") }
func (l language) python2() bool { return l.runtime == "python27" }

// The tests need Python 3 and Node; they use Python 2.7 if it is installed.
var (
	python3 = sync.OnceValues(func() (language, error) { return pythonOf("python311", "python3", "3.") })
	python2 = sync.OnceValues(func() (language, error) { return pythonOf("python27", "python2.7", "2.7") })
	node    = sync.OnceValues(func() (language, error) { return nodeAt("node") })
)

// pythonOf finds a working interpreter: on PATH, or where pyenv keeps its versions.
func pythonOf(runtime, name, version string) (language, error) {
	candidates := []string{name}
	if root := os.Getenv("PYENV_ROOT"); root != "" {
		found, err := filepath.Glob(filepath.Join(root, "versions", version+"*", "bin", name))
		if err != nil {
			return language{}, err
		}
		candidates = append(candidates, found...)
	}
	for _, candidate := range candidates {
		// The file on PATH may be a script that starts the interpreter.
		path, err := exec.Command(candidate, "-c", "import sys; sys.stdout.write(sys.executable)").Output()
		if err == nil {
			return language{runtime, string(path)}, nil
		}
	}
	return language{}, fmt.Errorf("the tests of the runners need a working %s on PATH (Debian: apt-get install %s)", name, name)
}

func nodeAt(name string) (language, error) {
	path, err := exec.Command(name, "-e", "process.stdout.write(process.execPath)").Output()
	if err != nil {
		return language{}, fmt.Errorf("the tests of the runners need a working %s (Debian: apt-get install nodejs): %w", name, err)
	}
	return language{"node20", string(path)}, nil
}

func needPython3(t testing.TB) language { return need(t, python3) }

func needNode(t testing.TB) language { return need(t, node) }

func need(t testing.TB, find func() (language, error)) language {
	t.Helper()
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// eachPython runs a test with Python 3, and with Python 2.7 if it is installed.
func eachPython(t *testing.T, test func(t *testing.T, in language)) {
	t.Run("python3", func(t *testing.T) {
		t.Parallel()
		test(t, needPython3(t))
	})
	t.Run("python2.7", func(t *testing.T) {
		t.Parallel()
		in, err := python2()
		if err != nil {
			t.Skipf("not run with Python 2.7, of which only the grammar is checked: %v", err)
		}
		test(t, in)
	})
}

// otherNodes is an environment variable: paths of further Node interpreters to test with, separated by colons. Node 8 is the
// oldest supported version.
const otherNodes = "RUNTIMES_TEST_NODES"

// eachNode runs a test with the Node on PATH, and with those in the environment variable.
func eachNode(t *testing.T, test func(t *testing.T, in language)) {
	for i, name := range append([]string{"node"}, filepath.SplitList(os.Getenv(otherNodes))...) {
		t.Run(fmt.Sprintf("node-%d", i), func(t *testing.T) {
			t.Parallel()
			in, err := nodeAt(name)
			if err != nil {
				t.Fatal(err)
			}
			test(t, in)
		})
	}
}

// eachLanguage runs a test of behaviour that all runners share.
func eachLanguage(t *testing.T, test func(t *testing.T, in language)) {
	eachPython(t, test)
	eachNode(t, test)
}

// worker is a supervisor with its files and output.
type worker struct {
	t      testing.TB
	cmd    *exec.Cmd
	first  bool // process 1 of its own namespace
	folder string
	stdout buffer
	stderr buffer
	ended  chan struct{}
	token  string
	edits  []string // replacements in the runner's text
	prefix []string // a command that starts the worker
}

// buffer can be read while it is written.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

type option func(*worker)

// asProcessOne starts the supervisor as it runs in a container: as process 1 of a process namespace.
func asProcessOne(w *worker) { w.first = true }

func withEnv(pairs ...string) option {
	return func(w *worker) { w.cmd.Env = append(w.cmd.Env, pairs...) }
}

// edited replaces text of the runner, usually a constant that would make a test slow.
func edited(old, text string) option {
	return func(w *worker) { w.edits = append(w.edits, old, text) }
}

func named(token string) option {
	return func(w *worker) { w.token = token }
}

// start runs a worker of the exchange with this code until the test ends.
func start(t testing.TB, in language, e *exchange, code string, options ...option) *worker {
	t.Helper()
	runtime, ok := runtimes.Lookup(in.runtime)
	if !ok {
		t.Fatalf("%s is not a runtime", in.runtime)
	}
	w := &worker{t: t, folder: t.TempDir(), ended: make(chan struct{}), token: "worker"}
	ctx, cancel := context.WithCancel(context.Background())
	w.cmd = exec.CommandContext(ctx, in.path)
	for _, o := range options {
		o(w)
	}
	w.write("code/"+runtime.HandlerFile, code)
	runner := strings.NewReplacer(w.edits...).Replace(runtime.Runner)
	if len(w.edits) > 0 && runner == runtime.Runner {
		t.Fatalf("the runner does not contain what the test edits: %q", w.edits)
	}
	w.write("runner/"+runtime.RunnerFile, runner)
	w.write("identity/token", w.token)
	arguments := append([]string{in.path}, runtime.Command[1:]...)
	arguments = append(arguments, w.path("runner/"+runtime.RunnerFile))
	if w.first {
		// The supervisor ends with unshare.
		arguments = append([]string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"}, arguments...)
		if os.Geteuid() != 0 {
			arguments = append([]string{"unshare", "--user", "--map-root-user"}, arguments[1:]...)
		}
	}
	arguments = append(w.prefix, arguments...)
	path, err := exec.LookPath(arguments[0])
	if err != nil {
		t.Fatalf("%v (Debian: apt-get install util-linux)", err)
	}
	w.cmd.Path, w.cmd.Args = path, arguments
	w.cmd.Env = append(append(os.Environ(), w.cmd.Env...),
		"SHAREDCLOUD_EXCHANGE_URL="+e.url+"/work/v1/namespaces/ns/runs/run/exchange",
		"SHAREDCLOUD_TOKEN_FILE="+w.path("identity/token"),
		"SHAREDCLOUD_CODE="+w.path("code/"+runtime.HandlerFile))
	w.cmd.Stdout, w.cmd.Stderr = &w.stdout, &w.stderr
	w.cmd.WaitDelay = 2 * time.Second
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = w.cmd.Wait()
		close(w.ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-w.ended
		if t.Failed() {
			e.check(t)
			t.Logf("the worker's stderr:\n%.4000s", w.stderr.String())
		}
	})
	return w
}

func (w *worker) path(name string) string { return filepath.Join(w.folder, name) }

func (w *worker) write(name, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.path(name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// pid of the supervisor, as this process sees it.
func (w *worker) pid() int {
	w.t.Helper()
	pid := w.cmd.Process.Pid
	if !w.first {
		return pid
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		w.t.Fatal(err)
	}
	inner, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		w.t.Fatalf("unshare has the children %q: %v", children, err)
	}
	return inner
}

// wait waits for the supervisor to exit, and returns its status.
func (w *worker) wait() int {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(90 * time.Second):
		w.t.Fatalf("the worker has not ended after 90 s; its stderr:\n%.4000s", w.stderr.String())
	}
	return w.cmd.ProcessState.ExitCode()
}

// finish waits for the worker to exit because nothing is left for it.
func (w *worker) finish() {
	w.t.Helper()
	if status := w.wait(); status != 0 {
		w.t.Fatalf("the worker exited with %d; its stderr:\n%.4000s", status, w.stderr.String())
	}
}

// leaves waits for the exit of a worker whose pod is ending: a status of 0 would complete its index.
func (w *worker) leaves() {
	w.t.Helper()
	if status := w.wait(); status != 143 {
		w.t.Fatalf("the worker exited with %d, not 143; its stderr:\n%.4000s", status, w.stderr.String())
	}
}

// run executes the whole run with one worker.
func run(t testing.TB, in language, e *exchange, code string, options ...option) *worker {
	t.Helper()
	w := start(t, in, e, code, options...)
	w.finish()
	e.check(t)
	return w
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// waitFor waits for a file that a handler makes when it begins.
func waitFor(t testing.TB, path string) {
	t.Helper()
	poll(t, path, func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

// waitForText waits for a text on the worker's stderr.
func waitForText(t testing.TB, w *worker, text string) {
	t.Helper()
	poll(t, text, func() bool { return strings.Contains(w.stderr.String(), text) })
}

func poll(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(60 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("there was no %s within 60 s", what)
		}
	}
}

func signalTo(t testing.TB, w *worker, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(w.pid(), signal); err != nil {
		t.Fatal(err)
	}
}
