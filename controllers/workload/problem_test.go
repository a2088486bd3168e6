package workload

import (
	"strings"
	"testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

func TestMatchRuntime(t *testing.T) {
	tests := []struct {
		name              string
		function, image   string
		wantReason, words string
	}{
		{name: "the same runtime matches", function: "python311", image: "python311"},
		{name: "another version of the language matches, and the image decides which is used", function: "python36", image: "python311"},
		{name: "another language does not match", function: "python36", image: "node20", wantReason: v1alpha1.ReasonRuntimeMismatch,
			words: "spec.runtime is python36 and the FunctionImage team/python is for node20: choose an image for python, or correct spec.runtime."},
		{name: "an unknown runtime of the function", function: "cobol85", image: "node20", wantReason: v1alpha1.ReasonRuntimeUnknown, words: `spec.runtime "cobol85"`},
		{name: "an unknown runtime of the image", function: "node20", image: "cobol85", wantReason: v1alpha1.ReasonRuntimeUnknown, words: `The FunctionImage team/python has the runtime "cobol85"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			function, image := builders.MakeFunction("f").Obj(), builders.MakeImage("team", "python")
			function.Spec.Runtime, image.Spec.Runtime = tc.function, tc.image
			_, got := MatchRuntime(function, image, builders.Lookup)
			checkProblem(t, got, tc.wantReason, tc.words)
		})
	}
}

func TestCheckPod(t *testing.T) {
	quantity := v1alpha1.MustParseQuantity
	tests := []struct {
		name              string
		pod               *v1alpha1.PodSettings
		wantReason, words string
	}{
		{name: "empty settings are valid"},
		{name: "a mount of an existing volume is valid", pod: &v1alpha1.PodSettings{
			Volumes: []v1alpha1.Volume{{Name: "v"}}, VolumeMounts: []v1alpha1.VolumeMount{{Name: "v", MountPath: "/v"}}}},
		{name: "a mount of a missing volume", pod: &v1alpha1.PodSettings{VolumeMounts: []v1alpha1.VolumeMount{{Name: "v", MountPath: "/v"}}},
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
			checkProblem(t, CheckPod(tc.pod, "nvidia.com/gpu"), tc.wantReason, tc.words)
		})
	}
}

func checkProblem(t *testing.T, got *Problem, wantReason, words string) {
	t.Helper()
	if wantReason == "" {
		if got != nil {
			t.Errorf("got %+v, want no problem", *got)
		}
		return
	}
	if got == nil {
		t.Fatalf("got no problem, want %s", wantReason)
	}
	if got.Reason != wantReason || got.Waiting || !strings.Contains(got.Message, words) {
		t.Errorf("got %+v, want the reason %s and the words %q", *got, wantReason, words)
	}
}
