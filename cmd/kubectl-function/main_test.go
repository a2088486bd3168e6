package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asPlugin makes this executable the plugin.
const asPlugin = "KUBECTL_FUNCTION_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
	}
	// Under nohup SIGHUP is ignored here, and the plugin would inherit that. It does not inherit a handler.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(m.Run())
}

// Each handler starts a process, a process in a session of its own whose parent ends, and keeps a CPU busy. It does not react to signals.
var busyHandlers = map[string]struct{ interpreter, file, code string }{
	"Python": {"python3", "handler.py", `
import os, signal, subprocess, sys
def handler(event):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    subprocess.Popen(['sh', '-c', 'trap "" TERM HUP INT; while :; do sleep 1; done'])
    subprocess.Popen(['sh', '-c', 'setsid sh -c "trap \"\" TERM HUP INT; while :; do sleep 1; done" &'])
    open(event[0], 'w').close()
    while True:
        pass
`},
	"Node": {"node", "handler.js", `
const { spawn } = require('child_process');
const { writeFileSync } = require('fs');
function handler(event) {
  for (const name of ['SIGTERM', 'SIGHUP', 'SIGINT']) process.on(name, () => {});
  spawn('sh', ['-c', 'trap "" TERM HUP INT; while :; do sleep 1; done']);
  spawn('sh', ['-c', 'setsid sh -c "trap \"\" TERM HUP INT; while :; do sleep 1; done" &'], { detached: true });
  writeFileSync(event[0], '');
  for (;;) {}
}
`},
}

func TestTestLeavesNoProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for language, handler := range busyHandlers {
		for name, end := range map[string]func(*testing.T, *exec.Cmd){
			"SIGTERM":                      func(t *testing.T, p *exec.Cmd) { send(t, p.Process.Pid, syscall.SIGTERM) },
			"SIGKILL":                      func(t *testing.T, p *exec.Cmd) { send(t, p.Process.Pid, syscall.SIGKILL) },
			"SIGQUIT":                      func(t *testing.T, p *exec.Cmd) { send(t, p.Process.Pid, syscall.SIGQUIT) },
			"a closed terminal":            func(t *testing.T, p *exec.Cmd) { send(t, -p.Process.Pid, syscall.SIGHUP) },
			"Ctrl-C":                       func(t *testing.T, p *exec.Cmd) { send(t, -p.Process.Pid, syscall.SIGINT) },
			"SIGKILL of the process group": func(t *testing.T, p *exec.Cmd) { send(t, -p.Process.Pid, syscall.SIGKILL) },
			"a second Ctrl-C": func(t *testing.T, p *exec.Cmd) {
				for range 2 {
					send(t, -p.Process.Pid, syscall.SIGINT)
				}
			},
		} {
			t.Run(language+" "+name, func(t *testing.T) {
				t.Parallel()
				if _, err := exec.LookPath(handler.interpreter); err != nil {
					t.Fatalf("the tests of `kubectl function test` need %s on PATH: %v", handler.interpreter, err)
				}
				folder, temporary := t.TempDir(), t.TempDir()
				if err := os.WriteFile(filepath.Join(folder, handler.file), []byte(handler.code), 0o600); err != nil {
					t.Fatal(err)
				}
				runs := filepath.Join(t.TempDir(), "runs")
				plugin := exec.Command(self, "test", folder, "--params", fmt.Sprintf("[[%q]]", runs))
				// Every process below the plugin has this variable.
				mark := fmt.Sprintf("LEFT_BY=%s %d", t.Name(), os.Getpid())
				plugin.Env = append(os.Environ(), asPlugin+"=1", "TMPDIR="+temporary, mark)
				plugin.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
				var output bytes.Buffer
				plugin.Stdout, plugin.Stderr, plugin.WaitDelay = &output, &output, time.Minute
				if err := plugin.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan struct{})
				go func() { _ = plugin.Wait(); close(ended) }()
				t.Cleanup(func() {
					for _, pid := range having(t, mark) {
						_ = syscall.Kill(pid, syscall.SIGKILL)
					}
					<-ended
				})
				eventually(t, "the handler runs", func() string {
					if _, err := os.Stat(runs); err != nil {
						return err.Error()
					}
					// The plugin, the guard, the runner, its child, and at least the two shells.
					if n := len(having(t, mark)); n < 6 {
						return fmt.Sprintf("%d processes: %s", n, &output)
					}
					return ""
				})
				end(t, plugin)
				eventually(t, "no process and no file is left", func() string {
					left, _ := os.ReadDir(temporary)
					if pids := having(t, mark); len(pids) > 0 || len(left) > 0 {
						return fmt.Sprintf("the processes %v and %d files", pids, len(left))
					}
					return ""
				})
			})
		}
	}
}

func send(t *testing.T, pid int, number syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, number); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

// having returns the processes that have the entry in their environment.
func having(t *testing.T, entry string) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(files) == 0 {
		t.Fatalf("this test needs Linux: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains("\x00"+string(text), "\x00"+entry+"\x00") {
			var pid int
			if _, err := fmt.Sscanf(file, "/proc/%d/", &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// eventually waits until check returns "".
func eventually(t *testing.T, what string, check func() string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(20 * time.Millisecond) {
		wrong := check()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s", what, wrong)
		}
	}
}
