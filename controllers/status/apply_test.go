package status

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// Server-side apply unsets fields that are left out, so every write of the status must have the whole pin.
func TestRunConfigurationHasTheWholePin(t *testing.T) {
	run := builders.MakeRun("r").Pinned("f-0123456789", 9, 3, 2).Obj()
	run.Status.Revision.GPUProducts, run.Status.Revision.Retries = []string{"A100", "T4"}, 4
	run.Status.Revision.RetryDelaySeconds, run.Status.Revision.NonRetryableErrors = ptr.To[int32](0), []string{"OSError"}
	run.Status.Revision.TTLSecondsAfterFinished, run.Status.Revision.ResultsTTLSecondsAfterFinished = ptr.To[int32](0), ptr.To[int32](7)
	run.Status.Revision.MaxFailures, run.Status.Revision.ActiveDeadlineSeconds = ptr.To[int32](0), ptr.To[int32](60)
	run.Status.Revision.PriorityClassName, run.Status.Revision.GPUResource = "batch", "nvidia.com/gpu.shared"
	run.Status.Revision.Digest, run.Status.Revision.InputsConfigMap, run.Status.Revision.InputsDigest = "of the revision", "kept", "of the copy"
	text, err := json.Marshal(RunConfiguration(run))
	if err != nil {
		t.Fatal(err)
	}
	var got v1alpha1.FunctionRun
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(run.Status.Revision, got.Status.Revision); diff != "" {
		t.Errorf("the pin (-want +got):\n%s", diff)
	}
}
