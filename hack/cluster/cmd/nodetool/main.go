// Command nodetool is what has to be small on the cluster's machine:
//
//	nodetool run DIR                 holds the namespaces of the cluster in DIR
//	nodetool init DIR                is their first process (started by run)
//	nodetool device-plugin --gpus N  simulates GPUs (started by init)
//	nodetool lookup NAME             asks the cluster's DNS by its Service
//
// People use cmd/cluster, which starts it.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"sharedcloud.io/function-operator/hack/cluster/internal/gpu"
	"sharedcloud.io/function-operator/hack/cluster/internal/node"
	"sharedcloud.io/function-operator/hack/cluster/internal/sandbox"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nodetool:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to do: run, init, device-plugin or lookup")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	gpus := flags.Int("gpus", 8, "how many GPUs to simulate")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "run":
		return sandbox.Run(flags.Arg(0))
	case "init":
		return sandbox.Init(flags.Arg(0))
	case "device-plugin":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		var group sync.WaitGroup
		for resource, devices := range node.Devices(*gpus) {
			plugin := &gpu.Plugin{Resource: resource, Devices: devices, Dir: "/var/lib/kubelet/device-plugins"}
			group.Go(func() { plugin.Run(ctx) })
		}
		<-ctx.Done()
		group.Wait()
		return nil
	case "lookup":
		return lookup(flags.Arg(0))
	}
	return fmt.Errorf("%q is not one of run, init, device-plugin and lookup", args[0])
}

// lookup succeeds if the cluster's DNS knows the name.
func lookup(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(node.DNSIP, "53"))
	}}
	found, err := resolver.LookupHost(ctx, name)
	if err != nil {
		return err
	}
	fmt.Println(found)
	return nil
}
