package main

import (
	"flag"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"sharedcloud.io/function-operator/controllers/workload"
)

// plainQuantity is a quantity without sign and exponent.
var plainQuantity = regexp.MustCompile(`^[0-9]{1,15}(\.[0-9]{1,9})?(m|k|[KMGTPE]i?)?$`)

// allowedFlags adds the administrator's allow-lists.
func allowedFlags(set *flag.FlagSet, allowed *workload.Allowed) {
	list := func(name string, into *[]string, usage string) {
		set.Func(name, usage, func(text string) error {
			*into = nil
			for entry := range strings.SplitSeq(text, ",") {
				if entry = strings.TrimSpace(entry); entry != "" {
					*into = append(*into, entry)
				}
			}
			return nil
		})
	}
	list("allowed-priority-classes", &allowed.PriorityClasses, "priority classes that functions may use, separated by commas; batch-* allows all that begin with batch-; by default none")
	list("allowed-runtime-classes", &allowed.RuntimeClasses, "runtime classes that functions may use, separated by commas; by default none")
	list("allowed-tolerations", &allowed.Tolerations, "keys of the cluster's own taints (node-role.kubernetes.io/…, node.kubernetes.io/unschedulable) that functions may tolerate, separated by commas; * also allows tolerations of every taint; by default none")
	set.BoolVar(&allowed.Root, "allow-root", false, "allow functions to run as root")
}

// workerFlags adds the resources of workers whose Function sets none.
func workerFlags(set *flag.FlagSet, defaults *workload.WorkerDefaults) {
	quantity := func(name string, into *resource.Quantity, value, usage string) {
		if value != "0" {
			usage += "; by default " + value
		}
		*into = resource.MustParse(value)
		set.Func(name, usage, func(text string) error {
			parsed, err := resource.ParseQuantity(text)
			if err != nil || !plainQuantity.MatchString(text) {
				return fmt.Errorf("must be a quantity such as %s or 0 for none, not %q", value, text)
			}
			*into = parsed
			return nil
		})
	}
	quantity("default-cpu-request", &defaults.CPURequest, "100m", "CPU request of a worker whose Function sets neither a request nor a limit; 0 for none")
	quantity("default-memory-request", &defaults.MemoryRequest, "128Mi", "memory request of a worker whose Function sets neither a request nor a limit; 0 for none")
	quantity("default-memory-limit", &defaults.MemoryLimit, "0", "memory limit of a worker whose Function sets none; 0, the default, for none")
	quantity("default-memory-volume-size", &defaults.MemoryVolume, "1Gi", "size of an emptyDir volume in memory that sets none, and of the shared memory of workers with GPUs and without a memory limit; 0 for none")
	quantity("default-disk-volume-size", &defaults.DiskVolume, "0", "size of an emptyDir volume on the node's disk that sets none, and of the home directory of workers; 0, the default, for none")
}
