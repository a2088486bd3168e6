package sandbox

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"sharedcloud.io/function-operator/hack/cluster/internal/node"
)

// reaper waits for every child of this process, those that it started and those
// that the kernel handed to it as process 1, and reports the exits of the former.
type reaper struct {
	mu      sync.Mutex
	waiting map[int]chan<- syscall.WaitStatus
}

func newReaper() *reaper {
	return &reaper{waiting: map[int]chan<- syscall.WaitStatus{}}
}

// start starts a process and returns the channel that reports its exit. The lock is
// held over both: a process that ends at once isn't reaped before it's known.
func (r *reaper) start(path string, args []string, attr *syscall.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, args, attr)
	if err != nil {
		return 0, nil, err
	}
	ended := make(chan syscall.WaitStatus, 1)
	r.waiting[pid] = ended
	return pid, ended, nil
}

func (r *reaper) run() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.ECHILD {
			<-time.After(10 * time.Millisecond) // nothing is started yet
			continue
		}
		if err != nil {
			continue
		}
		r.mu.Lock()
		if ended, ok := r.waiting[pid]; ok {
			ended <- status
			delete(r.waiting, pid)
		}
		r.mu.Unlock()
	}
}

// supervised is one component that is started again when it ends.
type supervised struct {
	component node.Component
	spec      node.Spec
	children  *reaper
}

const (
	firstPause = 100 * time.Millisecond
	longPause  = 5 * time.Second
	goodRun    = 10 * time.Second // after which the next pause is short again
)

func (s *supervised) keepRunning(ctx context.Context, ready <-chan struct{}) {
	select {
	case <-ready:
	case <-ctx.Done():
		return
	}
	for pause := firstPause; ctx.Err() == nil; {
		started := time.Now()
		end, err := s.runOnce()
		if err != nil {
			end = err.Error()
		}
		if time.Since(started) >= goodRun {
			pause = firstPause
		}
		fmt.Printf("%s %s ended after %s (%s); starting it again in %s\n", time.Now().Format(time.TimeOnly),
			s.component.Name, time.Since(started).Round(time.Millisecond), end, pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longPause)
	}
}

// runOnce returns how the component ended.
func (s *supervised) runOnce() (string, error) {
	log, err := openLog(s.spec.Path("logs", s.component.Name+".log"))
	if err != nil {
		return "", err
	}
	defer func() { _ = log.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return "", err
	}
	defer func() { _ = null.Close() }()
	_, ended, err := s.children.start(s.component.Path, append([]string{s.component.Path}, s.component.Args...), &syscall.ProcAttr{
		Dir:   s.spec.Path("home"),
		Env:   s.spec.Environment(),
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		// In a session of its own, so that a signal to one is no signal to all.
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return "", err
	}
	status := <-ended
	if status.Signaled() {
		return status.Signal().String(), nil
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus()), nil
}

// openLog opens a component's log to write on. One that has grown large is put
// aside first, in place of the one before it.
func openLog(path string) (*os.File, error) {
	const large = 64 << 20
	if info, err := os.Stat(path); err == nil && info.Size() > large {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}
