package controllers

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/test/builders"
)

func TestTimeLeft(t *testing.T) {
	started := func(limit *int32, change func(*v1alpha1.FunctionRun)) *v1alpha1.FunctionRun {
		return builders.MakeRun("r").Pinned("f-0123456789", 9, 3, 0).Job(1, "job").With(func(r *v1alpha1.FunctionRun) {
			r.Status.Revision.ActiveDeadlineSeconds = limit
			r.Status.StartTime = &metav1.Time{Time: builders.Now.Add(-40 * time.Second)}
			if change != nil {
				change(r)
			}
		}).Obj()
	}
	suspended := func(status metav1.ConditionStatus, since time.Duration) func(*v1alpha1.FunctionRun) {
		return func(r *v1alpha1.FunctionRun) {
			r.Status.Conditions = append(r.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionSuspended, Status: status,
				LastTransitionTime: metav1.NewTime(builders.Now.Add(-since))})
		}
	}
	withSuspend := func(suspended bool, conditions ...batchv1.JobCondition) *batchv1.Job {
		return &batchv1.Job{Spec: batchv1.JobSpec{Suspend: &suspended}, Status: batchv1.JobStatus{Conditions: conditions}}
	}
	resumed := batchv1.JobCondition{
		Type: batchv1.JobSuspended, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(builders.Now.Add(-10 * time.Second)),
	}
	minute := ptr.To[int32](60)
	for name, tc := range map[string]struct {
		run         *v1alpha1.FunctionRun
		job         *batchv1.Job
		want        time.Duration
		wantLimited bool
	}{
		"no limit without a deadline":                        {run: started(nil, nil)},
		"no limit before the first Job":                      {run: started(minute, func(r *v1alpha1.FunctionRun) { r.Status.StartTime = nil })},
		"from the first Job":                                 {run: started(minute, nil), want: 20 * time.Second, wantLimited: true},
		"negative after the deadline":                        {run: started(ptr.To[int32](30), nil), want: -10 * time.Second, wantLimited: true},
		"all of it when the run is being resumed":            {run: started(minute, suspended(metav1.ConditionTrue, 5*time.Second)), want: 60 * time.Second, wantLimited: true},
		"from the time when the run was resumed":             {run: started(minute, suspended(metav1.ConditionFalse, 15*time.Second)), want: 45 * time.Second, wantLimited: true},
		"from the first Job when it was not suspended since": {run: started(minute, suspended(metav1.ConditionFalse, time.Hour)), want: 20 * time.Second, wantLimited: true},
		"no limit while a queue suspends the Job":            {run: started(minute, nil), job: withSuspend(true)},
		"from the time when a queue admitted the Job":        {run: started(minute, nil), job: withSuspend(false, resumed), want: 50 * time.Second, wantLimited: true},
		"from the first Job without a queue":                 {run: started(minute, nil), job: withSuspend(false), want: 20 * time.Second, wantLimited: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, limited := timeLeft(tc.run, tc.job, builders.Now)
			if got != tc.want || limited != tc.wantLimited {
				t.Errorf("%v, limited %v; want %v, %v", got, limited, tc.want, tc.wantLimited)
			}
		})
	}
}

func TestARunEndsAtItsDeadline(t *testing.T) {
	run := func(limit int32) *v1alpha1.FunctionRun {
		return builders.MakeRun("r").Inputs(9).Pinned("f-0123456789", 9, 1, 0).Job(1, "job").With(func(r *v1alpha1.FunctionRun) {
			r.Status.Revision.ActiveDeadlineSeconds = &limit
			r.Status.StartTime = &metav1.Time{Time: builders.Now.Add(-40 * time.Second)}
		}).Obj()
	}
	got, wait := reconcileRun(t, newCluster(run(60), ownJob(run(60), "1", "0", "0")), builders.Now)
	if status.RunEnding(got) || wait <= 0 || wait > 20*time.Second {
		t.Errorf("with 20 s left: ending %v, recheck after %v", status.RunEnding(got), wait)
	}
	got, _ = reconcileRun(t, newCluster(run(40), ownJob(run(40), "1", "0", "0")), builders.Now)
	ending := conditionOf(got, v1alpha1.ConditionEnding)
	if ending.Reason != v1alpha1.ReasonDeadlineExceeded || ending.Message != "The run took longer than its time limit of 40 seconds (spec.activeDeadlineSeconds)." {
		t.Errorf("with no time left Ending is %+v", ending)
	}
}
