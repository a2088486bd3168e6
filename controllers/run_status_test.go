package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// kstatusOf is what tools read out of an object.
func kstatusOf(t *testing.T, object runtime.Object) status.Status {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

func TestConditionsOfARunAsToolsReadThem(t *testing.T) {
	tests := []struct {
		name string
		act  func(run *v1alpha1.FunctionRun)
		want status.Status
		// True conditions, sorted by type.
		wantTrue []string
	}{
		{
			name: "a run that nobody has looked at is in progress",
			act:  func(run *v1alpha1.FunctionRun) { run.Status.ObservedGeneration = -1 },
			want: status.InProgressStatus,
		},
		{
			name: "a run that waits for its function is in progress",
			act:  func(run *v1alpha1.FunctionRun) { describeUnfinished(run, functionMissing(run), testNow) },
			want: status.InProgressStatus, wantTrue: []string{"Reconciling"},
		},
		{
			name: "a suspended run is in progress, with nobody at it",
			act:  func(run *v1alpha1.FunctionRun) { describeUnfinished(run, suspendedFinding(nil), testNow) },
			want: status.InProgressStatus, wantTrue: []string{"Suspended"},
		},
		{
			name: "a run whose Job was refused needs help",
			act: func(run *v1alpha1.FunctionRun) {
				describeUnfinished(run, finding{standingStalled, v1alpha1.ReasonJobRefused, "x"}, testNow)
			},
			want: status.FailedStatus, wantTrue: []string{"Stalled"},
		},
		{
			name: "a run that is ending is in progress",
			act: func(run *v1alpha1.FunctionRun) {
				startEnding(run, v1alpha1.ReasonCancelled, "x", testNow)
				describeUnfinished(run, endingFinding(run), testNow)
			},
			want: status.InProgressStatus, wantTrue: []string{"Ending", "Reconciling"},
		},
		{
			name: "a complete run is current",
			act:  func(run *v1alpha1.FunctionRun) { finishRun(run, true, v1alpha1.ReasonSucceeded, "x", testNow) },
			want: status.CurrentStatus, wantTrue: []string{"Complete", "Finished", "Ready"},
		},
		{
			name: "a failed run is failed",
			act:  func(run *v1alpha1.FunctionRun) { finishRun(run, false, v1alpha1.ReasonInputsFailed, "x", testNow) },
			want: status.FailedStatus, wantTrue: []string{"Failed", "Finished", "Stalled"},
		},
		{
			name: "a run that was suspended and is complete is suspended no more",
			act: func(run *v1alpha1.FunctionRun) {
				describeUnfinished(run, suspendedFinding(nil), testNow)
				finishRun(run, true, v1alpha1.ReasonSucceeded, "x", testNow)
			},
			want: status.CurrentStatus, wantTrue: []string{"Complete", "Finished", "Ready"},
		},
		{
			name: "a complete run whose spec was changed is current only when that was seen",
			act: func(run *v1alpha1.FunctionRun) {
				finishRun(run, true, v1alpha1.ReasonSucceeded, "x", testNow)
				run.Generation = 2
			},
			want: status.InProgressStatus, wantTrue: []string{"Complete", "Finished", "Ready"},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := makeRun("r").Obj()
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
				t.Errorf("conditions that are True (-want +got):\n%s", diff)
			}
			for _, c := range run.Status.Conditions {
				if c.Reason == "" || c.LastTransitionTime.IsZero() || c.ObservedGeneration != 1 {
					t.Errorf("the API refuses the condition %+v", c)
				}
			}
		})
	}
}

func TestEndingKeepsItsFirstReason(t *testing.T) {
	run := makeRun("r").Obj()
	if !startEnding(run, v1alpha1.ReasonJobFailed, "first", testNow) {
		t.Error("the first request for an end changed nothing")
	}
	if startEnding(run, v1alpha1.ReasonCancelled, "second", testNow) {
		t.Error("the second request for an end changed the first")
	}
	describeUnfinished(run, endingFinding(run), testNow)
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
			name:         "all inputs succeeded although the run was being cancelled",
			progress:     v1alpha1.RunProgress{Total: 1, Succeeded: 1, Reason: "Cancelled"},
			wantComplete: true, wantReason: "Succeeded", wantMessage: "The only input succeeded.",
		},
		{
			name:       "some failed",
			progress:   v1alpha1.RunProgress{Total: 10, Succeeded: 7, Failed: 2, TimedOut: 1, FailedIndexes: "0-1,9"},
			wantReason: "InputsFailed",
			wantMessage: "3 of 10 inputs did not succeed (2 failed, 1 timed out): indexes 0-1,9. " +
				"The subresource functionruns/results has the error of each.",
		},
		{
			name:       "the run was cancelled",
			progress:   v1alpha1.RunProgress{Total: 4, Succeeded: 1, Cancelled: 3, FailedIndexes: "1-3", Reason: "Cancelled"},
			wantReason: "Cancelled",
			wantMessage: "The run was cancelled: 3 of 4 inputs did not succeed (3 cancelled): indexes 1-3. " +
				"The subresource functionruns/results has the error of each.",
		},
		{
			name:       "the exchange ended it, and says why",
			progress:   v1alpha1.RunProgress{Total: 4, Failed: 4, FailedIndexes: "0-3", Reason: "ModuleNotLoaded", Message: "SyntaxError: invalid syntax (handler.py, line 2)"},
			wantReason: "ModuleNotLoaded",
			wantMessage: "SyntaxError: invalid syntax (handler.py, line 2). 4 of 4 inputs did not succeed (4 failed): indexes 0-3. " +
				"The subresource functionruns/results has the error of each.",
		},
		{
			name:       "a reason that no condition may have is left out",
			progress:   v1alpha1.RunProgress{Total: 2, Succeeded: 1, Failed: 1, Reason: "not a reason!"},
			wantReason: "InputsFailed",
			wantMessage: "1 of 2 inputs did not succeed (1 failed). " +
				"The subresource functionruns/results has the error of each.",
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			complete, reason, message := verdict(&tc.progress)
			if complete != tc.wantComplete || reason != tc.wantReason {
				t.Errorf("complete %v, reason %s; want %v, %s", complete, reason, tc.wantComplete, tc.wantReason)
			}
			if diff := cmp.Diff(tc.wantMessage, message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFirstIndexesEndsBetweenTwo(t *testing.T) {
	list := strings.TrimSuffix(strings.Repeat("100-200,", 100), ",")
	got := firstIndexes(list)
	if len(got) > 140 || !strings.HasSuffix(got, "100-200,…") {
		t.Errorf("firstIndexes = %q", got)
	}
}

func TestSortJobs(t *testing.T) {
	job := func(name, number string) batchv1.Job {
		return batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{annotationNumber: number}}}
	}
	names := func(jobs runJobs) (current, previous string, older []string) {
		if jobs.current != nil {
			current = jobs.current.Name
		}
		if jobs.previous != nil {
			previous = jobs.previous.Name
		}
		for _, j := range jobs.older {
			older = append(older, j.Name)
		}
		return current, previous, older
	}
	tests := []struct {
		name         string
		jobs         []batchv1.Job
		current      *v1alpha1.JobReference
		wantCurrent  string
		wantPrevious string
		wantOlder    []string
	}{
		{name: "a run without a Job has none of them", jobs: []batchv1.Job{job("r-1", "1")}},
		{name: "the Job that the status names is the current one", jobs: []batchv1.Job{job("r-1", "1")}, current: &v1alpha1.JobReference{Name: "r-1", Number: 1}, wantCurrent: "r-1"},
		{
			name: "those before it are older, and the one just before it is the previous one",
			jobs: []batchv1.Job{job("r-1", "1"), job("r-2", "2"), job("r-3", "3")}, current: &v1alpha1.JobReference{Name: "r-3", Number: 3},
			wantCurrent: "r-3", wantPrevious: "r-2", wantOlder: []string{"r-1", "r-2"},
		},
		{name: "a Job after it means that this copy of the run is old: it is left alone", jobs: []batchv1.Job{job("r-2", "2")}, current: &v1alpha1.JobReference{Name: "r-1", Number: 1}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			current, previous, older := names(sortJobs(tc.jobs, tc.current))
			if current != tc.wantCurrent || previous != tc.wantPrevious {
				t.Errorf("current %q, previous %q; want %q, %q", current, previous, tc.wantCurrent, tc.wantPrevious)
			}
			if diff := cmp.Diff(tc.wantOlder, older); diff != "" {
				t.Errorf("older (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLeaveLeft(t *testing.T) {
	finished := func(before time.Duration) *v1alpha1.FunctionRun {
		return makeRun("r").With(func(r *v1alpha1.FunctionRun) { r.Status.CompletionTime = &metav1.Time{Time: testNow.Add(-before)} }).Obj()
	}
	active := &batchv1.Job{Status: batchv1.JobStatus{Active: 2}}
	tests := []struct {
		name string
		run  *v1alpha1.FunctionRun
		job  *batchv1.Job
		crew crew
		want time.Duration
	}{
		{name: "workers get a while to leave by themselves", run: finished(4 * time.Second), job: active, crew: crew{running: 2}, want: 6 * time.Second},
		{name: "after that the Job goes", run: finished(11 * time.Second), job: active, crew: crew{running: 2}},
		{name: "when they have left the Job goes", run: finished(0), job: &batchv1.Job{}},
		{name: "when a pod still waits the Job goes at once", run: finished(0), job: active, crew: crew{running: 1, waiting: 1}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := leaveLeft(tc.run, tc.job, tc.crew, testNow); got != tc.want {
				t.Errorf("leaveLeft = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestFruitless(t *testing.T) {
	job := func(before, count string) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationOutcomes: before, annotationFruitless: count}}}
	}
	tests := []struct {
		name     string
		last     *batchv1.Job
		outcomes int32
		want     int32
	}{
		{name: "a first Job has none before it", want: 0},
		{name: "a Job that added an outcome is not fruitless", last: job("3", "2"), outcomes: 4, want: 0},
		{name: "a Job that added none is", last: job("3", "0"), outcomes: 3, want: 1},
		{name: "and those before it count", last: job("3", "2"), outcomes: 3, want: 3},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := fruitless(tc.last, tc.outcomes); got != tc.want {
				t.Errorf("fruitless = %d, want %d", got, tc.want)
			}
		})
	}
}
