//go:build unix

package guard

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// lifelineFD is the descriptor of the pipe in a guard.
const lifelineFD = 3

func init() {
	if os.Getenv(variable) == "" {
		return
	}
	_ = os.Unsetenv(variable)
	runtime.LockOSThread() // the kernel kills the program when the thread that started it ends
	status, err := run()
	if err != nil {
		fmt.Fprintf(os.Stderr, "starting the program: %v\n", err)
	}
	os.Exit(status)
}

// start starts a guard.
func (c *Command) start() (*process, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	executable, err := ownExecutable()
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = read.Close() }()
	command := exec.Command(executable)
	command.Args = []string{"sharedcloud-guard"}
	command.Env = append(os.Environ(), variable+"=1")
	command.Stderr = c.Stderr
	command.ExtraFiles = []*os.File{read} // becomes lifelineFD
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	command.WaitDelay = grace
	if err := command.Start(); err != nil {
		_ = write.Close()
		return nil, err
	}
	if _, err := write.Write(line); err != nil {
		_ = write.Close()
		_ = command.Wait()
		return nil, err
	}
	return &process{command: command, lifeline: write, terminate: func() { _ = command.Process.Signal(syscall.SIGTERM) }}, nil
}

// run is the guard. It returns the exit status.
func run() (int, error) {
	syscall.CloseOnExec(lifelineFD)
	signals := make(chan os.Signal, 16)
	// SIGHUP and SIGINT are caught so that they do not end the guard.
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	adoptOrphans()
	lifeline := bufio.NewReader(os.NewFile(lifelineFD, "lifeline"))
	text, err := lifeline.ReadBytes('\n')
	var s spec
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return 1, err
	}
	if s.Remove != "" {
		defer func() { _ = os.RemoveAll(s.Remove) }()
	}
	program, err := s.start()
	if err != nil {
		return 1, err
	}
	orphaned := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, lifeline)
		close(orphaned)
	}()
	status := s.watch(program, signals, orphaned)
	killAll(program)
	return status, nil
}

// start starts the program in a process group of its own.
func (s *spec) start() (pid int, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer func() { _ = null.Close() }()
	attributes := &syscall.SysProcAttr{Setpgid: true}
	endWithParent(attributes)
	return syscall.ForkExec(s.Path, append([]string{s.Path}, s.Args...), &syscall.ProcAttr{
		Dir: s.Dir, Env: lastOfEach(s.Env), Files: []uintptr{null.Fd(), 1, 2}, Sys: attributes,
	})
}

// lastOfEach returns the last value of each variable, which is the one that counts for os/exec.
func lastOfEach(env []string) (kept []string) {
	at := map[string]int{}
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		if i, known := at[name]; known {
			kept[i] = entry
			continue
		}
		at[name] = len(kept)
		kept = append(kept, entry)
	}
	return kept
}

// watch waits until the program has ended, and returns its exit status, or until the process that started the guard has.
func (*spec) watch(program int, signals <-chan os.Signal, orphaned <-chan struct{}) int {
	for {
		select {
		case <-orphaned:
			return 1
		case got := <-signals:
			switch got {
			case syscall.SIGTERM:
				_ = syscall.Kill(program, syscall.SIGTERM)
			case syscall.SIGCHLD:
				if status, ended := reap(program); ended {
					return status
				}
			}
		}
	}
}

// reap takes the exit statuses of all processes that have ended, orphans too, and returns that of the program.
func reap(program int) (status int, ended bool) {
	for {
		var state syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &state, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil || pid == 0:
			return status, ended
		case pid == program && state.Signaled():
			status, ended = 128+int(state.Signal()), true
		case pid == program:
			status, ended = state.ExitStatus(), true
		}
	}
}

// killAll kills every process below the guard, until there is none.
func killAll(program int) {
	known := map[int]bool{program: true} // process groups
	for deadline := time.Now().Add(killTimeout); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		reap(program)
		left := below(os.Getpid(), known)
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// entry is a process in a listing.
type entry struct{ pid, parent, group int }

// tree returns the processes of a listing below the root. Unless groups is nil, it notes their process groups, and returns the processes
// of the noted groups too: a process whose parent has ended has another parent.
func tree(all []entry, root int, groups map[int]bool) (pids []int) {
	children := map[int][]entry{}
	for _, e := range all {
		children[e.parent] = append(children[e.parent], e)
	}
	found := map[int]bool{root: true}
	for next := []int{root}; len(next) > 0; next = next[1:] {
		for _, e := range children[next[0]] {
			if !found[e.pid] {
				found[e.pid] = true
				if groups != nil {
					groups[e.group] = true
				}
				next, pids = append(next, e.pid), append(pids, e.pid)
			}
		}
	}
	for _, e := range all {
		if groups[e.group] && !found[e.pid] {
			pids = append(pids, e.pid)
		}
	}
	return pids
}
