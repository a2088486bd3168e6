package driver

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
	"sharedcloud.io/function-operator/hack/cluster/internal/node"
)

// Status lists the checkout's clusters.
func (d *Driver) Status(ctx context.Context) error {
	entries, err := os.ReadDir(d.Repo.Clusters())
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	table := tabwriter.NewWriter(d.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tSTATE\tGPUS\tAPI SERVER\tKUBECONFIG")
	found := 0
	for _, entry := range entries {
		c, err := d.Repo.Cluster(entry.Name())
		if err != nil || !entry.IsDir() {
			continue
		}
		found++
		what, gpus, server := d.condition(ctx, c)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", c.Name, what, gpus, server, c.Kubeconfig())
	}
	if found == 0 {
		fmt.Fprintln(d.Out, "There is no cluster here: `make cluster` starts one.")
		return nil
	}
	return table.Flush()
}

// condition is a cluster's state in a few words.
func (d *Driver) condition(ctx context.Context, c layout.Cluster) (what, gpus, server string) {
	state, running, err := node.Running(c.Dir)
	if err != nil || !running {
		return "stopped", "-", "-"
	}
	server = fmt.Sprintf("https://127.0.0.1:%d", state.APIPort)
	spec, err := node.Read(c.Dir)
	if err != nil {
		return "unreadable", "-", server
	}
	cl, err := client(spec, state)
	if err != nil {
		return "unreadable", "-", server
	}
	w := &waiter{d: d, spec: spec, state: state, client: cl}
	if !cl.Ready(ctx) {
		return "API server not ready", "-", server
	}
	if w.nodeReady(ctx) != nil {
		return "node not ready", "-", server
	}
	n, err := w.node(ctx)
	if err != nil {
		return "node not ready", "-", server
	}
	return "ready", n.Status.Allocatable[node.GPUResource], server
}
