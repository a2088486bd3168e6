package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func tolerating(key string) *v1alpha1.PodSettings {
	return &v1alpha1.PodSettings{Tolerations: []v1alpha1.Toleration{{Key: "dedicated"}, {Key: key, Operator: corev1.TolerationOpExists}}}
}

func TestNotAllowed(t *testing.T) {
	root, other := &v1alpha1.PodSettings{RunAsUser: ptr.To[int64](0)}, &v1alpha1.PodSettings{RunAsUser: ptr.To[int64](1000)}
	kata := &v1alpha1.PodSettings{RuntimeClassName: ptr.To("kata")}
	for name, tc := range map[string]struct {
		allowed  Allowed
		pod      *v1alpha1.PodSettings
		priority string
		words    string // "" is allowed
	}{
		"nothing asked for": {},
		"another user":      {pod: other},
		//security:attack tenant | a Function runs as root | NotAllowed, unless the administrator allows it
		"root":                 {pod: root, words: "spec.pod.runAsUser is 0, root"},
		"root that is allowed": {pod: root, allowed: Allowed{Root: true}},
		//security:attack tenant | a Function or a run takes a priority class | NotAllowed, unless it is in the administrator's list
		"a priority class":                      {priority: "high", words: `spec.priorityClassName is "high", which the administrator does not allow`},
		"a priority class that is listed":       {priority: "high", allowed: Allowed{PriorityClasses: []string{"low", "high"}}},
		"a priority class by its beginning":     {priority: "batch-high", allowed: Allowed{PriorityClasses: []string{"batch-*"}}},
		"a priority class of another beginning": {priority: "batch", allowed: Allowed{PriorityClasses: []string{"batch-*"}}, words: "does not allow"},
		//security:attack tenant | a Function takes a priority class of the cluster's own pods, where the list allows everything | NotAllowed, always
		"a system priority whatever the list is": {priority: "system-node-critical", allowed: Allowed{PriorityClasses: []string{"*", "system-node-critical"}}, words: "are for the cluster's own pods"},
		//security:attack tenant | a Function takes a runtime class | NotAllowed, unless it is in the administrator's list
		"a runtime class":                {pod: kata, words: `spec.pod.runtimeClassName is "kata"`},
		"a runtime class that is listed": {pod: kata, allowed: Allowed{RuntimeClasses: []string{"kata"}}},
		//security:attack tenant | a Function tolerates every taint | NotAllowed, unless the administrator's list has *
		"a toleration without a key":                {pod: tolerating(""), words: "spec.pod.tolerations[1] has no key"},
		"a toleration without a key that is listed": {pod: tolerating(""), allowed: Allowed{Tolerations: []string{"*"}}},
		"keys that are listed allow none without":   {pod: tolerating(""), allowed: Allowed{Tolerations: []string{"node-role.kubernetes.io/*"}}, words: "has no key"},
		//security:attack tenant | a Function tolerates the taint of the control plane, or of nodes that are drained | NotAllowed, unless the administrator's list has the key
		"a toleration of the control plane":           {pod: tolerating("node-role.kubernetes.io/control-plane"), words: "tolerates the taint node-role.kubernetes.io/control-plane"},
		"a toleration of nodes that are drained":      {pod: tolerating("node.kubernetes.io/unschedulable"), words: "node.kubernetes.io/unschedulable"},
		"a toleration of a node's condition":          {pod: tolerating("node.kubernetes.io/not-ready")},
		"a toleration of the control plane, listed":   {pod: tolerating("node-role.kubernetes.io/control-plane"), allowed: Allowed{Tolerations: []string{"node-role.kubernetes.io/control-plane"}}},
		"a toleration of the control plane, * listed": {pod: tolerating("node-role.kubernetes.io/control-plane"), allowed: Allowed{Tolerations: []string{"*"}}},
		"a toleration of another taint":               {pod: tolerating("nvidia.com/gpu")},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.allowed.notAllowed(tc.pod, tc.priority)
			if tc.words == "" {
				checkFinding(t, got, "", "")
				return
			}
			checkFinding(t, got, v1alpha1.ReasonNotAllowed, tc.words)
		})
	}
}

func TestSystemPrioritiesCannotBeAllowed(t *testing.T) {
	options := testOptions
	options.Allowed.PriorityClasses = []string{"batch", "system-cluster-critical"}
	if err := options.Validate(); err == nil || !strings.Contains(err.Error(), `--allowed-priority-classes names "system-cluster-critical"`) {
		t.Errorf("got %v", err)
	}
	options = testOptions
	options.Workers.MemoryRequest = resource.MustParse("-1")
	if err := options.Validate(); err == nil || !strings.Contains(err.Error(), "--default-memory-request must not be negative") {
		t.Errorf("got %v", err)
	}
}

// A revision is a ConfigMap: a tenant with ConfigMaps could have written its settings, and an older version had other rules. So
// they are checked again when a Job is rendered.
func TestSettingsAreRefusedWhereTheyAreRendered(t *testing.T) {
	pod := func(change func(*v1alpha1.PodSettings)) Settings {
		settings := Settings{GPUResource: "nvidia.com/gpu", Pod: &v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{{Name: "v", EmptyDir: &v1alpha1.EmptyDir{}}}}}
		change(settings.Pod)
		return settings
	}
	mount := func(path string) Settings {
		return pod(func(p *v1alpha1.PodSettings) { p.VolumeMounts = []v1alpha1.VolumeMount{{Name: "v", MountPath: path}} })
	}
	for name, tc := range map[string]struct {
		settings Settings
		priority string
		reason   string
	}{
		"nothing":          {},
		"a harmless mount": {settings: mount("/data/")},
		"shared memory":    {settings: mount("/dev/shm")},
		//security:attack tenant with ConfigMaps | a forged revision runs as root | the Job is not rendered
		"root": {settings: pod(func(p *v1alpha1.PodSettings) { p.RunAsUser = ptr.To[int64](0) }), reason: v1alpha1.ReasonNotAllowed},
		//security:attack tenant with ConfigMaps | a forged revision tolerates every taint | the Job is not rendered
		"a toleration of everything": {settings: pod(func(p *v1alpha1.PodSettings) {
			p.Tolerations = []v1alpha1.Toleration{{Operator: corev1.TolerationOpExists}}
		}), reason: v1alpha1.ReasonNotAllowed},
		"a runtime class":          {settings: pod(func(p *v1alpha1.PodSettings) { p.RuntimeClassName = ptr.To("x") }), reason: v1alpha1.ReasonNotAllowed},
		"a pinned system priority": {priority: "system-node-critical", reason: v1alpha1.ReasonNotAllowed},
		//security:attack tenant with ConfigMaps | a forged revision mounts a volume over the operator's own files | the Job is not rendered
		"a mount over the operator's files": {settings: mount("/sharedcloud"), reason: v1alpha1.ReasonInvalid},
		"one by '..'":                       {settings: mount("/a/../sharedcloud"), reason: v1alpha1.ReasonInvalid},
		"one by '//'":                       {settings: mount("//sharedcloud"), reason: v1alpha1.ReasonInvalid},
		"one by '/.'":                       {settings: mount("/sharedcloud/."), reason: v1alpha1.ReasonInvalid},
		"one below":                         {settings: mount("/sharedcloud/code/./x"), reason: v1alpha1.ReasonInvalid},
		"the root":                          {settings: mount("/a/.."), reason: v1alpha1.ReasonInvalid},
		"what the kernel shows":             {settings: mount("/proc/sys"), reason: v1alpha1.ReasonInvalid},
		"devices":                           {settings: mount("/dev"), reason: v1alpha1.ReasonInvalid},
		"tokens":                            {settings: mount("/var/../run/secrets/x"), reason: v1alpha1.ReasonInvalid},
		"a relative path":                   {settings: mount("data"), reason: v1alpha1.ReasonInvalid},
		"two mounts at one path": {settings: pod(func(p *v1alpha1.PodSettings) {
			p.VolumeMounts = []v1alpha1.VolumeMount{{Name: "v", MountPath: "/data"}, {Name: "v", MountPath: "/data/."}}
		}), reason: v1alpha1.ReasonInvalid},
		"a sub path that leaves the volume": {settings: pod(func(p *v1alpha1.PodSettings) {
			p.VolumeMounts = []v1alpha1.VolumeMount{{Name: "v", MountPath: "/data", SubPath: "../x"}}
		}), reason: v1alpha1.ReasonInvalid},
		"a volume of the operator's name": {settings: pod(func(p *v1alpha1.PodSettings) { p.Volumes[0].Name = volumeWorker }), reason: v1alpha1.ReasonInvalid},
		//security:attack tenant | a variable of a Function takes the place of one of the operator's, by spaces or lower case | refused
		"a variable of the operator's": {settings: pod(func(p *v1alpha1.PodSettings) { p.Env = []v1alpha1.EnvVar{{Name: " sharedcloud_TOKEN_FILE"}} }), reason: v1alpha1.ReasonInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			checkFinding(t, testOptions.refuse(tc.settings, tc.priority), tc.reason, "")
		})
	}
}

// $(NAME) in a variable of a Function is replaced by what was named before it: by the operator's own, too.
//
//security:attack tenant | $(NAME) in a variable shows a secret of the operator's | none of the operator's own variables is one: an address and paths
func TestOwnVariablesHoldNoSecrets(t *testing.T) {
	run := makeRun("r").Pinned("f-0123456789", 1, 1, 0).Job(1, "").Obj()
	for _, variable := range ownEnv(run, Settings{HandlerFile: "handler.py"}, testOptions.ExchangeURL) {
		if variable.ValueFrom != nil || variable.Value == nil {
			t.Errorf("%s comes from elsewhere", *variable.Name)
			continue
		}
		if !strings.HasPrefix(*variable.Value, mountDir+"/") && !strings.HasPrefix(*variable.Value, testOptions.ExchangeURL+"/") {
			t.Errorf("%s is %q: neither a path of the operator's folder nor the address of the exchange", *variable.Name, *variable.Value)
		}
		if !strings.HasPrefix(*variable.Name, ownEnvs) {
			t.Errorf("%s can be set by a Function", *variable.Name)
		}
	}
}

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
		"nothing said, no defaults": {},
		//security:attack tenant | workers without requests crowd a node | they request what the administrator's defaults say
		"nothing said":                          {defaults: defaults, requests: list("100m", "128Mi"), limits: list("", "1Gi")},
		"what is requested stays":               {defaults: defaults, user: v1alpha1.Resources{Requests: user("1", "256Mi")}, requests: list("1", "256Mi"), limits: list("", "1Gi")},
		"a limit is the request, too":           {defaults: defaults, user: v1alpha1.Resources{Limits: user("50m", "64Mi")}, limits: list("50m", "64Mi")},
		"a request above the default limit":     {defaults: defaults, user: v1alpha1.Resources{Requests: user("", "4Gi")}, requests: list("100m", "4Gi"), limits: list("", "4Gi")},
		"a limit of memory says nothing of CPU": {defaults: defaults, user: v1alpha1.Resources{Limits: user("", "64Mi")}, requests: list("100m", ""), limits: list("", "64Mi")},
		"no limit by default":                   {defaults: WorkerDefaults{CPURequest: quantity("1m")}, requests: list("1m", "")},
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

func TestMountPathsAreRenderedCleaned(t *testing.T) {
	mounts := userMounts(v1alpha1.PodSettings{VolumeMounts: []v1alpha1.VolumeMount{{Name: "v", MountPath: "/data/./x//"}}})
	if got := *mounts[0].MountPath; got != "/data/x" {
		t.Errorf("the path is %q", got)
	}
}
