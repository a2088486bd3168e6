package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// kstatusOf is the status that tools compute from an object.
func kstatusOf(t *testing.T, object runtime.Object) kstatus.Status {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	result, err := kstatus.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

func TestRunConditionsForKstatus(t *testing.T) {
	tests := []struct {
		name string
		act  func(run *v1alpha1.FunctionRun)
		want kstatus.Status
		// True conditions, sorted by type.
		wantTrue []string
	}{
		{
			name: "a run without conditions is in progress",
			act:  func(run *v1alpha1.FunctionRun) { run.Status.ObservedGeneration = -1 },
			want: kstatus.InProgressStatus,
		},
		{
			name: "a run that waits for its function is in progress",
			act:  func(run *v1alpha1.FunctionRun) { DescribeRun(run, FunctionMissing(run), builders.Now) },
			want: kstatus.InProgressStatus, wantTrue: []string{"Reconciling"},
		},
		{
			name: "a suspended run is in progress without activity",
			act:  func(run *v1alpha1.FunctionRun) { DescribeRun(run, RunSuspendedState(false), builders.Now) },
			want: kstatus.InProgressStatus, wantTrue: []string{"Suspended"},
		},
		{
			name: "a run whose Job was refused is failed",
			act: func(run *v1alpha1.FunctionRun) {
				DescribeRun(run, Stalled(v1alpha1.ReasonJobRefused, "x"), builders.Now)
			},
			want: kstatus.FailedStatus, wantTrue: []string{"Stalled"},
		},
		{
			name: "a run that is ending is in progress",
			act: func(run *v1alpha1.FunctionRun) {
				StartEnding(run, v1alpha1.ReasonCancelled, "x", builders.Now)
				DescribeRun(run, RunEndingState(run), builders.Now)
			},
			want: kstatus.InProgressStatus, wantTrue: []string{"Ending", "Reconciling"},
		},
		{
			name: "a complete run is current",
			act:  func(run *v1alpha1.FunctionRun) { FinishRun(run, true, v1alpha1.ReasonSucceeded, "x", builders.Now) },
			want: kstatus.CurrentStatus, wantTrue: []string{"Complete", "Finished", "Ready"},
		},
		{
			name: "a failed run is failed",
			act:  func(run *v1alpha1.FunctionRun) { FinishRun(run, false, v1alpha1.ReasonInputsFailed, "x", builders.Now) },
			want: kstatus.FailedStatus, wantTrue: []string{"Failed", "Finished", "Stalled"},
		},
		{
			name: "a complete run is no longer suspended",
			act: func(run *v1alpha1.FunctionRun) {
				DescribeRun(run, RunSuspendedState(false), builders.Now)
				FinishRun(run, true, v1alpha1.ReasonSucceeded, "x", builders.Now)
			},
			want: kstatus.CurrentStatus, wantTrue: []string{"Complete", "Finished", "Ready"},
		},
		{
			name: "a complete run is in progress after a change of its spec",
			act: func(run *v1alpha1.FunctionRun) {
				FinishRun(run, true, v1alpha1.ReasonSucceeded, "x", builders.Now)
				run.Generation = 2
			},
			want: kstatus.InProgressStatus, wantTrue: []string{"Complete", "Finished", "Ready"},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := builders.MakeRun("r").Obj()
			run.Status.ObservedGeneration = run.Generation
			tc.act(run)
			if got := kstatusOf(t, run); got != tc.want {
				t.Errorf("kstatus is %s, want %s; conditions: %+v", got, tc.want, run.Status.Conditions)
			}
			var got []string
			for _, name := range []string{"Complete", "Ending", "Failed", "Finished", "Ready", "Reconciling", "Stalled", "Suspended"} {
				if meta.IsStatusConditionTrue(run.Status.Conditions, name) {
					got = append(got, name)
				}
			}
			if diff := cmp.Diff(tc.wantTrue, got); diff != "" {
				t.Errorf("True conditions (-want +got):\n%s", diff)
			}
			for _, c := range run.Status.Conditions {
				if c.Reason == "" || c.LastTransitionTime.IsZero() || c.ObservedGeneration != 1 {
					t.Errorf("the API refuses the condition %+v", c)
				}
			}
		})
	}
}

func TestEndingKeepsTheFirstReason(t *testing.T) {
	run := builders.MakeRun("r").Obj()
	if !StartEnding(run, v1alpha1.ReasonJobFailed, "first", builders.Now) {
		t.Error("the first call changed nothing")
	}
	if StartEnding(run, v1alpha1.ReasonCancelled, "second", builders.Now) {
		t.Error("the second call changed the condition")
	}
	DescribeRun(run, RunEndingState(run), builders.Now)
	if got := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionEnding); got.Reason != v1alpha1.ReasonJobFailed || got.Message != "first" {
		t.Errorf("Ending is %+v", got)
	}
}

func TestVerdict(t *testing.T) {
	tests := []struct {
		name         string
		progress     v1alpha1.RunProgress
		wantComplete bool
		wantReason   string
		wantMessage  string
	}{
		{
			name:         "all inputs succeeded",
			progress:     v1alpha1.RunProgress{Total: 1000, Succeeded: 1000},
			wantComplete: true, wantReason: "Succeeded", wantMessage: "All 1000 inputs succeeded.",
		},
		{
			name:         "all inputs succeeded before the cancellation",
			progress:     v1alpha1.RunProgress{Total: 1, Succeeded: 1, Reason: "Cancelled"},
			wantComplete: true, wantReason: "Succeeded", wantMessage: "The only input succeeded.",
		},
		{
			name:        "some inputs failed",
			progress:    v1alpha1.RunProgress{Total: 10, Succeeded: 7, Failed: 2, TimedOut: 1, FailedIndexes: "0-1,9"},
			wantReason:  "InputsFailed",
			wantMessage: "3 of 10 inputs did not succeed (2 failed, 1 timed out): indexes 0-1,9.",
		},
		{
			name:        "the run was cancelled",
			progress:    v1alpha1.RunProgress{Total: 4, Succeeded: 1, Cancelled: 3, FailedIndexes: "1-3", Reason: "Cancelled"},
			wantReason:  "Cancelled",
			wantMessage: "The run was cancelled: 3 of 4 inputs did not succeed (3 cancelled): indexes 1-3.",
		},
		{
			name:        "the exchange ended the run and reported why",
			progress:    v1alpha1.RunProgress{Total: 4, Failed: 4, FailedIndexes: "0-3", Reason: "ModuleNotLoaded", Message: "SyntaxError: invalid syntax (handler.py, line 2)"},
			wantReason:  "ModuleNotLoaded",
			wantMessage: "SyntaxError: invalid syntax (handler.py, line 2). 4 of 4 inputs did not succeed (4 failed): indexes 0-3.",
		},
		{
			name:        "an invalid reason is replaced",
			progress:    v1alpha1.RunProgress{Total: 2, Succeeded: 1, Failed: 1, Reason: "not a reason!"},
			wantReason:  "InputsFailed",
			wantMessage: "1 of 2 inputs did not succeed (1 failed).",
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			complete, reason, message := Verdict(&tc.progress)
			if complete != tc.wantComplete || reason != tc.wantReason {
				t.Errorf("complete %v, reason %s; want %v, %s", complete, reason, tc.wantComplete, tc.wantReason)
			}
			if diff := cmp.Diff(tc.wantMessage, message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}
