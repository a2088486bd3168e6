package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// The settings of the run take precedence over those of its function.
func TestPinFor(t *testing.T) {
	function, image := builders.MakeFunction("f").Ready("f-0123456789").Obj(), builders.MakeImage("team", "python")
	function.Spec.RunPolicy = v1alpha1.RunPolicy{
		GPUs: ptr.To[int32](2), GPUProducts: []string{"T4", "A100"}, Workers: ptr.To[int32](3), TimeoutSeconds: ptr.To[int32](60), Retries: ptr.To[int32](1),
		NonRetryableErrors: []string{"KeyError", "AssertionError"}, MaxFailures: ptr.To[int32](5), ActiveDeadlineSeconds: ptr.To[int32](90),
		PriorityClassName: ptr.To("batch"), GPUResource: ptr.To("nvidia.com/gpu.shared"), TTLSecondsAfterFinished: ptr.To[int32](3600),
		ResultsTTLSecondsAfterFinished: ptr.To[int32](60),
	}
	base := v1alpha1.PinnedRevision{
		Name: "f-0123456789", Digest: function.Status.Revision.Digest, FunctionUID: function.UID, Generation: 1, RegistryPath: "sharedcloud/python:latest", InputsConfigMap: "kept", InputsDigest: "of the copy", InputCount: 9,
		Workers: 3, GPUs: 2, GPUProducts: []string{"A100", "T4"}, TimeoutSeconds: 60, Retries: 1,
		RetryDelaySeconds: ptr.To[int32](1), NonRetryableErrors: []string{"AssertionError", "KeyError"}, MaxFailures: ptr.To[int32](5),
		ActiveDeadlineSeconds: ptr.To[int32](90), PriorityClassName: "batch", TTLSecondsAfterFinished: ptr.To[int32](3600),
		ResultsTTLSecondsAfterFinished: ptr.To[int32](60),
	}
	tests := []struct {
		name   string
		policy v1alpha1.RunPolicy
		want   func(*v1alpha1.PinnedRevision)
	}{
		{name: "a run that sets nothing", want: func(*v1alpha1.PinnedRevision) {}},
		{name: "a run that sets everything",
			policy: v1alpha1.RunPolicy{GPUs: ptr.To[int32](0), GPUProducts: []string{"L4", "H100"}, Workers: ptr.To[int32](20), TimeoutSeconds: ptr.To[int32](7), Retries: ptr.To[int32](0),
				RetryDelaySeconds: ptr.To[int32](0), NonRetryableErrors: []string{"OSError"}, MaxFailures: ptr.To[int32](0),
				ActiveDeadlineSeconds: ptr.To[int32](1), PriorityClassName: ptr.To("now"), GPUResource: ptr.To("nvidia.com/mig-1g.10gb")},
			want: func(p *v1alpha1.PinnedRevision) {
				p.RetryDelaySeconds, p.NonRetryableErrors, p.MaxFailures = ptr.To[int32](0), []string{"OSError"}, ptr.To[int32](0)
				p.ActiveDeadlineSeconds, p.PriorityClassName, p.GPUResource = ptr.To[int32](1), "now", "nvidia.com/mig-1g.10gb"
				p.GPUs, p.GPUProducts, p.Workers, p.TimeoutSeconds, p.Retries = 0, []string{"H100", "L4"}, 9, 7, 0
			}},
		{name: "an empty list of products counts as none", policy: v1alpha1.RunPolicy{GPUProducts: []string{}}, want: func(*v1alpha1.PinnedRevision) {}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			rt, _ := builders.Lookup("python311")
			run := builders.MakeRun("r").With(func(r *v1alpha1.FunctionRun) { r.Spec.RunPolicy = tc.policy }).Obj()
			want := base
			tc.want(&want)
			got := PinFor(run, function, SettingsFor(function, image, rt, testOptions.GPUResource), Inputs{Count: 9, ConfigMap: "kept", Digest: "of the copy"})
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("the pin (-want +got):\n%s", diff)
			}
		})
	}
}
