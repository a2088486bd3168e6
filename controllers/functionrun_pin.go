package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/controllers/workload"
)

// pin decides what the run executes. The reconciliation stores that and ends. The Job is built from a stored pin alone, so a manager
// that restarts in between builds the same Job.
func (r *RunReconciler) pin(ctx context.Context, u *runUpdate, inputs workload.Inputs) (ctrl.Result, error) {
	run := u.run
	function := &v1alpha1.Function{}
	key := client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.FunctionRef.Name}
	if err := r.Get(ctx, key, function); apierrors.IsNotFound(err) {
		r.describe(u, status.FunctionMissing(run))
		return ctrl.Result{}, nil // waiting for the Function; its watch triggers the next reconciliation
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the Function %s: %w", key.Name, err)
	}
	if !status.FunctionIsReady(function) {
		r.describe(u, status.FunctionNotReady(function))
		return ctrl.Result{}, nil // waiting for the Function's controller; the Function's watch triggers the next reconciliation
	}
	settings, err := r.revisions.read(ctx, refOfFunction(function))
	if apierrors.IsNotFound(err) || isNotTheRevision(err) {
		r.describe(u, status.FunctionNotReady(function))
		return ctrl.Result{RequeueAfter: revisionInterval}, nil // deleted or replaced; the Function's controller creates it again
	} else if err != nil {
		return ctrl.Result{}, err
	}
	image, err := imageNamed(ctx, r.Client, function, r.options.CatalogueNamespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !settings.Image.Matches(image) {
		// Only compared before the pin: what a pinned run executes never changes.
		r.describe(u, stateOf(workload.ImageDiffers(function, settings.Image)))
		return ctrl.Result{RequeueAfter: revisionInterval}, nil // the Function's controller creates a revision with the new image
	}
	references := append(append(function.References(), settings.Pod.References()...), settings.Image.References()...)
	if blocked, err := r.blockedByReferences(ctx, u, references); blocked || err != nil {
		return ctrl.Result{RequeueAfter: policyInterval}, err
	}
	pinned := workload.PinFor(run, function, settings, inputs)
	if problem := r.options.CheckSettings(settings, pinned.PriorityClassName); problem != nil {
		r.describe(u, stateOf(problem))
		return ctrl.Result{}, nil // waiting for an administrator: the manager restarts with other flags
	}
	run.Status.Revision = pinned
	// The name of the first Job follows from the run's name, so it needs no write of its own.
	run.Status.Job = &v1alpha1.JobReference{Name: workload.JobName(run.Name, 1), Number: 1}
	// Each condition makes this write slower, and the Job waits for it: it sets only what kstatus reads. The next write, which nothing
	// waits for, sets all of them.
	status.RunWriter(run, u.now).Write(status.Progressing(v1alpha1.ReasonPinned,
		fmt.Sprintf("The revision %s is pinned; the Job is created next.", run.Status.Revision.Name)))
	ref := refOfRun(run)
	u.duringWrite(func() { r.revisions.confirm(ctx, ref) })
	return ctrl.Result{}, nil // the write triggers the next reconciliation
}

// blockedByReferences describes a run whose references no policy checks, and reports whether it is one.
func (r *RunReconciler) blockedByReferences(ctx context.Context, u *runUpdate, references []v1alpha1.Reference) (bool, error) {
	problem, err := checkReferences(ctx, r.policies, references)
	if problem != nil {
		r.describe(u, stateOf(problem))
	}
	return problem != nil, err
}
