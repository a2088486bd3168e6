package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// State is what a running cluster says of itself.
type State struct {
	Pid      int `json:"pid"`     // the process that holds the namespaces, as the host sees it
	InitPid  int `json:"initPid"` // the first process inside them, likewise; 0: not running
	APIPort  int `json:"apiPort"` // on 127.0.0.1, outside
	RESTPort int `json:"restPort"`

	Started time.Time `json:"started"`
}

const (
	stateFile = "state.json"
	lockFile  = "lock"
)

// WriteState stores the state of the cluster in dir.
func WriteState(dir string, s State) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(dir, stateFile), data, 0o644)
}

// LastState returns what the cluster in dir last said, running or not: ports
// are kept from one start to the next.
func LastState(dir string) (State, error) {
	var s State
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("reading %s: %w", filepath.Join(dir, stateFile), err)
	}
	return s, nil
}

// Running returns the state of the cluster in dir, and whether it runs. The
// lock that the running process holds decides, not its process id: ids are
// reused.
func Running(dir string) (State, bool, error) {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, os.ErrNotExist) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, err
	}
	defer func() { _ = f.Close() }()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		return State{}, false, nil
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return State{}, false, err
	}
	s, err := LastState(dir)
	return s, err == nil && s.InitPid != 0, err
}

// Lock makes the caller the one process that runs the cluster in dir, until it
// ends.
func Lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another process runs the cluster in %s: %w", dir, err)
	}
	return f, nil
}
