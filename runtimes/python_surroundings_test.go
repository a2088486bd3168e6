package runtimes_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inImage starts a worker as an ordinary image does: as process 1 of a user that has neither a name nor a home, on a root file
// system that is read-only except for the folders, with 64 MiB in /dev/shm, which has a file already.
func inImage(t *testing.T, folders ...string) option {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not run: it mounts file systems and changes its user, which needs root")
	}
	const script = `mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm && touch /dev/shm/kept && chown 65532 /dev/shm/kept || exit
for folder in %s; do chmod 1777 "$folder" && mount --bind "$folder" "$folder" || exit; done
mount -o remount,bind,ro / || exit
exec setpriv --reuid=65532 --regid=65532 --clear-groups --inh-caps=-all --bounding-set=-all \
  env -u HOME -u USER -u LOGNAME -u LNAME -u USERNAME -u XDG_CACHE_HOME -u TMPDIR "$@"`
	return func(w *worker) {
		if err := os.Chmod(filepath.Dir(w.folder), 0o755); err != nil {
			t.Fatal(err)
		}
		w.prefix = []string{"unshare", "--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc",
			"sh", "-c", fmt.Sprintf(script, strings.Join(folders, " ")), "sh"}
	}
}

// reachable returns the interpreter if users other than root can start it.
func reachable(t *testing.T, in language) language {
	t.Helper()
	for folder := filepath.Dir(in.path); folder != "/"; folder = filepath.Dir(folder) {
		if info, err := os.Stat(folder); err == nil && info.Mode()&1 == 0 {
			if in.python2() {
				t.Skipf("not run: other users cannot enter %s, where this interpreter is", folder)
			}
			in.path = "/usr/bin/python3"
			break
		}
	}
	return in
}

func results(t *testing.T, e *exchange) []string {
	t.Helper()
	var got []string
	for i := range e.inputs {
		o := e.outcome(t, i)
		if o.Error != nil {
			got = append(got, o.Error.Type)
			continue
		}
		got = append(got, string(o.Result))
	}
	return got
}

func TestAnImageWithoutAccountAndHome(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		in = reachable(t, in)
		home := t.TempDir()
		e := newExchange(t, 1)
		run(t, in, e, `
import getpass, os, pwd, tempfile
def write(*parts):
    path = os.path.join(*parts)
    with open(path, 'w') as file:
        file.write('x')
    return path
def named():
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None
def handler(event):
    home = os.path.expanduser('~')
    temporary = tempfile.mkdtemp()
    write(temporary, 'x')
    import multiprocessing
    return {'home': home == os.environ['SHAREDCLOUD_HOME'], 'cache': os.path.dirname(write(home, '.cache', 'x')) == os.environ['XDG_CACHE_HOME'],
            'user': getpass.getuser(), 'environ': [os.environ['USER'], os.environ['LOGNAME']], 'passwd': named(),
            'temporary': os.path.dirname(os.path.dirname(temporary)) == home + '/.tmp', 'lock': multiprocessing.Lock() is not None}
`, inImage(t, home), withEnv("SHAREDCLOUD_HOME="+home))
		want := `{"cache":true,"environ":["worker","worker"],"home":true,"lock":true,"passwd":null,"temporary":true,"user":"worker"}`
		if diff := cmp.Diff(want, canonical(t, e.outcome(t, 0).Result)); diff != "" {
			t.Errorf("the surroundings (-want +got):\n%s\n%+v", diff, e.outcome(t, 0).Error)
		}
	})
}

func TestAHomeThatCanBeWrittenAndNamesThatAreSetAreKept(t *testing.T) {
	for name, tc := range map[string]struct {
		set  []string
		want string
	}{
		"all are set":                     {[]string{"HOME=FOLDER/a", "USER=me", "LOGNAME=I", "XDG_CACHE_HOME=FOLDER"}, `["FOLDER/a","me","I","FOLDER"]`},
		"a home that does not exist yet":  {[]string{"HOME=FOLDER/new", "USER=", "LOGNAME=I", "XDG_CACHE_HOME="}, `["FOLDER/new","I","I","FOLDER/new/.cache"]`},
		"a home that cannot be made":      {[]string{"HOME=/proc/none", "USER=me", "LOGNAME=", "XDG_CACHE_HOME=/dev/null"}, `["OWN","me","me","OWN/.cache"]`},
		"the home of an unknown user":     {[]string{"HOME=/", "USER=me", "LOGNAME=me", "XDG_CACHE_HOME="}, `["OWN","me","me","OWN/.cache"]`},
		"a cache that does not exist yet": {[]string{"HOME=FOLDER/a", "USER=me", "LOGNAME=me", "XDG_CACHE_HOME=FOLDER/b/c"}, `["FOLDER/a","me","me","FOLDER/b/c"]`},
		"a cache that cannot be written":  {[]string{"HOME=FOLDER/a", "USER=me", "LOGNAME=me", "XDG_CACHE_HOME=/dev/null"}, `["FOLDER/a","me","me","FOLDER/a/.cache"]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder, own := t.TempDir(), t.TempDir()
			if err := os.Mkdir(folder+"/a", 0o755); err != nil {
				t.Fatal(err)
			}
			place := strings.NewReplacer("FOLDER", folder, "OWN", own)
			e := newExchange(t, 1)
			run(t, needPython3(t), e, "import os\ndef handler(event):\n    return [os.environ[name] for name in ('HOME', 'USER', 'LOGNAME', 'XDG_CACHE_HOME')]\n",
				withEnv("SHAREDCLOUD_HOME="+own), func(w *worker) {
					for _, pair := range tc.set {
						w.cmd.Env = append(w.cmd.Env, place.Replace(pair))
					}
				})
			if got := string(e.outcome(t, 0).Result); got != place.Replace(tc.want) {
				t.Errorf("the child has %s, not %s", got, place.Replace(tc.want))
			}
		})
	}
}

func TestTemporaryFilesAreRemovedWithTheirProcess(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		folder := t.TempDir()
		e := newExchange(t, 4)
		e.timeout = 2
		run(t, in, e, `
import os, tempfile, time
def handler(event):
    before = sorted(os.listdir(tempfile.gettempdir()))
    if event[0] == 1:
        inner = tempfile.mkdtemp(prefix='left')
        open(os.path.join(inner, 'file'), 'w').close()
        os.chmod(inner, 0)
        os._exit(1)
    if event[0] == 2:
        tempfile.mkstemp()
        time.sleep(600)
    return [before, os.path.dirname(tempfile.gettempdir()), [name for name in os.listdir(os.environ['HOME']) if name != '.cache']]
`, withEnv("TMPDIR="+folder, "HOME=/"))
		succeeded := `[[],"` + folder + `",[]]`
		if diff := cmp.Diff([]string{succeeded, "ProcessExited", "TimeLimitExceeded", succeeded}, results(t, e)); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
		if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
			t.Errorf("the worker has left %v (%v)", left, err)
		}
	})
}

// leaves is a handler that takes memory outside its process, and ends or does not end: input 1 dies and 3 exceeds its time limit.
// The others return what they find.
const leaves = `
import ctypes, mmap, os, time
libc = ctypes.CDLL(None)
def handler(event):
    if event[0] % 2:
        os.mkdir('/dev/shm/folder')
        for path in ('/dev/shm/file', '/dev/shm/folder/file'):
            with open(path, 'wb') as file:
                file.write(b'x' * (20 << 20))
        for number in (libc.shmget(0, 4096, 0o1600), libc.semget(0, 1, 0o1600), libc.msgget(0, 0o1600)):
            assert number >= 0
        if event[0] == 1:
            os._exit(1)
        time.sleep(600)
    return [sorted(os.listdir('/dev/shm')), [len(open('/proc/sysvipc/' + kind).readlines()) - 1 for kind in ('shm', 'sem', 'msg')]]
`

func TestWhatAProcessLeavesInSharedMemoryIsRemoved(t *testing.T) {
	for name, tc := range map[string]struct {
		owner string
		want  string // of the inputs after the first that dies
	}{
		"of the worker's own":               {owner: "worker", want: `[["kept"],[0,0,0]]`},
		"as a container runtime mounts it":  {want: `[["kept"],[0,0,0]]`},
		"but not in a volume of the user's": {owner: "user", want: `[["file","folder","kept"],[1,1,1]]`},
	} {
		t.Run(name, func(t *testing.T) {
			eachPython(t, func(t *testing.T, in language) {
				in = reachable(t, in)
				home := t.TempDir()
				e := newExchange(t, 5)
				e.timeout = 2
				var options []option
				if tc.owner != "" {
					options = append(options, withEnv("SHAREDCLOUD_SHARED_MEMORY_OWNER="+tc.owner))
				}
				run(t, in, e, leaves, append(options, inImage(t, home), withEnv("SHAREDCLOUD_HOME="+home))...)
				second := "TimeLimitExceeded"
				if tc.owner == "user" {
					second = map[bool]string{true: "OSError", false: "FileExistsError"}[in.python2()]
				}
				if diff := cmp.Diff([]string{`[["kept"],[0,0,0]]`, "ProcessExited", tc.want, second, tc.want}, results(t, e)); diff != "" {
					t.Errorf("outcomes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestTheSharedMemoryOfADevelopersMachineIsNotTouched(t *testing.T) {
	in := needPython3(t)
	file := fmt.Sprintf("/dev/shm/runtimes-test-%d", os.Getpid())
	t.Cleanup(func() { _ = os.Remove(file) })
	e := newExchange(t, 2)
	run(t, in, e, fmt.Sprintf("import os\ndef handler(event):\n    if event[0] == 0:\n        open(%[1]q, 'w').close()\n        os._exit(1)\n    return os.path.exists(%[1]q)\n", file))
	if got := string(e.outcome(t, 1).Result); got != "true" {
		t.Errorf("the file exists: %s", got)
	}
}

func TestFullSharedMemoryIsNamedWithWhatToDo(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		in = reachable(t, in)
		home := t.TempDir()
		e := newExchange(t, 4)
		run(t, in, e, `
import mmap, os
def handler(event):
    size = (200 if event[0] == 1 else 2) << 20
    with open('/dev/shm/segment', 'w+b') as file:
        file.truncate(size)
        if event[0] == 2:
            file.write(b'x' * (100 << 20))
        memory = mmap.mmap(file.fileno(), size)
    for position in range(0, size, 4096):
        memory[position:position + 1] = b'x'
    os.unlink('/dev/shm/segment')
    return size >> 20
`, inImage(t, home), withEnv("SHAREDCLOUD_HOME="+home, "SHAREDCLOUD_SHARED_MEMORY_OWNER=worker"))
		const advice = "/dev/shm is full (64 MiB): to get more shared memory, set spec.pod.sharedMemory of the Function"
		expected{status: "Failed", crash: true, kind: "ProcessKilled", message: advice}.compare(t, e.outcome(t, 1))
		if o := e.outcome(t, 2); o.Error == nil || !strings.Contains(o.Error.Traceback, advice) {
			t.Errorf("the exception of a full file system is %+v", o.Error)
		}
		for _, index := range []int{0, 3} {
			expected{status: "Succeeded", result: "2"}.compare(t, e.outcome(t, index))
		}
	})
}

func TestThreadsFollowTheCPULimit(t *testing.T) {
	const code = "import os\ndef handler(event):\n    return [os.environ.get(name) for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'NUMEXPR_NUM_THREADS', 'NUMBA_NUM_THREADS')]\n"
	for name, tc := range map[string]struct {
		files map[string]string
		set   []string
		want  string
	}{
		"version 2":                   {files: map[string]string{"cgroup.controllers": "cpu\n", "cpu.max": "150000 100000\n"}, want: `["2","2","2","2","2"]`},
		"version 2, less than one":    {files: map[string]string{"cgroup.controllers": "cpu\n", "cpu.max": "5000 100000\n"}, want: `["1","1","1","1","1"]`},
		"version 2, no limit":         {files: map[string]string{"cgroup.controllers": "cpu\n", "cpu.max": "max 100000\n"}, want: `[null,null,null,null,null]`},
		"version 1":                   {files: map[string]string{"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, want: `["3","3","3","3","3"]`},
		"version 1, no limit":         {files: map[string]string{"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, want: `[null,null,null,null,null]`},
		"the user's own for one":      {files: map[string]string{"cgroup.controllers": "cpu\n", "cpu.max": "400000 100000\n"}, set: []string{"MKL_NUM_THREADS=9"}, want: `["4","4","9","4","4"]`},
		"the user's own for most":     {files: map[string]string{"cgroup.controllers": "cpu\n", "cpu.max": "400000 100000\n"}, set: []string{"OMP_NUM_THREADS=9"}, want: `["9",null,null,null,"4"]`},
		"no cgroup that can be found": {want: `[null,null,null,null,null]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for file, text := range tc.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, file)), 0o755); err != nil {
					t.Fatal(err)
				}
				writeFile(t, filepath.Join(folder, file), text)
			}
			e := newExchange(t, 1)
			run(t, needPython3(t), e, code, edited("'/sys/fs/cgroup'", fmt.Sprintf("%q", folder)), withEnv(tc.set...))
			if got := string(e.outcome(t, 0).Result); got != tc.want {
				t.Errorf("the child has %s, not %s", got, tc.want)
			}
		})
	}
}

// canonical returns JSON with its keys in order.
func canonical(t *testing.T, data []byte) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
