package status

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

func TestRestoreFinishedRun(t *testing.T) {
	run := builders.MakeRun("r").Obj()
	now := time.Unix(1000, 0)
	FinishRun(run, true, v1alpha1.ReasonSucceeded, "All 2 inputs succeeded.", now)
	want := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady).DeepCopy()
	RunWriter(run, now).Write(Stalled(v1alpha1.ReasonNotDecodable, "x"))
	RestoreFinishedRun(run, now)
	got := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady)
	if got.Status != want.Status || got.Reason != want.Reason || got.Message != want.Message ||
		meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionStalled) {
		t.Errorf("the conditions are %+v", run.Status.Conditions)
	}
}
