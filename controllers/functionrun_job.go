package controllers

import (
	"context"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/controllers/values"
	"sharedcloud.io/function-operator/controllers/workload"
)

const (
	// reportTimeout is what the API server has to report the last outcomes of a completed Job.
	reportTimeout = 15 * time.Second
	// maxJobsWithoutProgress is how many consecutive Jobs may complete without adding an outcome. A single one is no error: its node
	// may have been drained before its workers achieved anything.
	maxJobsWithoutProgress = 3
)

// work makes sure that the pinned run has its Job, and describes the Job's state.
func (r *RunReconciler) work(ctx context.Context, u *runUpdate) (ctrl.Result, error) {
	run := u.run
	jobs, err := r.jobsOf(ctx, run)
	if err != nil {
		return ctrl.Result{}, err
	}
	if run.Spec.Suspend {
		return r.suspend(ctx, u, jobs)
	}
	left, limited := timeLeft(run, jobs.Current, u.now)
	if limited && left <= 0 {
		r.endRun(u, v1alpha1.ReasonDeadlineExceeded, deadlineMessage(run))
		return ctrl.Result{}, nil // waiting for the API server's closing report
	}
	result, err := r.ensureJob(ctx, u, jobs)
	if err == nil && limited {
		result.RequeueAfter = status.Soonest(result.RequeueAfter, left)
	}
	return result, err
}

// ensureJob creates the Job that status.job names, or watches it.
func (r *RunReconciler) ensureJob(ctx context.Context, u *runUpdate, jobs workload.Jobs) (ctrl.Result, error) {
	run := u.run
	if run.Status.Job == nil {
		r.nextJob(u, 1)
		return ctrl.Result{}, nil // the write triggers the next reconciliation
	}
	if jobs.Current == nil && run.Status.Job.UID == "" {
		return r.createJob(ctx, u, jobs.Previous)
	}
	if jobs.Current == nil {
		return r.missingJob(ctx, u)
	}
	if jobs.Current.DeletionTimestamp != nil {
		r.describe(u, status.Progressing(v1alpha1.ReasonStarting,
			fmt.Sprintf("The Job %s is being deleted; the next one follows.", jobs.Current.Name)))
		return ctrl.Result{}, nil // waiting for the end of the deletion; the Job's watch triggers the next reconciliation
	}
	if run.Status.Job.UID != jobs.Current.UID {
		recordJob(u, jobs.Current.UID)
	}
	// When a pod starts, the kubelet mounts any ConfigMap that has the revision's name.
	if err := r.revisions.checkReplaced(ctx, refOfRun(run)); isNotTheRevision(err) {
		return r.revisionGone(u, err)
	} else if err != nil {
		return ctrl.Result{}, err
	}
	for _, job := range jobs.Older {
		if err := r.deleteJob(ctx, job); err != nil {
			return ctrl.Result{}, err
		}
	}
	return r.watchJob(ctx, u, jobs.Current)
}

// watchJob describes the state of the run's Job, and decides what follows when the Job ends before the run.
func (r *RunReconciler) watchJob(ctx context.Context, u *runUpdate, job *batchv1.Job) (ctrl.Result, error) {
	run := u.run
	if failed := workload.JobCondition(job, batchv1.JobFailed); failed != nil {
		r.endRun(u, v1alpha1.ReasonJobFailed, fmt.Sprintf("The Job %s failed (%s): %s", job.Name, failed.Reason, values.Foreign(failed.Message)))
		return ctrl.Result{}, nil // waiting for the API server's closing report
	}
	if complete := workload.JobCondition(job, batchv1.JobComplete); complete != nil {
		return r.jobComplete(u, job, complete)
	}
	left, message, err := r.resize(ctx, u, job)
	if err != nil {
		return ctrl.Result{}, err
	}
	pods, err := r.podsOf(ctx, run)
	if err != nil {
		return ctrl.Result{}, err
	}
	status.RecordDigest(run, pods)
	state, recheck := status.RunningState(run, job, status.WorkersOf(pods, job.UID, u.now), u.now)
	state.Message = strings.TrimSpace(state.Message + " " + message)
	r.describe(u, state)
	return ctrl.Result{RequeueAfter: status.Soonest(left, recheck)}, nil
}

// jobComplete decides what follows when every worker has exited with 0. That means "no input is left for me" and not "the run is
// complete": usually the API server is about to report the last outcomes. If it does not, the workers were terminated with their pods
// (a drained node) after they returned their inputs, and the next Job continues. Jobs that repeatedly complete without an outcome end
// the run.
func (r *RunReconciler) jobComplete(u *runUpdate, job *batchv1.Job, complete *batchv1.JobCondition) (ctrl.Result, error) {
	run := u.run
	if left := reportTimeout - u.now.Sub(complete.LastTransitionTime.Time); left > 0 {
		r.describe(u, status.Progressing(v1alpha1.ReasonRunning, "All workers have exited; waiting for the API server's report."))
		return ctrl.Result{RequeueAfter: left}, nil
	}
	if count := workload.JobsWithoutProgress(job, run.Outcomes()); count >= maxJobsWithoutProgress {
		r.endRun(u, v1alpha1.ReasonJobFailed, fmt.Sprintf("%d consecutive Jobs completed without an outcome.", count))
		return ctrl.Result{}, nil // waiting for the API server's closing report
	}
	r.nextJob(u, workload.NextJobNumber(run.Status.Job.Number))
	return ctrl.Result{}, nil // the write triggers the next reconciliation
}

// nextJob decides the name of the run's next Job. It is stored before the Job is created: after a restart the manager finds the name,
// and either a Job under it or none.
func (r *RunReconciler) nextJob(u *runUpdate, number int32) {
	u.run.Status.Job = &v1alpha1.JobReference{Name: workload.JobName(u.run.Name, number), Number: number}
	r.describe(u, status.Progressing(v1alpha1.ReasonStarting,
		fmt.Sprintf("The Job %s is created next.", u.run.Status.Job.Name)))
}

// recordJob records that the Job exists. From then on, a missing Job was deleted.
func recordJob(u *runUpdate, uid types.UID) {
	u.run.Status.Job.UID = uid
	if u.run.Status.StartTime == nil {
		u.run.Status.StartTime = &metav1.Time{Time: u.now}
	}
}

// suspend deletes the run's Jobs. The workers return their inputs when they are terminated; resuming the run creates the next Job.
func (r *RunReconciler) suspend(ctx context.Context, u *runUpdate, jobs workload.Jobs) (ctrl.Result, error) {
	for _, job := range append(jobs.Older, jobs.Current) {
		if job == nil || job.DeletionTimestamp != nil {
			continue
		}
		if err := r.deleteJob(ctx, job); err != nil {
			return ctrl.Result{}, err
		}
	}
	// The uid records that the Job existed and is deleted now, even if an earlier manager created it and did not record it.
	if jobs.Current != nil && u.run.Status.Job.UID != jobs.Current.UID {
		recordJob(u, jobs.Current.UID)
	}
	r.describe(u, status.RunSuspendedState(jobs.Current != nil))
	return ctrl.Result{}, nil // waiting for spec.suspend to become false
}

// revisionGone handles a pinned revision that was deleted or replaced. Before the first Job nothing was executed with it, and the run
// pins again; after that the run cannot continue.
func (r *RunReconciler) revisionGone(u *runUpdate, cause error) (ctrl.Result, error) {
	run := u.run
	name := run.Status.Revision.Name
	reason, endReason, what := v1alpha1.ReasonRevisionMissing, v1alpha1.ReasonJobFailed, "was deleted"
	if isNotTheRevision(cause) {
		reason, endReason = v1alpha1.ReasonRevisionChanged, v1alpha1.ReasonRevisionChanged
		what = "was replaced (" + printable.Cut(cause.Error(), values.MaxForeignText) + ")"
	}
	if run.Status.StartTime == nil && (run.Status.Job == nil || run.Status.Job.UID == "") {
		run.Status.Revision, run.Status.Job = nil, nil
		r.describe(u, status.Progressing(reason, fmt.Sprintf(
			"The revision %s %s before any input was executed: the run pins a revision again.", name, what)))
		return ctrl.Result{}, nil // the write triggers the next reconciliation
	}
	r.endRun(u, endReason, fmt.Sprintf(
		"The revision %s (a ConfigMap) that the run executes %s: create a new FunctionRun.", name, what))
	return ctrl.Result{}, nil // waiting for the API server's closing report
}

func (r *RunReconciler) jobsOf(ctx context.Context, run *v1alpha1.FunctionRun) (workload.Jobs, error) {
	list := &batchv1.JobList{}
	if err := r.List(ctx, list, client.InNamespace(run.Namespace), client.MatchingFields{indexJobRun: string(run.UID)}); err != nil {
		return workload.Jobs{}, fmt.Errorf("listing the Jobs of the run: %w", err)
	}
	return workload.SortJobs(list.Items, run.Status.Job), nil
}

func (r *RunReconciler) podsOf(ctx context.Context, run *v1alpha1.FunctionRun) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := r.List(ctx, list, client.InNamespace(run.Namespace), client.MatchingFields{indexPodRun: string(run.UID)}); err != nil {
		return nil, fmt.Errorf("listing the pods of the run: %w", err)
	}
	return list.Items, nil
}
