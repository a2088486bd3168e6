//go:build !unix

package guard

import "os/exec"

// start starts the program without a guard: this system has neither sessions nor process groups.
func (c *Command) start() (*process, error) {
	command := exec.Command(c.Path, c.Args...)
	command.Dir, command.Env, command.Stderr, command.WaitDelay = c.Dir, c.Env, c.Stderr, grace
	if err := command.Start(); err != nil {
		return nil, err
	}
	kill := func() { _ = command.Process.Kill() }
	return &process{command: command, lifeline: killer(kill), terminate: kill}, nil
}

// killer kills the program when it is closed.
type killer func()

func (killer) Write(p []byte) (int, error) { return len(p), nil }

func (k killer) Close() error {
	k()
	return nil
}
