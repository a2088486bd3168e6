package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
	"sharedcloud.io/function-operator/hack/cluster/internal/node"
	"sharedcloud.io/function-operator/hack/cluster/internal/sandbox"
)

// Down ends the cluster and removes all that it left. It's as good for one that
// was never quite up, or whose processes were killed.
func (d *Driver) Down(ctx context.Context, c layout.Cluster) error {
	if !c.Exists() {
		d.Report.Line("There is no cluster %q.", c.Name)
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("removing a cluster needs root, as making it did: run the same command with sudo")
	}
	unlock, err := d.lockCluster(c)
	if err != nil {
		return err
	}
	defer unlock()
	s := d.Report.Step("Removing the cluster %q", c.Name)
	err = stop(ctx, c)
	if err == nil {
		err = sandbox.RemoveCgroups(node.CgroupName(c.Dir))
	}
	if err == nil {
		err = os.RemoveAll(c.Dir)
	}
	if err != nil {
		s.Fail()
		return err
	}
	_ = os.Remove(d.Repo.Clusters()) // if it was the last
	s.Done("nothing is left of it")
	return nil
}

// stop ends the process that holds the namespaces, and with it all the others.
func stop(ctx context.Context, c layout.Cluster) error {
	const grace = 15 * time.Second
	for begin, sent := time.Now(), syscall.Signal(0); ; {
		lock, err := node.Lock(c.Dir)
		if err == nil {
			return lock.Close()
		}
		state, err := node.LastState(c.Dir)
		if err != nil {
			return err
		}
		next := syscall.SIGTERM
		if time.Since(begin) > grace {
			next = syscall.SIGKILL
		}
		if state.Pid > 1 && next != sent {
			if err := syscall.Kill(state.Pid, next); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("ending the cluster's process %d: %w", state.Pid, err)
			}
			sent = next
		}
		if time.Since(begin) > 2*grace {
			return fmt.Errorf("the cluster's process %d doesn't end: look at it with `ps -p %d -o pid,stat,wchan,args`, then run this again", state.Pid, state.Pid)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
