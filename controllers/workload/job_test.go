package workload

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

var update = flag.Bool("update", false, "rewrite the golden manifests under testdata")

// The manifests under testdata show the Jobs of runs.
func TestJobFor(t *testing.T) {
	quantity := v1alpha1.MustParseQuantity
	base := func() (*v1alpha1.Function, *v1alpha1.FunctionImage) {
		return builders.MakeFunction("f").Obj(), builders.MakeImage("sharedcloud-catalogue", "python")
	}
	tests := []struct {
		name            string
		golden          string
		function        func(*v1alpha1.Function)
		image           func(*v1alpha1.FunctionImage)
		run             func() *v1alpha1.FunctionRun
		files           []string
		withoutProgress int32
		podVersion      *int32
	}{
		{
			name:   "a run of a plain function becomes an Indexed Job of its workers",
			golden: "job_plain.yaml",
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("digits-7k2xp").Pinned("f-0123456789", 1000, 8, 0).Job(1, "").Obj()
			},
		},
		{
			name:   "GPUs are requested in the limits, and their taint is tolerated",
			golden: "job_gpu.yaml",
			image:  func(image *v1alpha1.FunctionImage) { image.Spec.RequiresGPU = true },
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("train").Pinned("f-0123456789", 3, 3, 2).Job(1, "").Obj()
			},
		},
		{
			name:   "shared memory of workers with GPUs is bounded by the memory limit",
			golden: "job_gpu_limited.yaml",
			function: func(f *v1alpha1.Function) {
				f.Spec.Pod = &v1alpha1.PodSettings{Resources: &v1alpha1.Resources{Limits: v1alpha1.ResourceList{"memory": quantity("24Gi")}}}
			},
			image: func(image *v1alpha1.FunctionImage) { image.Spec.RequiresGPU = true },
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("train").Pinned("f-0123456789", 3, 3, 1).Job(1, "").Obj()
			},
		},
		{
			name:   "workers without GPUs get the shared memory that the function sets",
			golden: "job_shared_memory.yaml",
			function: func(f *v1alpha1.Function) {
				f.Spec.Pod = &v1alpha1.PodSettings{SharedMemory: ptr.To(quantity("2Gi"))}
			},
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("digits").Pinned("f-0123456789", 3, 3, 0).Job(1, "").Obj()
			},
		},
		{
			name:       "a revision of an older operator keeps the pod that its runner expects",
			golden:     "job_old_revision.yaml",
			podVersion: ptr.To[int32](0),
			image:      func(image *v1alpha1.FunctionImage) { image.Spec.RequiresGPU = true },
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("train").Pinned("f-0123456789", 3, 3, 2).Job(1, "").Obj()
			},
		},
		{
			name:   "GPU products select nodes by their label",
			golden: "job_gpu_products.yaml",
			image:  func(image *v1alpha1.FunctionImage) { image.Spec.RequiresGPU = true },
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("train").Pinned("f-0123456789", 3, 3, 1).Job(1, "").With(func(r *v1alpha1.FunctionRun) {
					r.Status.Revision.GPUProducts = []string{"NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3"}
				}).Obj()
			},
		},
		{
			name:   "parts of GPUs are requested, and the taints of parts and whole GPUs are tolerated",
			golden: "job_gpu_part.yaml",
			function: func(function *v1alpha1.Function) {
				function.Spec.GPUResource = ptr.To("nvidia.com/gpu.shared")
			},
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("train").Pinned("f-0123456789", 3, 3, 1).Job(1, "").With(func(r *v1alpha1.FunctionRun) {
					r.Status.Revision.GPUResource, r.Status.Revision.PriorityClassName = "nvidia.com/mig-1g.10gb", "batch"
				}).Obj()
			},
		},
		{
			name:   "files beside the module are mounted in its directory",
			golden: "job_files.yaml",
			files:  []string{"labels.json", "util.py"},
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("digits").Pinned("f-0123456789", 3, 3, 0).Job(1, "").Obj()
			},
		},
		{
			name:   "all pod settings are applied, and nothing else changes",
			golden: "job_everything.yaml",
			function: func(function *v1alpha1.Function) {
				function.Spec.Runtime = "python36"
				function.Spec.Pod = &v1alpha1.PodSettings{
					Env: []v1alpha1.EnvVar{
						{Name: "PLAIN", Value: "text"},
						{Name: "EMPTY"},
						{Name: "SECRET", ValueFrom: &v1alpha1.EnvVarSource{SecretKeyRef: &v1alpha1.SecretKeySelector{Name: "keys", Key: "token", Optional: ptr.To(true)}}},
						{Name: "CONFIG", ValueFrom: &v1alpha1.EnvVarSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeySelector{Name: "config", Key: "level"}}},
						{Name: "NODE", ValueFrom: &v1alpha1.EnvVarSource{FieldRef: &v1alpha1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}},
						{Name: "CPUS", ValueFrom: &v1alpha1.EnvVarSource{ResourceFieldRef: &v1alpha1.ResourceFieldSelector{Resource: "limits.cpu", Divisor: quantity("1m")}}},
						{Name: "FROM_FILE", ValueFrom: &v1alpha1.EnvVarSource{FileKeyRef: &v1alpha1.FileKeySelector{VolumeName: "scratch", Path: "env", Key: "A"}}},
					},
					Volumes: []v1alpha1.Volume{
						{Name: "models", PersistentVolumeClaim: &v1alpha1.ClaimSource{ClaimName: "models", ReadOnly: true}},
						{Name: "config", ConfigMap: &v1alpha1.NamedSource{Name: "config"}},
						{Name: "keys", Secret: &v1alpha1.NamedSource{Name: "keys"}},
						{Name: "scratch", EmptyDir: &v1alpha1.EmptyDir{}},
						{Name: "shm", EmptyDir: &v1alpha1.EmptyDir{Medium: "Memory", SizeLimitMiB: ptr.To[int64](512)}},
					},
					VolumeMounts: []v1alpha1.VolumeMount{
						{Name: "models", MountPath: "/models", ReadOnly: true},
						{Name: "config", MountPath: "/etc/app.ini", SubPath: "app.ini"},
						{Name: "shm", MountPath: "/dev/shm"},
					},
					NodeSelector: map[string]v1alpha1.LabelValue{"pool": "gpu"},
					Tolerations: []v1alpha1.Toleration{
						{Key: "dedicated", Operator: corev1.TolerationOpEqual, Value: "batch", Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](60)},
						{Operator: corev1.TolerationOpExists},
					},
					Resources: &v1alpha1.Resources{
						Requests: v1alpha1.ResourceList{"cpu": quantity("500m"), "memory": quantity("1Gi")},
						Limits:   v1alpha1.ResourceList{"memory": quantity("2Gi")},
					},
					RuntimeClassName: ptr.To("nvidia"),
					RunAsUser:        ptr.To[int64](1000),
				}
			},
			image: func(image *v1alpha1.FunctionImage) {
				image.Spec.ImagePullPolicy = corev1.PullAlways
				image.Spec.ImagePullSecrets = []string{"registry", "mirror"}
			},
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("sweep").Pinned("f-0123456789", 50, 4, 1).Job(1, "").Obj()
			},
		},
		{
			name:     "a function that runs as root has no privileges",
			golden:   "job_root.yaml",
			function: func(f *v1alpha1.Function) { f.Spec.Pod = &v1alpha1.PodSettings{RunAsUser: ptr.To[int64](0)} },
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("rooted").Pinned("f-0123456789", 1, 1, 0).Job(1, "").Obj()
			},
		},
		{
			name:   "a Node function starts Node with its runner and code",
			golden: "job_node.yaml",
			function: func(f *v1alpha1.Function) {
				f.Spec.Runtime, f.Spec.Code = "node20", ptr.To("function handler(event) { return event[0] }\n")
			},
			image: func(image *v1alpha1.FunctionImage) { image.Spec.Runtime = "node20" },
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("scripted").Pinned("f-0123456789", 10, 2, 0).Job(1, "").Obj()
			},
		},
		{
			name:   "a later Job records the outcomes before it",
			golden: "job_next.yaml",
			run: func() *v1alpha1.FunctionRun {
				return builders.MakeRun("again").Pinned("f-0123456789", 10, 2, 0).Job(3, "").
					Progress(v1alpha1.RunProgress{Total: 10, Pending: 4, Succeeded: 5, Failed: 1}).Obj()
			},
			withoutProgress: 1,
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			function, image := base()
			if tc.function != nil {
				tc.function(function)
			}
			if tc.image != nil {
				tc.image(image)
			}
			runtime, _ := builders.Lookup(function.Spec.Runtime)
			settings := SettingsFor(function, image, runtime, testOptions.GPUResource)
			settings.Files = tc.files
			settings.PodVersion = ptr.Deref(tc.podVersion, settings.PodVersion)
			got, err := yaml.Marshal(JobFor(tc.run(), settings, testOptions, tc.withoutProgress, builders.Now))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", tc.golden)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("the Job differs from testdata/%s (-want +got); run go test ./controllers/workload -update if it should:\n%s", tc.golden, diff)
			}
		})
	}
}

func TestJobForDoesNotChangeTheSettings(t *testing.T) {
	function, image := builders.MakeFunction("f").Obj(), builders.MakeImage("team", "python")
	function.Spec.Pod = &v1alpha1.PodSettings{Resources: &v1alpha1.Resources{Limits: v1alpha1.ResourceList{"memory": v1alpha1.MustParseQuantity("1Gi")}}}
	runtime, _ := builders.Lookup("python311")
	settings := SettingsFor(function, image, runtime, testOptions.GPUResource)
	JobFor(builders.MakeRun("r").Pinned("f-0123456789", 1, 1, 1).Job(1, "").Obj(), settings, testOptions, 0, builders.Now)
	if _, leaked := function.Spec.Pod.Resources.Limits["nvidia.com/gpu"]; leaked {
		t.Error("building a Job changed the limits of the settings: the next run without GPUs would request them")
	}
}
