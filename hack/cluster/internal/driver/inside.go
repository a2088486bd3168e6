package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
	"sharedcloud.io/function-operator/hack/cluster/internal/node"
)

// inside returns a command in the cluster's namespaces, with its programs on
// PATH, in this process's working folder.
func inside(ctx context.Context, spec node.Spec, state node.State, command ...string) *exec.Cmd {
	dir, err := os.Getwd()
	if err != nil {
		dir = spec.Dir
	}
	args := append([]string{
		"--target", strconv.Itoa(state.InitPid), "--mount", "--net", "--pid", "--uts", "--ipc", "--wd=" + dir, "--",
	}, command...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env = append(spec.Environment(), "KUBECONFIG="+spec.Path("etc/admin.kubeconfig"), "TERM="+os.Getenv("TERM"))
	return cmd
}

// Exec runs a command in the cluster's namespaces with this process's streams.
func (d *Driver) Exec(ctx context.Context, c layout.Cluster, command []string) error {
	spec, state, err := d.running(c)
	if err != nil {
		return err
	}
	cmd := inside(ctx, spec, state, command...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// nsenter doesn't pass signals on, and its child would outlive it.
	cmd.Cancel = func() error { return signalChildren(cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd.Run()
}

func signalChildren(pid int, s syscall.Signal) error {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return err
	}
	for _, field := range strings.Fields(string(list)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return err
		}
		if err := syscall.Kill(child, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// importArchive gives an archive's images to containerd, which may only just be
// starting.
func importArchive(ctx context.Context, spec node.Spec, state node.State, archive string) error {
	deadline := time.Now().Add(stepTimeout)
	for {
		out, err := inside(ctx, spec, state, "ctr", "--namespace", "k8s.io", "images", "import", "--no-unpack=false", archive).CombinedOutput()
		if err == nil {
			return nil
		}
		text := strings.TrimSpace(string(out))
		starting := strings.Contains(text, "connect: no such file") || strings.Contains(text, "connection refused") || strings.Contains(text, "failed to dial")
		if ctx.Err() != nil || !starting || time.Now().After(deadline) {
			return errors.Join(ctx.Err(), fmt.Errorf("importing %s: %w: %s", archive, err, text))
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}
