package controllers

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
)

// workerExitTimeout is what workers have to exit after the end of their run: the exchange has answered that no input is left.
const workerExitTimeout = 10 * time.Second

// cleanUp deletes the Jobs of a finished run, and the run itself when its TTL has passed.
func (r *RunReconciler) cleanUp(ctx context.Context, u *runUpdate) (ctrl.Result, error) {
	run := u.run
	list := &batchv1.JobList{}
	if err := r.List(ctx, list, client.InNamespace(run.Namespace), client.MatchingFields{indexJobRun: string(run.UID)}); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing the Jobs of the finished run: %w", err)
	}
	pods, err := r.podsOf(ctx, run)
	if err != nil {
		return ctrl.Result{}, err
	}
	status.RecordDigest(run, pods)
	var next time.Duration
	for i := range list.Items {
		job := &list.Items[i]
		if job.DeletionTimestamp != nil {
			continue
		}
		if left := exitTimeLeft(run, job, status.WorkersOf(pods, job.UID, u.now), u.now); left > 0 {
			next = status.Soonest(next, left)
			continue
		}
		if err := r.deleteJob(ctx, job); err != nil {
			return ctrl.Result{}, err
		}
	}
	left, err := r.expire(ctx, u)
	return ctrl.Result{RequeueAfter: status.Soonest(next, left)}, err
}

// exitTimeLeft is how much longer a finished run's Job stays so that its workers can exit. With a waiting pod, which must not get a GPU
// any more, it is zero.
func exitTimeLeft(run *v1alpha1.FunctionRun, job *batchv1.Job, workers status.Workers, now time.Time) time.Duration {
	if workers.Waiting > 0 || job.Status.Active == 0 || run.Status.CompletionTime == nil {
		return 0
	}
	return max(workerExitTimeout-now.Sub(run.Status.CompletionTime.Time), 0)
}

// expire deletes the run when ttlSecondsAfterFinished has passed since its end, or returns the remaining time.
func (r *RunReconciler) expire(ctx context.Context, u *runUpdate) (time.Duration, error) {
	run := u.run
	until, limited := run.ExpirationTime()
	if !limited {
		return 0, nil
	}
	if left := until.Sub(u.now); left > 0 {
		return left, nil
	}
	// With the resourceVersion, because a user may be raising the TTL at the same time.
	err := r.Delete(ctx, run, client.Preconditions{UID: &run.UID, ResourceVersion: &run.ResourceVersion})
	if apierrors.IsConflict(err) {
		return conflictInterval, nil
	}
	if client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("deleting the run after its TTL: %w", err)
	}
	log.FromContext(ctx).Info("Deleted the run after its TTL", "run", klog.KObj(run))
	return 0, nil
}

// namespaceTerminating reports whether the run's namespace is being deleted.
func (r *RunReconciler) namespaceTerminating(ctx context.Context, name string) (bool, error) {
	namespace := namespaceMetadata()
	if err := r.Get(ctx, client.ObjectKey{Name: name}, namespace); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil // not yet in the cache
		}
		return false, fmt.Errorf("looking up the namespace: %w", err)
	}
	return namespace.DeletionTimestamp != nil, nil
}

// deleteJobs deletes the Jobs of a run whose namespace is being deleted. Kubernetes deletes pods before anything else there. A Job
// that counts failures per index keeps each of its ended pods until it has created the next, which it may not do in such a namespace:
// neither would ever be deleted.
func (r *RunReconciler) deleteJobs(ctx context.Context, run *v1alpha1.FunctionRun) error {
	list := &batchv1.JobList{}
	if err := r.List(ctx, list, client.InNamespace(run.Namespace), client.MatchingFields{indexJobRun: string(run.UID)}); err != nil {
		return fmt.Errorf("listing the Jobs of a run whose namespace is being deleted: %w", err)
	}
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp != nil {
			continue
		}
		if err := r.deleteJob(ctx, &list.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// deleteJob deletes a Job and, by the garbage collector, its pods. It ignores a Job that is gone or was replaced.
func (r *RunReconciler) deleteJob(ctx context.Context, job *batchv1.Job) error {
	err := r.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &job.UID})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting the Job %s: %w", job.Name, err)
	}
	return nil
}
