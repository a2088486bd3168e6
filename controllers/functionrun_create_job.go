package controllers

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	batchac "k8s.io/client-go/applyconfigurations/batch/v1"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/controllers/values"
	"sharedcloud.io/function-operator/controllers/workload"
)

const (
	// refusedInterval is how long a run waits before it retries what the cluster refused: a quota may have room again.
	refusedInterval = 30 * time.Second
	// deletedRunInterval is how often a run checks whether the Job of a deleted run of its name is gone.
	deletedRunInterval = time.Second
)

// createJob creates the Job that status.job names. It does not apply it: an apply has no "only if absent", and the Job may exist
// already, created by a manager that restarted before it recorded the uid, or by another user.
func (r *RunReconciler) createJob(ctx context.Context, u *runUpdate, previous *batchv1.Job) (ctrl.Result, error) {
	run := u.run
	settings, err := r.revisions.readNow(ctx, refOfRun(run))
	if apierrors.IsNotFound(err) || isNotTheRevision(err) {
		return r.revisionGone(u, err)
	} else if err != nil {
		return ctrl.Result{}, err
	}
	if problem := r.options.CheckSettings(settings, run.Status.Revision.PriorityClassName); problem != nil {
		r.describe(u, stateOf(problem))
		return ctrl.Result{}, nil // waiting for an administrator: the manager restarts with other flags
	}
	if message, err := r.checkInputs(ctx, run); err != nil {
		return ctrl.Result{}, err
	} else if message != "" {
		r.endRun(u, v1alpha1.ReasonInputsUnavailable, message)
		return ctrl.Result{}, nil // waiting for the API server's closing report
	}
	job, err := unstructuredJob(workload.JobFor(run, settings, r.options, workload.JobsWithoutProgress(previous, run.Outcomes()), u.now))
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.Create(ctx, job, client.FieldOwner(v1alpha1.FieldManagerController)); err != nil {
		return r.jobRefused(ctx, u, err)
	}
	recordJob(u, job.GetUID())
	run.Status.Workers = run.WantedWorkers()
	r.describe(u, status.RunStartingState(run.Status.Job.Name))
	u.afterWrite(func() {
		r.metrics.jobsCreated.Inc()
		r.events.normal(run, eventJobCreated, actionCreate, "Created the Job "+run.Status.Job.Name)
	})
	log.FromContext(ctx).Info("Created the Job", "run", klog.KObj(run), "job", run.Status.Job.Name)
	return ctrl.Result{}, nil // the Job controller creates the pods
}

// unstructuredJob is the apply configuration as an object: with its fields, and without the zero values of a typed Job.
func unstructuredJob(configuration *batchac.JobApplyConfiguration) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(configuration)
	if err != nil {
		return nil, fmt.Errorf("encoding the Job: %w", err)
	}
	return &unstructured.Unstructured{Object: content}, nil
}

// jobRefused finds out why a Job could not be created: because one of that name exists, or because of its content.
func (r *RunReconciler) jobRefused(ctx context.Context, u *runUpdate, refusal error) (ctrl.Result, error) {
	run := u.run
	if !apierrors.IsAlreadyExists(refusal) && !apierrors.IsInvalid(refusal) && !apierrors.IsForbidden(refusal) {
		return ctrl.Result{}, fmt.Errorf("creating the Job %s: %w", run.Status.Job.Name, refusal)
	}
	existing := &batchv1.Job{}
	err := r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: run.Status.Job.Name}, existing)
	switch {
	case err == nil && workload.RunOfJob(existing) == run.UID:
		// Created by an earlier manager, or not yet in this cache.
		recordJob(u, existing.UID)
		r.describe(u, status.RunStartingState(run.Status.Job.Name))
		return ctrl.Result{}, nil
	case err == nil && (existing.DeletionTimestamp != nil || workload.IsOfDeletedRun(existing, run)):
		r.describe(u, status.Progressing(v1alpha1.ReasonStarting, fmt.Sprintf(
			"The Job %s of an earlier run of this name is still being deleted.", existing.Name)))
		return ctrl.Result{RequeueAfter: deletedRunInterval}, nil // the garbage collector deletes it
	case err == nil:
		r.describe(u, status.Stalled(v1alpha1.ReasonJobNameTaken, fmt.Sprintf(
			"The Job %s exists and does not belong to this run: delete or rename it, and the run continues.", existing.Name)))
		return ctrl.Result{RequeueAfter: refusedInterval}, nil // the cache holds only Jobs of runs: no watch reports its deletion
	case !apierrors.IsNotFound(err):
		return ctrl.Result{}, fmt.Errorf("reading the Job %s: %w", run.Status.Job.Name, err)
	case apierrors.IsAlreadyExists(refusal):
		return ctrl.Result{RequeueAfter: conflictInterval}, nil // it was deleted in the meantime
	case apierrors.HasStatusCause(refusal, corev1.NamespaceTerminatingCause):
		return ctrl.Result{}, nil // the run is deleted with its namespace
	default:
		r.describe(u, status.Stalled(v1alpha1.ReasonJobRefused, fmt.Sprintf(
			"The cluster refused the Job: %s Fix the cause; the run tries again every %d seconds.",
			values.Foreign(refusal.Error()), int(refusedInterval.Seconds()))))
		return ctrl.Result{RequeueAfter: refusedInterval}, nil
	}
}

// missingJob handles a Job that has a uid in the status and is not in the cache, which may lag behind the write that created it.
func (r *RunReconciler) missingJob(ctx context.Context, u *runUpdate) (ctrl.Result, error) {
	run := u.run
	job := &batchv1.Job{}
	err := r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: run.Status.Job.Name}, job)
	if err == nil {
		r.describe(u, status.RunStartingState(run.Status.Job.Name))
		return ctrl.Result{}, nil // waiting for the cache; the Job's watch triggers the next reconciliation
	}
	if !apierrors.IsNotFound(err) {
		return ctrl.Result{}, fmt.Errorf("reading the Job %s: %w", run.Status.Job.Name, err)
	}
	r.nextJob(u, workload.NextJobNumber(run.Status.Job.Number))
	return ctrl.Result{}, nil
}
