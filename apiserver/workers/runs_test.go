package workers

import (
	"testing"

	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

//security:attack administrator | stores a pinned revision with numbers beyond every limit | the exchange uses the nearest value that is allowed
func TestNumbersOfARevisionAreLimited(t *testing.T) {
	huge := int32(1<<31 - 1)
	run := &v1alpha1.FunctionRun{}
	run.Status.Workers = huge
	run.Status.Revision = &v1alpha1.PinnedRevision{
		InputCount: huge, Workers: huge, Retries: huge, TimeoutSeconds: -huge, GPUs: huge, BatchSize: huge,
		RetryDelaySeconds: ptr.To(huge), MaxFailures: ptr.To(-huge),
	}
	got := RunOf(run)
	if got.Total != 100_000_000 || got.Workers != 10_000 || got.Retries != 100 || got.TimeoutSeconds != 1 || got.GPUs != 64 ||
		got.BatchSize != 256 || got.RetryDelaySeconds != 300 || *got.MaxFailures != 0 {
		t.Errorf("the exchange gets %+v", got)
	}
}
