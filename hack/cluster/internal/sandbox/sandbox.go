// Package sandbox runs a cluster in its own namespaces (network, mounts,
// processes, host name, IPC), so that it does not change the machine's network
// or mounts, and clusters are isolated from each other:
//
//	outside  Run: keeps the namespaces, listens on loopback, forwards inside
//	inside   Init: the first process; sets up the namespaces and keeps the
//	         components running
//
// The kernel cleans up: when Run ends for any reason, Init is killed; when Init
// ends, all other processes inside are killed, and mounts, network and rules
// disappear with the last of them. Only the cgroups remain, and Run removes them
// by name.
//
//	sandbox.go     Run
//	forward.go     connections from outside to inside
//	init.go        Init
//	namespaces.go  mounts, sysctls, network
//	cgroups.go     cgroups
//	supervise.go   starting, reaping and starting again
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"sharedcloud.io/function-operator/hack/cluster/internal/node"
)

const namespaces = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// Run runs the cluster in dir until it is stopped, or its folder is gone.
func Run(dir string) error {
	lock, err := node.Lock(dir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	spec, err := node.Read(dir)
	if err != nil {
		return err
	}
	state, err := node.LastState(dir)
	if err != nil {
		return err
	}
	state.Pid, state.InitPid, state.Started = os.Getpid(), 0, time.Now()
	if err := node.WriteState(dir, state); err != nil {
		return err
	}
	api, err := listen(state.APIPort)
	if err != nil {
		return err
	}
	rest, err := listen(state.RESTPort)
	if err != nil {
		return err
	}
	// Remove what an earlier run left when it was killed.
	if err := RemoveCgroups(spec.Cgroup()); err != nil {
		return err
	}
	if err := makeCgroups(spec.Cgroup()); err != nil {
		return err
	}
	// The kernel ties the child's life to the thread that starts it.
	runtime.LockOSThread()
	child, err := startInit(spec)
	if err != nil {
		return err
	}
	state.InitPid, state.APIPort, state.RESTPort = child.Process.Pid, port(api), port(rest)
	if err := node.WriteState(dir, state); err != nil {
		return err
	}
	inside := &door{namespace: fmt.Sprintf("/proc/%d/ns/net", state.InitPid)}
	go inside.forward(api, net.JoinHostPort(node.IP, node.APIPort))
	go inside.forward(rest, net.JoinHostPort(node.RESTIP, node.RESTPort))
	waitForEnd(dir, child)
	return cleanUp(dir, spec, state)
}

// listen uses the port of the last start if it is still free, so that
// kubeconfigs stay valid, or any free port.
func listen(last int) (net.Listener, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(last)))
	if err != nil && last != 0 {
		return listen(0)
	}
	return listener, err
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func startInit(spec node.Spec) (*exec.Cmd, error) {
	child := exec.Command(spec.Program("nodetool"), "init", spec.Dir)
	child.Env = spec.Environment()
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("starting in namespaces of its own (does this machine allow root to make them? in a container: run it privileged): %w", err)
	}
	return child, nil
}

// waitForEnd returns when the child has ended, by itself or because of a
// signal or because the cluster's folder was removed.
func waitForEnd(dir string, child *exec.Cmd) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ended := make(chan struct{})
	go func() {
		_ = child.Wait()
		close(ended)
	}()
	folder := time.NewTicker(2 * time.Second)
	defer folder.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
		case <-folder.C:
			if _, err := os.Stat(filepath.Join(dir, node.SpecFile)); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		// etcd has passed all acknowledged writes to the kernel: nothing is lost.
		_ = child.Process.Kill()
		<-ended
		return
	}
}

func cleanUp(dir string, spec node.Spec, state node.State) error {
	err := RemoveCgroups(spec.Cgroup())
	if _, gone := os.Stat(dir); gone != nil {
		return err
	}
	state.Pid, state.InitPid = 0, 0
	return errors.Join(err, node.WriteState(dir, state))
}
