package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestRuntimeFinding(t *testing.T) {
	tests := []struct {
		name              string
		function, image   string
		wantReason, words string
	}{
		{name: "the same runtime fits", function: "python311", image: "python311"},
		{name: "another version of the language fits: the image decides which runs", function: "python36", image: "python311"},
		{name: "another language does not", function: "python36", image: "node20", wantReason: v1alpha1.ReasonRuntimeMismatch,
			words: "spec.runtime is python36 and the FunctionImage team/python is for node20: choose an image for python, or correct spec.runtime."},
		{name: "an unknown runtime of the function", function: "cobol85", image: "node20", wantReason: v1alpha1.ReasonRuntimeUnknown, words: `spec.runtime "cobol85"`},
		{name: "an unknown runtime of the image", function: "node20", image: "cobol85", wantReason: v1alpha1.ReasonRuntimeUnknown, words: `The FunctionImage team/python has the runtime "cobol85"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			function, image := makeFunction("f").Obj(), makeImage("team", "python")
			function.Spec.Runtime, image.Spec.Runtime = tc.function, tc.image
			_, got := runtimeFinding(function, image, testLookup)
			checkFinding(t, got, tc.wantReason, tc.words)
		})
	}
}

func TestPodFinding(t *testing.T) {
	quantity := v1alpha1.MustParseQuantity
	tests := []struct {
		name              string
		pod               *v1alpha1.PodSettings
		wantReason, words string
	}{
		{name: "nothing set is fine"},
		{name: "a mount of a volume that is there is fine", pod: &v1alpha1.PodSettings{
			Volumes: []v1alpha1.Volume{{Name: "v"}}, VolumeMounts: []v1alpha1.VolumeMount{{Name: "v", MountPath: "/v"}}}},
		{name: "a mount of a volume that is not there", pod: &v1alpha1.PodSettings{VolumeMounts: []v1alpha1.VolumeMount{{Name: "v", MountPath: "/v"}}},
			wantReason: v1alpha1.ReasonInvalid, words: `mounts "v" at /v, and spec.pod.volumes has no volume of that name`},
		{name: "GPUs in the limits", pod: &v1alpha1.PodSettings{Resources: &v1alpha1.Resources{Limits: v1alpha1.ResourceList{"nvidia.com/gpu": quantity("1")}}},
			wantReason: v1alpha1.ReasonInvalid, words: "use spec.gpus instead"},
		{name: "GPUs in the requests", pod: &v1alpha1.PodSettings{Resources: &v1alpha1.Resources{Requests: v1alpha1.ResourceList{"nvidia.com/gpu": quantity("1")}}},
			wantReason: v1alpha1.ReasonInvalid, words: "use spec.gpus instead"},
		{name: "a request above its limit", pod: &v1alpha1.PodSettings{Resources: &v1alpha1.Resources{
			Requests: v1alpha1.ResourceList{"memory": quantity("2Gi")}, Limits: v1alpha1.ResourceList{"memory": quantity("1Gi")}}},
			wantReason: v1alpha1.ReasonInvalid, words: "spec.pod.resources.requests.memory is 2Gi, more than the limit 1Gi"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			checkFinding(t, podFinding(tc.pod, "nvidia.com/gpu"), tc.wantReason, tc.words)
		})
	}
}

func checkFinding(t *testing.T, got *finding, wantReason, words string) {
	t.Helper()
	if wantReason == "" {
		if got != nil {
			t.Errorf("found %+v, want nothing", *got)
		}
		return
	}
	if got == nil {
		t.Fatalf("found nothing, want %s", wantReason)
	}
	if got.reason != wantReason || got.standing != standingStalled || !strings.Contains(got.message, words) {
		t.Errorf("found %+v, want reason %s and the words %q", *got, wantReason, words)
	}
}

// A revision is named by its content: whatever shapes what is executed makes another one, and nothing else does.
func TestRevisionIsNamedByItsContent(t *testing.T) {
	build := func(change func(f *v1alpha1.Function, i *v1alpha1.FunctionImage)) *corev1.ConfigMap {
		t.Helper()
		function, image := makeFunction("f").Obj(), makeImage("team", "python")
		if change != nil {
			change(function, image)
		}
		runtime, _ := testLookup(function.Spec.Runtime)
		revision, err := revisionFor(function, source{handler: []byte(*function.Spec.Code)}, runtime.Runner, settingsFor(function, image, runtime, "nvidia.com/gpu"))
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	base := build(nil)
	// The revisions of functions that ask for no product are those of before there were products.
	if strings.Contains(base.Data[revisionKey], "gpuProducts") {
		t.Errorf("a function that names no GPU products has settings with them: %s", base.Data[revisionKey])
	}
	text := func(s string) *string { return &s }
	number := func(n int32) *int32 { return &n }
	same := map[string]func(f *v1alpha1.Function, i *v1alpha1.FunctionImage){
		"built again":          nil,
		"another display name": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.Name = "Other" },
		"another generation":   func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Generation = 9 },
		"another time to live": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) {
			f.Spec.TTLSecondsAfterFinished, f.Spec.ResultsTTLSecondsAfterFinished = number(60), number(30)
		},
		"another history": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.RevisionHistoryLimit = number(3) },
		"a default that is said": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) {
			f.Spec.Workers = number(v1alpha1.DefaultWorkers)
			f.Spec.RetryDelaySeconds = number(v1alpha1.DefaultRetryDelaySeconds)
			f.Spec.GPUResource = text("nvidia.com/gpu")
		},
		"another image description": func(_ *v1alpha1.Function, i *v1alpha1.FunctionImage) { i.Spec.Description = "Other" },
	}
	for name, change := range same {
		if got := build(change); got.Name != base.Name {
			t.Errorf("%s: the revision is %s, want %s again", name, got.Name, base.Name)
		}
	}
	other := map[string]func(f *v1alpha1.Function, i *v1alpha1.FunctionImage){
		"other code":         func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.Code = text("# other") },
		"another runtime":    func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.Runtime = "python36" },
		"another time limit": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.TimeoutSeconds = number(9) },
		"GPUs":               func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.GPUs = number(2) },
		"another delay":      func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.RetryDelaySeconds = number(0) },
		"a final error": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) {
			f.Spec.NonRetryableErrors = []string{"KeyError"}
		},
		"a bound of failures": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.MaxFailures = number(0) },
		"a deadline":          func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.ActiveDeadlineSeconds = number(60) },
		"a priority":          func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.PriorityClassName = text("batch") },
		"another resource":    func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.GPUResource = text("amd.com/gpu") },
		"a GPU product":       func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.GPUProducts = []string{"A"} },
		"another GPU product": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.GPUProducts = []string{"B"} },
		"an image with GPUs":  func(_ *v1alpha1.Function, i *v1alpha1.FunctionImage) { i.Spec.RequiresGPU = true },
		"another path":        func(_ *v1alpha1.Function, i *v1alpha1.FunctionImage) { i.Spec.RegistryPath = "other" },
		"another pull policy": func(_ *v1alpha1.Function, i *v1alpha1.FunctionImage) { i.Spec.ImagePullPolicy = corev1.PullAlways },
		"a pull secret":       func(_ *v1alpha1.Function, i *v1alpha1.FunctionImage) { i.Spec.ImagePullSecrets = []string{"s"} },
		"an env variable": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) {
			f.Spec.Pod = &v1alpha1.PodSettings{Env: []v1alpha1.EnvVar{{Name: "A"}}}
		},
		"a function made anew": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.UID = "another" },
	}
	seen := map[string]string{base.Name: "the first"}
	for name, change := range other {
		got := build(change)
		if twin, taken := seen[got.Name]; taken {
			t.Errorf("%s: the revision is %s, as that of %s", name, got.Name, twin)
		}
		seen[got.Name] = name
	}
}

func TestSettingsSurviveTheRevision(t *testing.T) {
	function, image := makeFunction("f").Obj(), makeImage("team", "python")
	function.Spec.Pod = &v1alpha1.PodSettings{Resources: &v1alpha1.Resources{Limits: v1alpha1.ResourceList{"memory": v1alpha1.MustParseQuantity("1Gi")}}}
	function.Spec.GPUProducts = []string{"B", "A"}
	runtime, _ := testLookup("python311")
	want := settingsFor(function, image, runtime, "nvidia.com/gpu")
	revision, err := revisionFor(function, source{handler: []byte("code")}, runtime.Runner, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := settingsOf(revision)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if _, err := settingsOf(&corev1.ConfigMap{}); err == nil {
		t.Error("a ConfigMap that is no revision has settings")
	}
}
