package workload

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// Everything that changes what is executed makes another revision, and nothing else does.
func TestRevisionNameFollowsFromItsContent(t *testing.T) {
	build := func(change func(f *v1alpha1.Function, i *v1alpha1.FunctionImage)) *corev1.ConfigMap {
		t.Helper()
		function, image := builders.MakeFunction("f").Obj(), builders.MakeImage("team", "python")
		if change != nil {
			change(function, image)
		}
		runtime, _ := builders.Lookup(function.Spec.Runtime)
		revision, err := RevisionFor(function, Code{Handler: []byte(*function.Spec.Code)}, runtime.Runner, SettingsFor(function, image, runtime, "nvidia.com/gpu"))
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	base := build(nil)
	// A new optional setting must not make new revisions of functions that do not use it.
	if strings.Contains(base.Data[RevisionKey], "gpuProducts") {
		t.Errorf("the settings of a function without GPU products name them: %s", base.Data[RevisionKey])
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
		"another length of the history": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.Spec.RevisionHistoryLimit = number(3) },
		"an explicit default": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) {
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
		"shared memory": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) {
			size := v1alpha1.MustParseQuantity("1Gi")
			f.Spec.Pod = &v1alpha1.PodSettings{SharedMemory: &size}
		},
		"a new function of the same name": func(f *v1alpha1.Function, _ *v1alpha1.FunctionImage) { f.UID = "another" },
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

func TestSettingsOfReadsWhatRevisionForWrites(t *testing.T) {
	function, image := builders.MakeFunction("f").Obj(), builders.MakeImage("team", "python")
	function.Spec.Pod = &v1alpha1.PodSettings{Resources: &v1alpha1.Resources{Limits: v1alpha1.ResourceList{"memory": v1alpha1.MustParseQuantity("1Gi")}}}
	function.Spec.GPUProducts = []string{"B", "A"}
	runtime, _ := builders.Lookup("python311")
	want := SettingsFor(function, image, runtime, "nvidia.com/gpu")
	revision, err := RevisionFor(function, Code{Handler: []byte("code")}, runtime.Runner, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := SettingsOf(revision)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if _, err := SettingsOf(&corev1.ConfigMap{}); err == nil {
		t.Error("a ConfigMap that is not a revision has settings")
	}
}

func TestFilesArePartOfTheRevision(t *testing.T) {
	function, image := builders.MakeFunction("f").Obj(), builders.MakeImage("team", "python")
	runtime, _ := builders.Lookup("python311")
	build := func(beside map[string][]byte) *corev1.ConfigMap {
		revision, err := RevisionFor(function, Code{[]byte("code"), beside}, runtime.Runner, SettingsFor(function, image, runtime, "nvidia.com/gpu"))
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	alone, one := build(nil), build(map[string][]byte{"util.py": []byte("A"), "raw": {0xff}})
	if alone.Name == one.Name || build(map[string][]byte{"util.py": []byte("B"), "raw": {0xff}}).Name == one.Name ||
		build(map[string][]byte{"tool.py": []byte("A"), "raw": {0xff}}).Name == one.Name {
		t.Error("other files are the same revision")
	}
	if strings.Contains(alone.Data[RevisionKey], "files") {
		t.Errorf("the settings of a function without files name them: %s", alone.Data[RevisionKey])
	}
	settings, err := SettingsOf(one)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"raw", "util.py"}, settings.Files); diff != "" {
		t.Errorf("the files (-want +got):\n%s", diff)
	}
	if one.Data["util.py"] != "A" || string(one.BinaryData["raw"]) != "\xff" || one.Data["handler.py"] != "code" {
		t.Errorf("the revision holds %v and %v", one.Data, one.BinaryData)
	}
}

//security:attack tenant with ConfigMaps | writes settings with giant quantities and numbers into an own revision | they are refused when they are read, before a pod is built
func TestSettingsOfRefusesNumbersOutOfBounds(t *testing.T) {
	valid := `"workers":1,"timeoutSeconds":1`
	for name, text := range map[string]string{
		"a giant limit":            `{` + valid + `,"pod":{"resources":{"limits":{"memory":"1e2147483646"}}}}`,
		"a tiny request":           `{` + valid + `,"pod":{"resources":{"requests":{"memory":"1e-2147483646"}}}}`,
		"a giant divisor":          `{` + valid + `,"pod":{"env":[{"name":"A","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu","divisor":"1e2147483646"}}}]}}`,
		"many workers":             `{"workers":2147483647,"timeoutSeconds":1}`,
		"a negative number":        `{"workers":1,"timeoutSeconds":-1}`,
		"an integer of 33 bits":    `{"workers":4294967296,"timeoutSeconds":1}`,
		"many GPUs":                `{` + valid + `,"gpus":1000000}`,
		"endless retries":          `{` + valid + `,"retries":2147483647}`,
		"giant shared memory":      `{` + valid + `,"pod":{"sharedMemory":"1e2147483646"}}`,
		"a pod of the future":      `{` + valid + `,"podVersion":2147483647}`,
		"a text instead of a list": `{` + valid + `,"command":"sh"}`,
	} {
		if _, err := SettingsOf(&corev1.ConfigMap{Data: map[string]string{RevisionKey: text}}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := SettingsOf(&corev1.ConfigMap{Data: map[string]string{RevisionKey: `{` + valid + `}`}}); err != nil {
		t.Error(err)
	}
}
