package controllers

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// timeLeft is the remainder of a run's time limit. limited is false before the first Job, without a time limit, and while a queue
// keeps the Job suspended.
func timeLeft(run *v1alpha1.FunctionRun, job *batchv1.Job, now time.Time) (left time.Duration, limited bool) {
	limit := run.Status.Revision.ActiveDeadlineSeconds
	if limit == nil || run.Status.StartTime == nil || job != nil && ptr.Deref(job.Spec.Suspend, false) {
		return 0, false
	}
	return activeSince(run, job, now).Add(time.Duration(max(*limit, 0)) * time.Second).Sub(now), true
}

// activeSince is when the run's time limit started: with its first Job, and again whenever it was resumed, by spec.suspend or by
// the queue that suspends its Job. The activeDeadlineSeconds of a Job counts the same way.
func activeSince(run *v1alpha1.FunctionRun, job *batchv1.Job, now time.Time) time.Time {
	since := run.Status.StartTime.Time
	restart := func(t time.Time) {
		if t.After(since) {
			since = t
		}
	}
	if suspended := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionSuspended); suspended != nil {
		if suspended.Status == "True" {
			return now // this reconciliation resumes it
		}
		restart(suspended.LastTransitionTime.Time)
	}
	if job == nil {
		return since
	}
	for i := range job.Status.Conditions {
		if c := &job.Status.Conditions[i]; c.Type == batchv1.JobSuspended && c.Status == corev1.ConditionFalse {
			restart(c.LastTransitionTime.Time)
		}
	}
	return since
}

func deadlineMessage(run *v1alpha1.FunctionRun) string {
	return fmt.Sprintf("The run took longer than its time limit of %d seconds (spec.activeDeadlineSeconds).",
		*run.Status.Revision.ActiveDeadlineSeconds)
}
