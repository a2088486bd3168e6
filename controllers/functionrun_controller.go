package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/policies"
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/controllers/values"
	"sharedcloud.io/function-operator/controllers/workload"
	"sharedcloud.io/function-operator/parameters"
)

// conflictInterval is how long a reconciliation waits for its cache after the API server refused its write as decided from a stale
// state. The newer state usually arrives earlier and triggers the next one.
const conflictInterval = 100 * time.Millisecond

// RunReconciler creates a run's Job from what the run has pinned, reports its state, and ends it.
type RunReconciler struct {
	client.Client
	live        client.Reader
	revisions   *revisionReader
	events      eventWriter
	metrics     *Metrics
	clock       clock.PassiveClock
	options     workload.Options
	undecodable *undecodableReporter
	// policies check what functions and runs name.
	policies *policies.Installed
}

// NewRunReconciler needs a client that reads from caches and a reader that does not.
func NewRunReconciler(c client.Client, live client.Reader, recorder EventRecorder, metrics *Metrics, clk clock.PassiveClock, options workload.Options) *RunReconciler {
	events := eventWriter{recorder}
	return &RunReconciler{
		Client:      c,
		live:        live,
		revisions:   newRevisionReader(c, live, options, clk),
		events:      events,
		metrics:     metrics,
		clock:       clk,
		options:     options,
		undecodable: newUndecodableReporter(c, live, events, clk),
		policies:    policies.NewInstalled(live, clk),
	}
}

// runUpdate collects what one reconciliation of a run changes: a copy of the run, and the events, metrics and logs that follow the
// write of its status.
type runUpdate struct {
	run     *v1alpha1.FunctionRun
	now     time.Time
	during  []func()
	actions []func()
}

// duringWrite keeps an action to run while the status is being written, whatever becomes of the write.
func (u *runUpdate) duringWrite(action func()) { u.during = append(u.during, action) }

// afterWrite keeps an action for when the status was written.
func (u *runUpdate) afterWrite(action func()) { u.actions = append(u.actions, action) }

// Reconcile reads the run, decides, and writes the status once.
func (r *RunReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	stored := &v1alpha1.FunctionRun{}
	if err := r.Get(ctx, request.NamespacedName, stored); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if stored.DeletionTimestamp != nil {
		return ctrl.Result{}, nil // the garbage collector deletes the Job, the API server the outcomes
	}
	if terminating, err := r.namespaceTerminating(ctx, stored.Namespace); err != nil {
		return ctrl.Result{}, err
	} else if terminating {
		return ctrl.Result{}, r.deleteJobs(ctx, stored)
	}
	if v1alpha1.DecodeError(stored) != "" {
		return r.undecodable.report(ctx, stored, "FunctionRun")
	}
	u := &runUpdate{run: stored.DeepCopy(), now: r.clock.Now()}
	result, err := r.advance(ctx, u)
	if writeErr := r.writeStatus(ctx, stored, u); writeErr != nil {
		if apierrors.IsConflict(writeErr) && err == nil {
			log.FromContext(ctx).V(1).Info("Decided from a stale state, deciding again", "run", klog.KObj(stored))
			return ctrl.Result{RequeueAfter: conflictInterval}, nil
		}
		if err == nil {
			err = client.IgnoreNotFound(writeErr)
		}
	}
	return result, err
}

// advance is the checklist. Each step either waits for another component, and returns, or is already complete. The comments name the
// component that acts next.
func (r *RunReconciler) advance(ctx context.Context, u *runUpdate) (ctrl.Result, error) {
	run := u.run
	run.Status.ObservedGeneration = run.Generation
	if status.RunFinished(run) {
		status.RestoreFinishedRun(run, u.now)
		return r.cleanUp(ctx, u)
	}
	inputs, err := parameters.CachedCount(run)
	if err != nil && !errors.Is(err, parameters.ErrElsewhere) {
		r.finish(u, false, v1alpha1.ReasonParametersInvalid, values.Foreign(err.Error())+" Create a new FunctionRun with valid inputs.")
		return ctrl.Result{}, nil
	}
	if status.RunClosed(run) {
		complete, reason, message := status.Verdict(run.Status.Progress)
		r.finish(u, complete, reason, message)
		return ctrl.Result{}, nil // the write triggers the next reconciliation, which cleans up
	}
	if run.Spec.Cancel {
		r.startEnding(u, v1alpha1.ReasonCancelled, "spec.cancel is set.")
	}
	if status.RunEnding(run) {
		r.describe(u, status.RunEndingState(run))
		return ctrl.Result{}, nil // waiting for the API server's closing report
	}
	if run.Status.Revision != nil {
		return r.work(ctx, u)
	}
	if run.Spec.Suspend {
		r.describe(u, status.RunSuspendedState(false))
		return ctrl.Result{}, nil // waiting for spec.suspend to become false
	}
	if blocked, err := r.blockedByReferences(ctx, u, run.References()); blocked || err != nil {
		return ctrl.Result{RequeueAfter: policyInterval}, err
	}
	found, ready, err := r.findInputs(ctx, u, inputs)
	if !ready || err != nil {
		return ctrl.Result{}, err
	}
	return r.pin(ctx, u, found)
}

// writeStatus applies the fields of the status that the controllers own, if any of them changed, and then runs the actions.
func (r *RunReconciler) writeStatus(ctx context.Context, stored *v1alpha1.FunctionRun, u *runUpdate) error {
	if equality.Semantic.DeepEqual(stored.Status, u.run.Status) {
		return nil
	}
	var during sync.WaitGroup
	for _, action := range u.during {
		during.Go(action)
	}
	err := r.Status().Apply(ctx, status.RunConfiguration(u.run), client.FieldOwner(v1alpha1.FieldManagerController), client.ForceOwnership)
	during.Wait()
	if err != nil {
		return fmt.Errorf("writing the status of the run: %w", err)
	}
	for _, action := range u.actions {
		action()
	}
	return nil
}

// describe sets the conditions of an unfinished run, with an event if its state changed.
func (r *RunReconciler) describe(u *runUpdate, state status.ConditionState) {
	if !status.DescribeRun(u.run, state, u.now) {
		return
	}
	run := u.run
	u.afterWrite(func() { r.events.state(run, state) })
}

// startEnding asks the API server to close the run.
func (r *RunReconciler) startEnding(u *runUpdate, reason, message string) {
	if status.StartEnding(u.run, reason, message, u.now) {
		run := u.run
		u.afterWrite(func() { r.events.normal(run, eventEnding, actionEnd, message) })
	}
}

// endRun asks the API server to close the run, and describes that. The API server's closing report follows.
func (r *RunReconciler) endRun(u *runUpdate, reason, message string) {
	r.startEnding(u, reason, message)
	r.describe(u, status.RunEndingState(u.run))
}

// finish records the end of the run.
func (r *RunReconciler) finish(u *runUpdate, complete bool, reason, message string) {
	status.FinishRun(u.run, complete, reason, message, u.now)
	run := u.run
	u.afterWrite(func() {
		r.metrics.runFinished(complete, reason, u.now.Sub(run.CreationTimestamp.Time))
		if complete {
			r.events.normal(run, eventComplete, actionFinish, message)
		} else {
			r.events.warning(run, eventFailed, actionFinish, message)
		}
	})
}
