// Package driver does what the commands of cmd/cluster say.
//
//	preflight.go  what the machine must offer, in sentences
//	prepare.go    programs, the node's Debian packages, images: made once
//	up.go         from what is prepared to a cluster that works
//	wait.go       what a working cluster is
//	down.go       taking a cluster away
//	env.go        shell exports
//	image.go      images into a running cluster
//	inside.go     commands inside a cluster's namespaces
//	status.go     what there is
package driver

import (
	"context"
	"fmt"
	"io"
	"os"

	"sharedcloud.io/function-operator/hack/cluster/internal/api"
	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
	"sharedcloud.io/function-operator/hack/cluster/internal/node"
	"sharedcloud.io/function-operator/hack/cluster/internal/say"
)

// Driver works on the clusters of one checkout.
type Driver struct {
	Repo   layout.Repo
	Report *say.Reporter // steps, on standard error
	Out    io.Writer     // what is asked for, on standard output
}

// Build makes the programs.
func (d *Driver) Build(ctx context.Context) error {
	if err := thisMachine(d.Repo).checkBuild(d.built()); err != nil {
		return err
	}
	if _, err := d.build(ctx); err != nil {
		return err
	}
	d.Report.Line("Built: %s is a KUBEBUILDER_ASSETS folder, and kubectl is in %s", d.Repo.Assets(), d.Repo.Bin())
	return nil
}

// running returns the cluster's Spec and State, or an error that says that it
// doesn't run.
func (d *Driver) running(c layout.Cluster) (node.Spec, node.State, error) {
	state, running, err := node.Running(c.Dir)
	if err != nil {
		return node.Spec{}, state, err
	}
	if !running {
		return node.Spec{}, state, fmt.Errorf("the cluster %q isn't running: start it with `%s`", c.Name, makeHint("cluster", c.Name))
	}
	spec, err := node.Read(c.Dir)
	return spec, state, err
}

// client returns a client of a running cluster.
func client(spec node.Spec, state node.State) (*api.Client, error) {
	return api.New(state.APIPort, spec.PKI)
}

// built reports whether the long build has been done, whatever its sources.
func (d *Driver) built() bool {
	_, err := os.Stat(d.Repo.Assets() + "/kube-apiserver")
	return err == nil
}
