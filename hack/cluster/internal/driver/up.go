package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"sharedcloud.io/function-operator/hack/cluster/internal/certs"
	"sharedcloud.io/function-operator/hack/cluster/internal/images"
	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
	"sharedcloud.io/function-operator/hack/cluster/internal/node"
)

// Up brings the cluster to the point where pods run. Every part of it may be
// repeated: an interrupted call is simply made again.
func (d *Driver) Up(ctx context.Context, c layout.Cluster, gpus int) error {
	begin := time.Now()
	m := thisMachine(d.Repo)
	if err := m.checkBuild(d.built()); err != nil {
		return err
	}
	if err := m.checkCluster(); err != nil {
		return err
	}
	unlock, err := d.lockCluster(c)
	if err != nil {
		return err
	}
	defer unlock()

	spec, archives, err := d.prepare(ctx, c, gpus)
	if err != nil {
		return err
	}
	if spec, err = d.start(ctx, c, spec); err != nil {
		return err
	}
	state, err := d.makeUsable(ctx, c, spec, archives)
	if err != nil {
		return err
	}
	d.Report.Line("")
	d.Report.Line("The cluster %q is up (%.0f s): Kubernetes at https://127.0.0.1:%d, node %s with %d GPUs.",
		c.Name, time.Since(begin).Seconds(), state.APIPort, spec.NodeName, spec.GPUs)
	d.Report.Line("Use it:      eval \"$(%s)\"", makeHint("-s cluster-env", c.Name))
	d.Report.Line("Its logs:    %s", c.Path("logs"))
	d.Report.Line("Remove it:   %s", makeHint("cluster-down", c.Name))
	return nil
}

// makeHint is how the Makefile is asked for something of this cluster.
func makeHint(target, name string) string {
	if name == DefaultName {
		return "make " + target
	}
	return "make " + target + " CLUSTER=" + name
}

// DefaultName is the cluster that commands mean when none is named.
const DefaultName = "default"

// lockCluster lets one `up` or `down` at a time work on a cluster.
func (d *Driver) lockCluster(c layout.Cluster) (func(), error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(c.Path("up.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another command is starting or removing the cluster %q: wait until it's done", c.Name)
	}
	return func() { _ = f.Close() }, nil
}

// prepare makes what outlives any cluster.
func (d *Driver) prepare(ctx context.Context, c layout.Cluster, gpus int) (node.Spec, []string, error) {
	built, err := d.build(ctx)
	if err != nil {
		return node.Spec{}, nil, err
	}
	root, err := d.nodeRoot(ctx)
	if err != nil {
		return node.Spec{}, nil, err
	}
	archives, err := d.archives(ctx, built.Pause)
	if err != nil {
		return node.Spec{}, nil, err
	}
	return node.Spec{
		Name: c.Name, NodeName: c.NodeName(), Dir: c.Dir,
		Kubernetes: built.Kubernetes, Nodetool: built.Nodetool,
		Debian: root, LibraryDir: libraryDir(root),
		GPUs: gpus, PauseImage: images.Pause,
	}, archives, nil
}

// start starts the cluster's processes, unless they run. It returns the Spec
// that they run by.
func (d *Driver) start(ctx context.Context, c layout.Cluster, spec node.Spec) (node.Spec, error) {
	_, running, err := node.Running(c.Dir)
	if err != nil {
		return spec, err
	}
	if running {
		old, err := node.Read(c.Dir)
		if err == nil && old != spec {
			d.Report.Line("The cluster %q runs as it was started; `%s` and up again brings what changed since.", c.Name, makeHint("cluster-down", c.Name))
		}
		return old, err
	}
	s := d.Report.Step("Starting the cluster %q", c.Name)
	if err := d.furnish(spec); err != nil {
		s.Fail()
		return spec, err
	}
	if err := d.launch(ctx, spec); err != nil {
		s.Fail()
		return spec, err
	}
	s.Done("its processes are in namespaces of their own")
	return spec, nil
}

// furnish writes the cluster's folder.
func (d *Driver) furnish(spec node.Spec) error {
	if err := certs.Make(spec.Path("pki"), certs.Leaves(spec.NodeName, node.IP, node.APIService), time.Now()); err != nil {
		return err
	}
	for _, dir := range []string{"logs", "volumes/store", "images"} {
		if err := os.MkdirAll(spec.Path(dir), 0o755); err != nil {
			return err
		}
	}
	// Pods of any user keep their data here, as on a volume made for them.
	if err := os.Chmod(spec.Path("volumes/store"), 0o777); err != nil {
		return err
	}
	return errors.Join(spec.WriteFiles(), spec.PlacePrograms(), spec.Write())
}

// launch starts the process that holds the namespaces, and waits until it says
// that it does.
func (d *Driver) launch(ctx context.Context, spec node.Spec) error {
	log, err := os.OpenFile(spec.Path("logs/node.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(spec.Program("nodetool"), "run", spec.Dir)
	cmd.Dir = spec.Dir
	cmd.Stdout, cmd.Stderr = log, log
	// It outlives this command and an interrupt from its terminal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return fmt.Errorf("the cluster's first process ended (%w); %s says why", err, log.Name())
		case <-time.After(20 * time.Millisecond):
		}
		if state, running, err := node.Running(spec.Dir); err != nil {
			return err
		} else if running && state.Pid == cmd.Process.Pid {
			return nil
		}
	}
}
