package workload

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func tolerating(key string) *v1alpha1.PodSettings {
	return &v1alpha1.PodSettings{Tolerations: []v1alpha1.Toleration{{Key: "dedicated"}, {Key: key, Operator: corev1.TolerationOpExists}}}
}

func TestAllowedCheck(t *testing.T) {
	root, other := &v1alpha1.PodSettings{RunAsUser: ptr.To[int64](0)}, &v1alpha1.PodSettings{RunAsUser: ptr.To[int64](1000)}
	kata := &v1alpha1.PodSettings{RuntimeClassName: ptr.To("kata")}
	for name, tc := range map[string]struct {
		allowed  Allowed
		pod      *v1alpha1.PodSettings
		priority string
		words    string // "" is allowed
	}{
		"empty settings": {},
		"another user":   {pod: other},
		//security:attack tenant | a Function runs as root | NotAllowed, unless the administrator allows it
		"root":                 {pod: root, words: "spec.pod.runAsUser is 0, root"},
		"root that is allowed": {pod: root, allowed: Allowed{Root: true}},
		//security:attack tenant | a Function or a run takes a priority class | NotAllowed, unless it is in the administrator's list
		"a priority class":                     {priority: "high", words: `spec.priorityClassName is "high", which the administrator does not allow`},
		"a priority class that is listed":      {priority: "high", allowed: Allowed{PriorityClasses: []string{"low", "high"}}},
		"a priority class by its prefix":       {priority: "batch-high", allowed: Allowed{PriorityClasses: []string{"batch-*"}}},
		"a priority class with another prefix": {priority: "batch", allowed: Allowed{PriorityClasses: []string{"batch-*"}}, words: "does not allow"},
		//security:attack tenant | a Function takes a priority class of the cluster's own pods, where the list allows everything | NotAllowed, always
		"a system priority class, listed": {priority: "system-node-critical", allowed: Allowed{PriorityClasses: []string{"*", "system-node-critical"}}, words: "are for the cluster's own pods"},
		//security:attack tenant | a Function takes a runtime class | NotAllowed, unless it is in the administrator's list
		"a runtime class":                {pod: kata, words: `spec.pod.runtimeClassName is "kata"`},
		"a runtime class that is listed": {pod: kata, allowed: Allowed{RuntimeClasses: []string{"kata"}}},
		//security:attack tenant | a Function tolerates every taint | NotAllowed, unless the administrator's list has *
		"a toleration without a key":                          {pod: tolerating(""), words: "spec.pod.tolerations[1] has no key"},
		"a toleration without a key that is listed":           {pod: tolerating(""), allowed: Allowed{Tolerations: []string{"*"}}},
		"listed keys do not allow a toleration without a key": {pod: tolerating(""), allowed: Allowed{Tolerations: []string{"node-role.kubernetes.io/*"}}, words: "has no key"},
		//security:attack tenant | a Function tolerates the taint of the control plane, or of nodes that are drained | NotAllowed, unless the administrator's list has the key
		"a toleration of the control plane":           {pod: tolerating("node-role.kubernetes.io/control-plane"), words: "tolerates the taint node-role.kubernetes.io/control-plane"},
		"a toleration of nodes that are drained":      {pod: tolerating("node.kubernetes.io/unschedulable"), words: "node.kubernetes.io/unschedulable"},
		"a toleration of a node's condition":          {pod: tolerating("node.kubernetes.io/not-ready")},
		"a toleration of the control plane, listed":   {pod: tolerating("node-role.kubernetes.io/control-plane"), allowed: Allowed{Tolerations: []string{"node-role.kubernetes.io/control-plane"}}},
		"a toleration of the control plane, * listed": {pod: tolerating("node-role.kubernetes.io/control-plane"), allowed: Allowed{Tolerations: []string{"*"}}},
		"a toleration of another taint":               {pod: tolerating("nvidia.com/gpu")},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.allowed.Check(tc.pod, tc.priority)
			if tc.words == "" {
				checkProblem(t, got, "", "")
				return
			}
			checkProblem(t, got, v1alpha1.ReasonNotAllowed, tc.words)
		})
	}
}

// A revision is a ConfigMap: a tenant who may write ConfigMaps could have written its settings, and an older version had other rules. So
// they are checked again when a Job is built.
func TestCheckSettings(t *testing.T) {
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
		"empty settings":   {},
		"a harmless mount": {settings: mount("/data/")},
		"shared memory":    {settings: mount("/dev/shm")},
		//security:attack tenant with ConfigMaps | a forged revision runs as root | the Job is not built
		"root": {settings: pod(func(p *v1alpha1.PodSettings) { p.RunAsUser = ptr.To[int64](0) }), reason: v1alpha1.ReasonNotAllowed},
		//security:attack tenant with ConfigMaps | a forged revision tolerates every taint | the Job is not built
		"a toleration of everything": {settings: pod(func(p *v1alpha1.PodSettings) {
			p.Tolerations = []v1alpha1.Toleration{{Operator: corev1.TolerationOpExists}}
		}), reason: v1alpha1.ReasonNotAllowed},
		"a runtime class":          {settings: pod(func(p *v1alpha1.PodSettings) { p.RuntimeClassName = ptr.To("x") }), reason: v1alpha1.ReasonNotAllowed},
		"a pinned system priority": {priority: "system-node-critical", reason: v1alpha1.ReasonNotAllowed},
		//security:attack tenant with ConfigMaps | a forged revision mounts a volume over the operator's files | the Job is not built
		"a mount over the operator's files": {settings: mount("/sharedcloud"), reason: v1alpha1.ReasonInvalid},
		"a mount over them by '..'":         {settings: mount("/a/../sharedcloud"), reason: v1alpha1.ReasonInvalid},
		"a mount over them by '//'":         {settings: mount("//sharedcloud"), reason: v1alpha1.ReasonInvalid},
		"a mount over them by '/.'":         {settings: mount("/sharedcloud/."), reason: v1alpha1.ReasonInvalid},
		"a mount below them":                {settings: mount("/sharedcloud/code/./x"), reason: v1alpha1.ReasonInvalid},
		"a mount over the root":             {settings: mount("/a/.."), reason: v1alpha1.ReasonInvalid},
		"a mount over the kernel's files":   {settings: mount("/proc/sys"), reason: v1alpha1.ReasonInvalid},
		"a mount over devices":              {settings: mount("/dev"), reason: v1alpha1.ReasonInvalid},
		"a mount over tokens":               {settings: mount("/var/../run/secrets/x"), reason: v1alpha1.ReasonInvalid},
		"a relative path":                   {settings: mount("data"), reason: v1alpha1.ReasonInvalid},
		"two mounts at one path": {settings: pod(func(p *v1alpha1.PodSettings) {
			p.VolumeMounts = []v1alpha1.VolumeMount{{Name: "v", MountPath: "/data"}, {Name: "v", MountPath: "/data/."}}
		}), reason: v1alpha1.ReasonInvalid},
		"a sub path that leaves the volume": {settings: pod(func(p *v1alpha1.PodSettings) {
			p.VolumeMounts = []v1alpha1.VolumeMount{{Name: "v", MountPath: "/data", SubPath: "../x"}}
		}), reason: v1alpha1.ReasonInvalid},
		"a volume of the operator's name": {settings: pod(func(p *v1alpha1.PodSettings) { p.Volumes[0].Name = volumeWorker }), reason: v1alpha1.ReasonInvalid},
		//security:attack tenant | a variable of a Function replaces one of the operator's, by spaces or lower case | refused
		"a variable of the operator's": {settings: pod(func(p *v1alpha1.PodSettings) { p.Env = []v1alpha1.EnvVar{{Name: " sharedcloud_TOKEN_FILE"}} }), reason: v1alpha1.ReasonInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			checkProblem(t, testOptions.CheckSettings(tc.settings, tc.priority), tc.reason, "")
		})
	}
}
