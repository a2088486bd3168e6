//go:build unix

package guard

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func shell(script string, env ...string) *Command {
	return &Command{Path: "/bin/sh", Args: []string{"-c", script}, Dir: "/", Env: append(os.Environ(), env...)}
}

func TestAProgramRunsAsWithoutAGuard(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script, want, stderr string
	}{
		"it succeeds":                         {"exit 0", "", ""},
		"it fails":                            {"exit 7", "exit status 7", ""},
		"a signal ends it":                    {"kill -KILL $$", "exit status 137", ""},
		"its errors are passed on":            {"echo wrong >&2", "", "wrong\n"},
		"the last value of a variable counts": {"echo $GUARDED >&2", "", "second\n"},
		"it does not see the guard's own":     {`test -z "$` + variable + `" && ! test -e /dev/fd/3`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			command := shell(tc.script, "GUARDED=first", "GUARDED=second")
			command.Stderr = &stderr
			got := ""
			if err := command.Run(t.Context(), func() { t.Error("it was stopped") }); err != nil {
				got = err.Error()
			}
			if got != tc.want || stderr.String() != tc.stderr {
				t.Errorf("the error is %q and stderr %q; want %q and %q", got, &stderr, tc.want, tc.stderr)
			}
		})
	}
	if err := (&Command{Path: "/no/such/program", Dir: "/"}).Run(t.Context(), nil); err == nil {
		t.Error("a program that does not exist runs")
	}
}

func TestWhatAProgramLeavesBehindEnds(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	left := filepath.Join(folder, "removed")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "pid")
	command := shell(`sh -c 'trap "" TERM HUP; echo $$ > "$0"; while :; do sleep 1; done' ` + file + ` & while ! test -s ` + file + `; do sleep 0.01; done`)
	command.Remove = left
	if err := command.Run(t.Context(), func() {}); err != nil {
		t.Fatal(err)
	}
	mustHaveEnded(t, file)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the directory: %v", err)
	}
}

func TestAProgramIsStopped(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	stopped := false
	go func() {
		for {
			if text, _ := os.ReadFile(file); len(text) > 0 {
				break
			}
			<-time.After(5 * time.Millisecond)
		}
		cancel()
	}()
	err := shell(`trap 'exit 3' TERM; echo $$ > `+file+`; while :; do sleep 0.01; done`).Run(ctx, func() { stopped = true })
	if err == nil || err.Error() != "exit status 3" || !stopped {
		t.Errorf("%v; stopped: %v", err, stopped)
	}
	mustHaveEnded(t, file)
}

func mustHaveEnded(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("the process %d is there", pid)
	}
}

func TestProcessesBelowAGuard(t *testing.T) {
	all := []entry{{1, 0, 1}, {10, 1, 10}, {11, 10, 11}, {12, 11, 11}, {13, 12, 13}, {20, 1, 20}, {21, 20, 13}}
	if got := tree(all, 10, nil); !slices.Equal(got, []int{11, 12, 13}) {
		t.Errorf("by parents: %v", got)
	}
	groups := map[int]bool{}
	if got := tree(all, 10, groups); !slices.Equal(got, []int{11, 12, 13, 21}) {
		t.Errorf("by parents and groups: %v", got)
	}
	if got := tree([]entry{{1, 0, 1}, {10, 1, 10}, {12, 1, 11}}, 10, groups); !slices.Equal(got, []int{12}) {
		t.Errorf("of a noted group: %v", got)
	}
}
