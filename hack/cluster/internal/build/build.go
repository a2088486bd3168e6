// Package build makes the cluster's programs from the nested module, each once
// for the sources it is made of, and says how far it is: the first build of
// Kubernetes takes many minutes.
package build

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
	"sharedcloud.io/function-operator/hack/cluster/internal/say"
)

// Program is one binary that the module makes.
type Program struct {
	Name    string   // of the file, and of the folder in cmd/
	Sources []string // files and folders, relative to the module, that its hash covers
	LDFlags string
}

// Programs returns what a cluster is made of; version is Kubernetes'.
func Programs(version string) []Program {
	return []Program{
		{Name: "kubernetes", Sources: []string{"go.mod", "go.sum", "cmd/kubernetes", "internal/multicall"}, LDFlags: "-s -w " + versionFlags(version)},
		{Name: "nodetool", Sources: []string{"go.mod", "go.sum", "cmd/nodetool", "internal/gpu", "internal/node", "internal/sandbox"}, LDFlags: "-s -w"},
		{Name: "pause", Sources: []string{"cmd/pause"}, LDFlags: "-s -w"},
	}
}

// versionFlags makes Kubernetes' programs say their own version, which clients
// compare with theirs; without them they say v0.0.0-master.
func versionFlags(version string) string {
	major, minor := "", ""
	if parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3); len(parts) == 3 {
		major, minor = parts[0], parts[1]
	}
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, kv := range [][2]string{
			{"gitVersion", version}, {"gitMajor", major}, {"gitMinor", minor},
			{"gitCommit", "module"}, {"gitTreeState", "clean"}, {"buildDate", "1970-01-01T00:00:00Z"},
		} {
			flags = append(flags, fmt.Sprintf("-X %s.%s=%s", pkg, kv[0], kv[1]))
		}
	}
	return strings.Join(flags, " ")
}

// KubernetesVersion reads the version that go.mod asks for.
func KubernetesVersion(goMod []byte) (string, error) {
	for line := range strings.Lines(string(goMod)) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "k8s.io/kubernetes" {
			return fields[1], nil
		}
	}
	return "", errors.New("hack/cluster/go.mod does not require k8s.io/kubernetes: restore it from git")
}

// Built is where the programs are.
type Built struct{ Kubernetes, Nodetool, Pause string }

// All builds what is missing and points the symlinks at it. Another build in
// the same checkout is waited for: two at once would take three times as long.
func All(ctx context.Context, repo layout.Repo, r *say.Reporter) (Built, error) {
	goMod, err := os.ReadFile(filepath.Join(repo.Module(), "go.mod"))
	if err != nil {
		return Built{}, err
	}
	version, err := KubernetesVersion(goMod)
	if err != nil {
		return Built{}, err
	}
	unlock, err := lock(repo, r)
	if err != nil {
		return Built{}, err
	}
	defer unlock()

	paths := map[string]string{}
	for _, p := range Programs(version) {
		if paths[p.Name], err = one(ctx, repo, p, r); err != nil {
			return Built{}, err
		}
	}
	built := Built{Kubernetes: paths["kubernetes"], Nodetool: paths["nodetool"], Pause: paths["pause"]}
	return built, link(repo, built)
}

// lock holds the build lock of the checkout until it's called back or the
// process ends.
func lock(repo layout.Repo, r *say.Reporter) (func(), error) {
	if err := os.MkdirAll(repo.Built(), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(repo.Built(), "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		s := r.Step("Another build is running in this checkout; waiting for it")
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		s.Done("over")
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { _ = f.Close() }, nil
}

func one(ctx context.Context, repo layout.Repo, p Program, r *say.Reporter) (string, error) {
	sum, err := Hash(os.DirFS(repo.Module()), p.Sources, runtime.Version(), runtime.GOARCH, p.LDFlags)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(repo.Built(), p.Name+"-"+sum)
	path := filepath.Join(dir, p.Name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Built under another name and moved: an interrupted build leaves nothing
	// that the next one would take for finished.
	partial := path + ".partial"
	if err := compile(ctx, repo, p, partial, r); err != nil {
		return "", err
	}
	if err := os.Rename(partial, path); err != nil {
		return "", err
	}
	return path, prune(repo, p.Name, dir)
}

// prune removes the builds of a program but the two newest: each of
// Kubernetes' takes 160 MB, and a checkout is often switched between two
// branches. A cluster that runs from a removed one keeps its open file.
func prune(repo layout.Repo, name, keep string) error {
	dirs, err := filepath.Glob(filepath.Join(repo.Built(), name+"-*"))
	if err != nil {
		return err
	}
	var others []string
	for _, dir := range dirs {
		if dir != keep {
			others = append(others, dir)
		}
	}
	newestFirst(others)
	for i, dir := range others {
		if i > 0 {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func compile(ctx context.Context, repo layout.Repo, p Program, out string, r *say.Reporter) error {
	s := r.Step("Building %s", p.Name)
	c := &compilation{ctx: ctx, dir: repo.Module(), step: s, program: p}
	if err := c.run(out); err != nil {
		s.Fail()
		return err
	}
	s.Done("built, %d of its packages compiled anew", c.total)
	return nil
}

type compilation struct {
	ctx     context.Context
	dir     string
	step    *say.Step
	program Program

	downloads atomic.Int64
	compiled  atomic.Int64
	total     int
}

func (c *compilation) run(out string) error {
	stop := c.tick()
	defer stop()

	// What is stale is what will be compiled: it makes the progress a true one.
	// Listing also downloads the modules.
	stale, err := c.goCommand(&c.downloads, "list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", "-trimpath", "./cmd/"+c.program.Name)
	if err != nil {
		return fmt.Errorf("reading what %s is made of failed (is the Go module proxy reachable? `go -C hack/cluster mod download` shows more): %w", c.program.Name, err)
	}
	c.total = len(strings.Fields(stale))
	_, err = c.goCommand(&c.compiled, "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", c.program.LDFlags, "-o", out, "./cmd/"+c.program.Name)
	if err != nil {
		return fmt.Errorf("building %s failed: %w", c.program.Name, err)
	}
	return nil
}

// tick reports the progress each second until it's stopped.
func (c *compilation) tick() func() {
	done := make(chan struct{})
	go func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
			}
			switch compiled, downloads := int(c.compiled.Load()), c.downloads.Load(); {
			case compiled > 0 && compiled >= c.total-1:
				c.step.Progress("linking, which takes half a minute")
			case compiled > 0:
				c.step.Progress("%d of %d packages compiled", compiled, c.total)
			case downloads > 0:
				c.step.Progress("%d modules downloaded", downloads)
			default:
				c.step.Progress("looking at its packages")
			}
		}
	}()
	return func() { close(done) }
}

// goCommand runs the go tool, counting lines of its standard error that tell
// progress; the others are kept for the error.
func (c *compilation) goCommand(count *atomic.Int64, args ...string) (string, error) {
	cmd := exec.CommandContext(c.ctx, "go", args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	// An interrupt from the terminal reaches the go tool by itself, and it
	// cleans up; killing it would leave its temporary folder behind.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	rest := readProgress(stderr, count)
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, rest)
	}
	return stdout.String(), nil
}

// readProgress counts what the go tool says of its progress (a package's path,
// or "go: downloading …") and returns the last lines that say anything else.
func readProgress(stderr io.Reader, count *atomic.Int64) string {
	var others []string
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "go: downloading ") || (!strings.ContainsAny(line, " \t:#") && line != "") {
			count.Add(1)
			continue
		}
		others = append(others, line)
	}
	if n := len(others); n > 20 {
		others = others[n-20:]
	}
	return strings.Join(others, "\n")
}
