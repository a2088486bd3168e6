package workload

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// memoryOf is the volume that a worker has at /dev/shm: its size, "" for the volume of the container runtime or of the Function,
// and "no limit" for a volume without a size.
func memoryOf(t *testing.T, settings Settings, gpus int32, defaults WorkerDefaults) string {
	t.Helper()
	around := surroundingsFor(settings, gpus, defaults)
	for i, mount := range around.mounts {
		if *mount.MountPath != "/dev/shm" {
			continue
		}
		source := around.volumes[i].EmptyDir
		if *around.volumes[i].Name != *mount.Name || source == nil || source.Medium == nil || *source.Medium != corev1.StorageMediumMemory {
			t.Fatalf("%+v is mounted at /dev/shm", around.volumes[i])
		}
		if source.SizeLimit == nil {
			return "no limit"
		}
		return source.SizeLimit.String()
	}
	return ""
}

func TestSharedMemoryOfWorkers(t *testing.T) {
	quantity := func(text string) *v1alpha1.Quantity {
		q := v1alpha1.MustParseQuantity(text)
		return &q
	}
	limit := func(memory string) *v1alpha1.Resources {
		return &v1alpha1.Resources{Limits: v1alpha1.ResourceList{corev1.ResourceMemory: *quantity(memory)}}
	}
	mounted := func(at string) v1alpha1.PodSettings {
		return v1alpha1.PodSettings{
			Volumes:      []v1alpha1.Volume{{Name: "v", EmptyDir: &v1alpha1.EmptyDir{}}},
			VolumeMounts: []v1alpha1.VolumeMount{{Name: "v", MountPath: at}},
		}
	}
	inMemory := WorkerDefaults{MemoryVolume: resource.MustParse("1Gi")}
	limited := WorkerDefaults{MemoryVolume: resource.MustParse("1Gi"), MemoryLimit: resource.MustParse("4Gi")}
	for name, tc := range map[string]struct {
		pod      v1alpha1.PodSettings
		gpus     int32
		defaults WorkerDefaults
		old      bool
		want     string
	}{
		"a worker without GPUs keeps that of the runtime":      {defaults: limited, pod: v1alpha1.PodSettings{Resources: limit("8Gi")}},
		"half of the memory limit with GPUs":                   {gpus: 1, defaults: inMemory, pod: v1alpha1.PodSettings{Resources: limit("24Gi")}, want: "12Gi"},
		"half of the administrator's memory limit":             {gpus: 1, defaults: limited, want: "2Gi"},
		"half of a limit that the request raises":              {gpus: 1, defaults: limited, pod: v1alpha1.PodSettings{Resources: &v1alpha1.Resources{Requests: limit("10Gi").Limits}}, want: "5Gi"},
		"the default size of a volume in memory without limit": {gpus: 8, defaults: inMemory, want: "1Gi"},
		"a limit of zero is none":                              {gpus: 8, defaults: inMemory, pod: v1alpha1.PodSettings{Resources: limit("0")}, want: "1Gi"},
		"no size if the administrator sets none":               {gpus: 1, want: "no limit"},
		"never less than that of the runtime":                  {gpus: 1, pod: v1alpha1.PodSettings{Resources: limit("100Mi")}, want: "64Mi"},
		"never more than the limit":                            {gpus: 1, pod: v1alpha1.PodSettings{Resources: limit("32Mi")}, want: "32Mi"},
		"a giant limit":                                        {gpus: 1, pod: v1alpha1.PodSettings{Resources: limit("999999999999999999E")}, want: "512Ti"},
		"what the Function sets":                               {defaults: inMemory, pod: v1alpha1.PodSettings{SharedMemory: quantity("300Mi")}, want: "300Mi"},
		"what the Function sets, with GPUs":                    {gpus: 1, defaults: limited, pod: v1alpha1.PodSettings{SharedMemory: quantity("3G")}, want: "3G"},
		"what the Function sets, up to the memory limit":       {gpus: 1, defaults: limited, pod: v1alpha1.PodSettings{SharedMemory: quantity("64Gi")}, want: "4Gi"},
		"none if the Function sets 0":                          {gpus: 1, defaults: limited, pod: v1alpha1.PodSettings{SharedMemory: quantity("0")}},
		"none if the Function sets 0Gi":                        {gpus: 1, defaults: limited, pod: v1alpha1.PodSettings{SharedMemory: quantity("0Gi")}},
		"the Function's own volume":                            {gpus: 1, defaults: limited, pod: mounted("/dev/shm")},
		"the Function's own volume by another path":            {gpus: 1, defaults: limited, pod: mounted("//dev/./shm/")},
		"beside a volume below it":                             {gpus: 1, defaults: limited, pod: mounted("/dev/shm/cache"), want: "2Gi"},
		"beside a volume of a similar name":                    {gpus: 1, defaults: limited, pod: mounted("/dev/shm-cache"), want: "2Gi"},
		"a revision of an older operator":                      {gpus: 1, defaults: limited, old: true},
	} {
		t.Run(name, func(t *testing.T) {
			settings := Settings{Pod: &tc.pod, PodVersion: podVersion}
			if tc.old {
				settings.PodVersion = 0
			}
			if got := memoryOf(t, settings, tc.gpus, tc.defaults); got != tc.want {
				t.Errorf("the volume at /dev/shm has the size %q, want %q", got, tc.want)
			}
		})
	}
}

// The runner removes files from /dev/shm only if the operator states that no other program uses them.
//
//security:attack tenant | a worker's runner deletes the files of a claim that is mounted in /dev/shm | the operator states whose /dev/shm it is, by cleaned paths
func TestTheOwnerOfSharedMemoryIsStated(t *testing.T) {
	for at, want := range map[string]string{
		"":                "worker",
		"/data":           "worker",
		"/dev/shmx":       "worker",
		"/dev/shm":        "user",
		"/dev//shm/":      "user",
		"/./dev/shm/.":    "user",
		"/dev/shm/models": "user",
	} {
		settings := Settings{PodVersion: podVersion}
		if at != "" {
			settings.Pod = &v1alpha1.PodSettings{VolumeMounts: []v1alpha1.VolumeMount{{Name: "v", MountPath: at}}}
		}
		env := surroundingsFor(settings, 1, WorkerDefaults{}).env
		i := slices.IndexFunc(env, func(e *coreac.EnvVarApplyConfiguration) bool { return *e.Name == "SHAREDCLOUD_SHARED_MEMORY_OWNER" })
		if i < 0 || *env[i].Value != want {
			t.Errorf("a volume at %q: the variables are %v, want the owner %s", at, env, want)
		}
	}
}

func TestTheHomeDirectoryHasTheSizeOfVolumesOnDisk(t *testing.T) {
	for text, want := range map[string]string{"0": "", "20Gi": "20Gi"} {
		around := surroundingsFor(Settings{PodVersion: podVersion}, 0, WorkerDefaults{DiskVolume: resource.MustParse(text)})
		if len(around.volumes) != 1 || *around.mounts[0].MountPath != "/sharedcloud/home" || around.mounts[0].ReadOnly != nil {
			t.Fatalf("mounts %v", around.mounts)
		}
		size := ""
		if limit := around.volumes[0].EmptyDir.SizeLimit; limit != nil {
			size = limit.String()
		}
		if size != want {
			t.Errorf("the size is %q, want %q", size, want)
		}
	}
}

func TestCheckPodOfSharedMemory(t *testing.T) {
	pod := func(size, limit, at string) *v1alpha1.PodSettings {
		quantity := v1alpha1.MustParseQuantity(size)
		settings := &v1alpha1.PodSettings{SharedMemory: &quantity}
		if limit != "" {
			settings.Resources = &v1alpha1.Resources{Limits: v1alpha1.ResourceList{corev1.ResourceMemory: v1alpha1.MustParseQuantity(limit)}}
		}
		if at != "" {
			settings.Volumes = []v1alpha1.Volume{{Name: "v", EmptyDir: &v1alpha1.EmptyDir{}}}
			settings.VolumeMounts = []v1alpha1.VolumeMount{{Name: "v", MountPath: at}}
		}
		return settings
	}
	for name, tc := range map[string]struct {
		pod  *v1alpha1.PodSettings
		want string
	}{
		"a size":                     {pod: pod("2Gi", "", "")},
		"a size within the limit":    {pod: pod("2Gi", "2Gi", "/data")},
		"nothing":                    {pod: pod("0", "2Gi", "")},
		"a size without limit":       {pod: pod("2Gi", "0", "")},
		"a volume below /dev/shm":    {pod: pod("2Gi", "", "/dev/shm/x")},
		"the greatest size":          {pod: pod("1Pi", "", "")},
		"a negative size":            {pod: pod("-1Gi", "", ""), want: "spec.pod.sharedMemory is -1Gi: it must be 0, which leaves the /dev/shm of the container runtime, or between 1Mi and 1Pi"},
		"a size without a unit":      {pod: pod("2", "", ""), want: "between 1Mi and 1Pi, such as 2Gi."},
		"a part of a byte":           {pod: pod("500m", "", ""), want: "between 1Mi and 1Pi"},
		"a giant size":               {pod: pod("999999999999999999E", "", ""), want: "between 1Mi and 1Pi"},
		"more than the limit":        {pod: pod("3Gi", "2Gi", ""), want: "spec.pod.sharedMemory is 3Gi, more than the memory limit 2Gi, towards which it counts: lower it or raise spec.pod.resources.limits.memory."},
		"a volume at /dev/shm":       {pod: pod("2Gi", "", "/dev/shm"), want: "spec.pod.sharedMemory is set, and spec.pod.volumeMounts[0] mounts the volume v at /dev/shm: remove one of the two."},
		"a volume at /dev//shm/":     {pod: pod("2Gi", "", "/dev//shm/"), want: "remove one of the two"},
		"0 and a volume at /dev/shm": {pod: pod("0", "", "/dev/shm"), want: "remove one of the two"},
	} {
		problem := CheckPod(tc.pod, "nvidia.com/gpu")
		switch {
		case tc.want == "" && problem != nil:
			t.Errorf("%s: refused: %s", name, problem.Message)
		case tc.want != "" && (problem == nil || problem.Reason != v1alpha1.ReasonInvalid || !strings.Contains(problem.Message, tc.want)):
			t.Errorf("%s: got %+v, want %q", name, problem, tc.want)
		}
	}
}
