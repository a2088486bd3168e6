// Package guard runs a program so that it and every process below it end with this process, whatever ends this process.
//
// The program is started by a second process of this executable, the guard. The guard holds the read end of a pipe whose write end
// this process has open: when this process ends, also by SIGKILL, the pipe ends, and the guard kills what it has started. It is in a
// session of its own, so that the signals of a terminal do not reach it or the program. On Linux it is the parent of orphans below it,
// and the kernel kills the program if the guard is killed.
//
//   - guard.go: Command, and its protocol: the guard reads a line of JSON from the pipe, and its exit status is that of the program;
//   - main_unix.go: the guard itself;
//   - processes_*.go: the processes below it; main_other.go: systems without sessions and process groups, where only the program is killed.
//
// The guard starts in an init function, so that every executable that imports the package, a test too, can start it.
package guard

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"time"
)

const (
	// variable is set in the environment of a guard.
	variable = "SHAREDCLOUD_GUARD"
	// grace is how long the program may take to end itself after SIGTERM.
	grace = 10 * time.Second
	// killTimeout is how long the guard tries to kill what is left.
	killTimeout = 10 * time.Second
)

// Command is a program to run.
type Command struct {
	// Path is the program's file, Args its arguments without the program.
	Path string
	Args []string
	Dir  string
	Env  []string
	// Stderr receives the program's standard error.
	Stderr io.Writer
	// Remove is a directory that the guard removes at the end; this process may not get to it.
	Remove string
}

// spec is what a guard reads first.
type spec struct {
	Path   string   `json:"path"`
	Args   []string `json:"args"`
	Dir    string   `json:"dir"`
	Env    []string `json:"env"`
	Remove string   `json:"remove"`
}

// Run runs the program and kills what it leaves behind. When ctx is done, it calls stop, sends SIGTERM, and kills everything if the program
// does not end in time. The error is that of exec.Cmd.Run; a signal that ended the program is an exit status above 128.
func (c *Command) Run(ctx context.Context, stop func()) error {
	p, err := c.start()
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- p.command.Wait() }()
	select {
	case err := <-ended:
		return errors.Join(err, p.release())
	case <-ctx.Done():
	}
	stop()
	p.terminate()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-ended:
		return errors.Join(err, p.release())
	case <-timer.C:
	}
	return errors.Join(p.release(), <-ended)
}

// process is a running guard.
type process struct {
	command   *exec.Cmd
	lifeline  io.WriteCloser
	terminate func()
}

// release makes the guard kill everything that is left.
func (p *process) release() error {
	return p.lifeline.Close()
}

func (c *Command) line() ([]byte, error) {
	text, err := json.Marshal(spec{Path: c.Path, Args: c.Args, Dir: c.Dir, Env: c.Env, Remove: c.Remove})
	return append(text, '\n'), err
}
