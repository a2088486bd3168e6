package controllers

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestTheTimeThatARunHasLeft(t *testing.T) {
	started := func(limit *int32, change func(*v1alpha1.FunctionRun)) *v1alpha1.FunctionRun {
		return makeRun("r").Pinned("f-0123456789", 9, 3, 0).Job(1, "job").With(func(r *v1alpha1.FunctionRun) {
			r.Status.Revision.ActiveDeadlineSeconds = limit
			r.Status.StartTime = &metav1.Time{Time: testNow.Add(-40 * time.Second)}
			if change != nil {
				change(r)
			}
		}).Obj()
	}
	suspended := func(status bool, since time.Duration) func(*v1alpha1.FunctionRun) {
		return func(r *v1alpha1.FunctionRun) {
			runConditions(r, testNow.Add(-since)).set(v1alpha1.ConditionSuspended, status, "Whatever", "")
		}
	}
	ofQueue := func(suspended bool, conditions ...batchv1.JobCondition) *batchv1.Job {
		return &batchv1.Job{Spec: batchv1.JobSpec{Suspend: &suspended}, Status: batchv1.JobStatus{Conditions: conditions}}
	}
	resumed := batchv1.JobCondition{
		Type: batchv1.JobSuspended, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(testNow.Add(-10 * time.Second)),
	}
	minute := ptr.To[int32](60)
	for name, tc := range map[string]struct {
		run         *v1alpha1.FunctionRun
		job         *batchv1.Job
		want        time.Duration
		wantLimited bool
	}{
		"no end where none was set":                      {run: started(nil, nil)},
		"no end before the first Job":                    {run: started(minute, func(r *v1alpha1.FunctionRun) { r.Status.StartTime = nil })},
		"the limit from the first Job on":                {run: started(minute, nil), want: 20 * time.Second, wantLimited: true},
		"nothing when it is over":                        {run: started(ptr.To[int32](30), nil), want: -10 * time.Second, wantLimited: true},
		"the whole of it when it was resumed just now":   {run: started(minute, suspended(true, 5*time.Second)), want: 60 * time.Second, wantLimited: true},
		"the limit from when it was resumed on":          {run: started(minute, suspended(false, 15*time.Second)), want: 45 * time.Second, wantLimited: true},
		"the limit from the first Job, not suspended":    {run: started(minute, suspended(false, time.Hour)), want: 20 * time.Second, wantLimited: true},
		"no end while a queue keeps its Job":             {run: started(minute, nil), job: ofQueue(true)},
		"the limit from when a queue let its Job go":     {run: started(minute, nil), job: ofQueue(false, resumed), want: 50 * time.Second, wantLimited: true},
		"the limit where no queue has held its Job back": {run: started(minute, nil), job: ofQueue(false), want: 20 * time.Second, wantLimited: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, limited := timeLeft(tc.run, tc.job, testNow)
			if got != tc.want || limited != tc.wantLimited {
				t.Errorf("%v, limited %v; want %v, %v", got, limited, tc.want, tc.wantLimited)
			}
		})
	}
}

func TestARunThatTakesTooLongIsEnded(t *testing.T) {
	run := func(limit int32) *v1alpha1.FunctionRun {
		return makeRun("r").Inputs(9).Pinned("f-0123456789", 9, 1, 0).Job(1, "job").With(func(r *v1alpha1.FunctionRun) {
			r.Status.Revision.ActiveDeadlineSeconds = &limit
			r.Status.StartTime = &metav1.Time{Time: testNow.Add(-40 * time.Second)}
		}).Obj()
	}
	got, wait := look(t, newWorld(run(60), ownJob(run(60), "1", "0", "0")), testNow)
	if runEnding(got) || wait <= 0 || wait > 20*time.Second {
		t.Errorf("with 20 s left: ending %v, again after %v", runEnding(got), wait)
	}
	got, _ = look(t, newWorld(run(40), ownJob(run(40), "1", "0", "0")), testNow)
	ending := conditionOf(got, v1alpha1.ConditionEnding)
	if ending.Reason != v1alpha1.ReasonDeadlineExceeded || ending.Message != "The run took longer than its time limit of 40 seconds (spec.activeDeadlineSeconds)." {
		t.Errorf("with no time left Ending is %+v", ending)
	}
}
