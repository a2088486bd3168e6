package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"sharedcloud.io/function-operator/hack/cluster/internal/api"
	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
	"sharedcloud.io/function-operator/hack/cluster/internal/node"
)

// stepTimeout is the time limit of one step on a slow machine.
const stepTimeout = 3 * time.Minute

// makeUsable waits for the parts as they come up, and adds what every cluster
// has. Images are imported meanwhile: containerd is there first.
func (d *Driver) makeUsable(ctx context.Context, c layout.Cluster, spec node.Spec, archives []string) (node.State, error) {
	state, _, err := node.Running(c.Dir)
	if err != nil {
		return state, err
	}
	text, err := spec.Kubeconfig(state.APIPort)
	if err != nil {
		return state, err
	}
	if err := node.WriteFile(c.Kubeconfig(), []byte(text), 0o600); err != nil {
		return state, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	imported := make(chan error, 1)
	go func() { imported <- d.importAll(ctx, spec, state, archives) }()

	cl, err := client(spec, state)
	if err != nil {
		return state, err
	}
	w := &waiter{d: d, spec: spec, state: state, client: cl}
	if err := w.controlPlane(ctx); err != nil {
		return state, err
	}
	s := d.Report.Step("Importing images")
	if err := <-imported; err != nil {
		s.Fail()
		return state, err
	}
	s.Done("%d", len(archives))
	return state, nil
}

type waiter struct {
	d      *Driver
	spec   node.Spec
	state  node.State
	client *api.Client
}

func (w *waiter) controlPlane(ctx context.Context) error {
	for _, step := range []struct {
		name, done, log string
		ready           func(context.Context) error
	}{
		{"Waiting for the API server", "it serves", "kube-apiserver", w.apiServes},
		{"Adding DNS, the storage class and the store's volume", "added", "kube-apiserver", w.addons},
		{"Waiting for the node", "it's ready", "kubelet", w.nodeReady},
		{"Waiting for its GPUs", fmt.Sprintf("%d × %s", w.spec.GPUs, node.GPUResource), "device-plugin", w.gpus},
		{"Waiting for service accounts", "they're there", "kube-controller-manager", w.serviceAccounts},
		{"Waiting for DNS", "kubernetes.default.svc resolves through its Service", "coredns", w.dns},
	} {
		s := w.d.Report.Step("%s", step.name)
		if err := w.until(ctx, s.Progress, step.ready); err != nil {
			s.Fail()
			return fmt.Errorf("%s: %w (its log: %s; `cluster up` continues from here)", step.name, err, w.spec.Path("logs", step.log+".log"))
		}
		s.Done("%s", step.done)
	}
	return nil
}

// until retries until there's no error, or the timeout has passed.
func (w *waiter) until(ctx context.Context, progress func(string, ...any), ready func(context.Context) error) error {
	deadline := time.Now().Add(stepTimeout)
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, running, _ := node.Running(w.spec.Dir); !running {
			return fmt.Errorf("the cluster's processes have ended; %s says why", w.spec.Path("logs/node.log"))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not after %s: %w", stepTimeout, err)
		}
		progress("not yet")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (w *waiter) apiServes(ctx context.Context) error {
	if !w.client.Ready(ctx) {
		return errors.New("it doesn't answer")
	}
	return nil
}

// addons applies the objects; kubectl does, so that what they say is all that
// has to be known.
func (w *waiter) addons(ctx context.Context) error {
	if err := w.recycleVolume(ctx); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, w.spec.Program("kubectl"), "--kubeconfig", w.spec.Path("kubeconfig"),
		"apply", "--server-side", "--force-conflicts", "--validate=false", "-f", "-")
	cmd.Stdin = strings.NewReader(w.spec.Addons())
	cmd.Env = append(os.Environ(), "HOME="+w.spec.Path("home"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// recycleVolume frees the store's volume when its claim is gone: no provisioner
// does that for a local volume. What is in it stays.
func (w *waiter) recycleVolume(ctx context.Context) error {
	const path = "/api/v1/persistentvolumes/sharedcloud-store"
	var volume struct {
		Status struct{ Phase string }
	}
	err := w.client.Get(ctx, path, &volume)
	if errors.Is(err, api.ErrNotFound) {
		return nil
	}
	if err != nil || volume.Status.Phase != "Released" {
		return err
	}
	return w.client.Patch(ctx, path, map[string]any{"spec": map[string]any{"claimRef": nil}})
}

type nodeObject struct {
	Status struct {
		Allocatable map[string]string
		Conditions  []struct {
			Type, Status, Message string
			LastHeartbeatTime     time.Time
		}
	}
}

func (w *waiter) node(ctx context.Context) (nodeObject, error) {
	var n nodeObject
	err := w.client.Get(ctx, "/api/v1/nodes/"+w.spec.NodeName, &n)
	return n, err
}

func (w *waiter) nodeReady(ctx context.Context) error {
	n, err := w.node(ctx)
	if err != nil {
		return err
	}
	for _, condition := range n.Status.Conditions {
		switch {
		case condition.Type != "Ready":
		case condition.Status != "True":
			return errors.New(condition.Message)
		case condition.LastHeartbeatTime.Before(w.state.Started.Truncate(time.Second)):
			return errors.New("the kubelet has not reported since the cluster was started")
		default:
			return nil
		}
	}
	return errors.New("it has not registered")
}

func (w *waiter) gpus(ctx context.Context) error {
	devices := node.Devices(w.spec.GPUs)
	if len(devices) == 0 {
		return nil
	}
	n, err := w.node(ctx)
	if err != nil {
		return err
	}
	for resource, ids := range devices {
		if got := n.Status.Allocatable[resource]; got != fmt.Sprint(len(ids)) {
			return fmt.Errorf("%q of %d %s are allocatable", got, len(ids), resource)
		}
	}
	return nil
}

func (w *waiter) serviceAccounts(ctx context.Context) error {
	for _, namespace := range []string{"default", "kube-system"} {
		if err := w.client.Get(ctx, "/api/v1/namespaces/"+namespace+"/serviceaccounts/default", &struct{}{}); err != nil {
			return err
		}
	}
	return nil
}

// dns asks as a pod would: by the Service's address, which kube-proxy turns to
// CoreDNS.
func (w *waiter) dns(ctx context.Context) error {
	cmd := inside(ctx, w.spec, w.state, w.spec.Program("nodetool"), "lookup", "kubernetes.default.svc."+node.Domain+".")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// importAll imports the archives that this cluster hasn't imported yet.
func (d *Driver) importAll(ctx context.Context, spec node.Spec, state node.State, archives []string) error {
	for _, archive := range archives {
		mark := spec.Path("images", filepath.Base(archive)+".imported")
		if _, err := os.Stat(mark); err == nil {
			continue
		}
		if err := importArchive(ctx, spec, state, archive); err != nil {
			return err
		}
		if err := os.WriteFile(mark, nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}
