// Command kubernetes is every program of the local cluster in one binary:
// Kubernetes' own components, etcd, CoreDNS and KWOK.
//
// The programs share nearly all of their packages, so one binary is built and
// linked in a fraction of the time and space that nine would take. Like
// busybox, it is the program whose name it was called by (a symlink), or else
// the one its first argument names:
//
//	ln -s kubernetes kubectl && ./kubectl get nodes
//	./kubernetes kubectl get nodes
//
// What is started often, or has to stay small, is not here but in
// cmd/nodetool: each start of this binary costs 0.2 s of processor time.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"

	_ "time/tzdata" // CronJobs name time zones, and the machine may have no list of them

	"sharedcloud.io/function-operator/hack/cluster/internal/multicall"
)

// programs maps the names to what they run. Each reads os.Args, as its
// upstream main does, and ends the process itself when it fails.
var programs = map[string]func(){
	"kube-apiserver":          apiServer,
	"kube-controller-manager": controllerManager,
	"kube-scheduler":          scheduler,
	"kubelet":                 kubelet,
	"kube-proxy":              proxy,
	"kubectl":                 kubectl,
	"etcd":                    etcd,
	"coredns":                 coreDNS,
	"kwok":                    kwok,
}

func main() {
	run, args, found := multicall.Choose(programs, os.Args)
	if !found {
		fmt.Fprintf(os.Stderr, "kubernetes: call it by one of these names, or give one as the first argument: %s\n",
			strings.Join(names(), ", "))
		os.Exit(2)
	}
	os.Args = args
	run()
}

func names() []string {
	all := make([]string, 0, len(programs))
	for name := range programs {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}
