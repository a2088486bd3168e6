package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestWorkerDefaults(t *testing.T) {
	quantity := resource.MustParse
	defaults := WorkerDefaults{CPURequest: quantity("100m"), MemoryRequest: quantity("128Mi"), MemoryLimit: quantity("1Gi")}
	list := func(cpu, memory string) corev1.ResourceList {
		resources := corev1.ResourceList{}
		if cpu != "" {
			resources["cpu"] = quantity(cpu)
		}
		if memory != "" {
			resources["memory"] = quantity(memory)
		}
		return resources
	}
	user := func(cpu, memory string) v1alpha1.ResourceList {
		resources := v1alpha1.ResourceList{}
		for name, quantity := range list(cpu, memory) {
			resources[name] = v1alpha1.Quantity(quantity)
		}
		return resources
	}
	for name, tc := range map[string]struct {
		defaults         WorkerDefaults
		user             v1alpha1.Resources
		requests, limits corev1.ResourceList
	}{
		"nothing set, no defaults": {},
		//security:attack tenant | workers without requests overload a node | they request the administrator's defaults
		"nothing set":                               {defaults: defaults, requests: list("100m", "128Mi"), limits: list("", "1Gi")},
		"a request is kept":                         {defaults: defaults, user: v1alpha1.Resources{Requests: user("1", "256Mi")}, requests: list("1", "256Mi"), limits: list("", "1Gi")},
		"a limit is also the request":               {defaults: defaults, user: v1alpha1.Resources{Limits: user("50m", "64Mi")}, limits: list("50m", "64Mi")},
		"a request above the default limit":         {defaults: defaults, user: v1alpha1.Resources{Requests: user("", "4Gi")}, requests: list("100m", "4Gi"), limits: list("", "4Gi")},
		"a limit of memory does not affect the CPU": {defaults: defaults, user: v1alpha1.Resources{Limits: user("", "64Mi")}, requests: list("100m", ""), limits: list("", "64Mi")},
		"no limit by default":                       {defaults: WorkerDefaults{CPURequest: quantity("1m")}, requests: list("1m", "")},
	} {
		t.Run(name, func(t *testing.T) {
			requests, limits := tc.defaults.resources(tc.user)
			for what, lists := range map[string][2]corev1.ResourceList{"requests": {tc.requests, requests}, "limits": {tc.limits, limits}} {
				if diff := cmp.Diff(lists[0], lists[1], cmpopts.EquateEmpty(), cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 })); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
		})
	}
}

//security:attack tenant | an in-memory volume without a size takes the memory of the node | it has the administrator's default size
func TestVolumesInMemoryHaveASize(t *testing.T) {
	pod := v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{
		{Name: "memory", EmptyDir: &v1alpha1.EmptyDir{Medium: "Memory"}},
		{Name: "sized", EmptyDir: &v1alpha1.EmptyDir{Medium: "Memory", SizeLimitMiB: ptr.To[int64](5)}},
		{Name: "disk", EmptyDir: &v1alpha1.EmptyDir{}},
	}}
	size := func(defaults WorkerDefaults, i int) string {
		limit := userVolumes(pod, defaults)[i].EmptyDir.SizeLimit
		if limit == nil {
			return ""
		}
		return limit.String()
	}
	memory := WorkerDefaults{MemoryVolume: resource.MustParse("1Gi")}
	if got := []string{size(memory, 0), size(memory, 1), size(memory, 2)}; !cmp.Equal(got, []string{"1Gi", "5Mi", ""}) {
		t.Errorf("sizes are %q", got)
	}
	if got := size(WorkerDefaults{DiskVolume: resource.MustParse("2Gi")}, 2); got != "2Gi" {
		t.Errorf("the size on disk is %q", got)
	}
}
