package controllers

import (
	"context"
	"errors"
	"fmt"
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
	"sharedcloud.io/function-operator/parameters"
)

// conflictPause is how long a pass waits for its cache after the API server refused its write as decided from an old
// state. The newer state usually arrives first and wakes it.
const conflictPause = 100 * time.Millisecond

// RunReconciler makes a run's Job from what the run has pinned, says how it goes, and ends it.
type RunReconciler struct {
	client.Client
	live      client.Reader
	revisions *revisionReader
	tell      announcer
	metrics   *Metrics
	clock     clock.PassiveClock
	options   Options
	broken    *undecodables
	// policies are those that check what functions and runs name.
	policies *policies.Installed
}

// NewRunReconciler needs a client that reads from caches and a reader that does not.
func NewRunReconciler(c client.Client, live client.Reader, tell EventRecorder, metrics *Metrics, clk clock.PassiveClock, options Options) *RunReconciler {
	return &RunReconciler{
		Client:    c,
		live:      live,
		revisions: newRevisionReader(c, live, options),
		tell:      announcer{tell},
		metrics:   metrics,
		clock:     clk,
		options:   options,
		broken:    newUndecodables(c, live, announcer{tell}, clk),
		policies:  policies.NewInstalled(live, clk),
	}
}

// runPass is one look at a run: a copy that the pass changes, and what is to be told once the change is stored.
type runPass struct {
	run    *v1alpha1.FunctionRun
	now    time.Time
	stored []func()
}

// afterWrite keeps what may be said only when the status was written.
func (p *runPass) afterWrite(act func()) { p.stored = append(p.stored, act) }

// Reconcile is the shell: get, decide, write the status once.
func (r *RunReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	stored := &v1alpha1.FunctionRun{}
	if err := r.Get(ctx, request.NamespacedName, stored); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if stored.DeletionTimestamp != nil {
		return ctrl.Result{}, nil // the garbage collector ends the Job, the API server sweeps the outcomes
	}
	if terminating, err := r.namespaceTerminating(ctx, stored.Namespace); err != nil {
		return ctrl.Result{}, err
	} else if terminating {
		return ctrl.Result{}, r.leaveNamespace(ctx, stored)
	}
	if v1alpha1.DecodeError(stored) != "" {
		return r.broken.report(ctx, stored, "FunctionRun")
	}
	p := &runPass{run: stored.DeepCopy(), now: r.clock.Now()}
	result, err := r.advance(ctx, p)
	if writeErr := r.writeStatus(ctx, stored, p); writeErr != nil {
		if apierrors.IsConflict(writeErr) && err == nil {
			log.FromContext(ctx).V(1).Info("Decided from an old state, deciding again", "run", klog.KObj(stored))
			return ctrl.Result{RequeueAfter: conflictPause}, nil
		}
		if err == nil {
			err = client.IgnoreNotFound(writeErr)
		}
	}
	return result, err
}

// advance is the checklist. Each step either waits for somebody, and returns, or finds its part done. The comments say
// who acts next.
func (r *RunReconciler) advance(ctx context.Context, p *runPass) (ctrl.Result, error) {
	run := p.run
	run.Status.ObservedGeneration = run.Generation
	if runFinished(run) {
		restored(run, runConditions(run, p.now))
		return r.tidy(ctx, p)
	}
	inputs, err := parameters.CachedCount(run)
	if err != nil && !errors.Is(err, parameters.ErrElsewhere) {
		r.finish(p, false, v1alpha1.ReasonParametersInvalid, sentence(cut(err.Error(), foreignTextLimit))+" Make a new FunctionRun with inputs that can be read.")
		return ctrl.Result{}, nil
	}
	if runClosed(run) {
		complete, reason, message := verdict(run.Status.Progress)
		r.finish(p, complete, reason, message)
		return ctrl.Result{}, nil // the write wakes the next pass, which tidies up
	}
	if run.Spec.Cancel {
		r.end(p, v1alpha1.ReasonCancelled, "spec.cancel is set.")
	}
	if runEnding(run) {
		r.describe(p, endingFinding(run))
		return ctrl.Result{}, nil // waiting for the API server's closing report
	}
	if run.Status.Revision == nil {
		if run.Spec.Suspend {
			r.describe(p, suspendedFinding(nil))
			return ctrl.Result{}, nil // waiting for spec.suspend to become false
		}
		if held, err := r.holdUnchecked(ctx, p, run.References()); held || err != nil {
			return ctrl.Result{RequeueAfter: policyPause}, err
		}
		inputs, wait, err := r.inputs(ctx, p, inputs)
		if wait != nil || err != nil {
			return deref(wait), err
		}
		return r.pin(ctx, p, inputs)
	}
	return r.work(ctx, p)
}

// writeStatus applies the fields of the status that the controllers own, if any of them changed, and then tells.
func (r *RunReconciler) writeStatus(ctx context.Context, stored *v1alpha1.FunctionRun, p *runPass) error {
	if equality.Semantic.DeepEqual(stored.Status, p.run.Status) {
		return nil
	}
	err := r.Status().Apply(ctx, runStatus(p.run), client.FieldOwner(v1alpha1.FieldManagerController), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("writing the status of the run: %w", err)
	}
	for _, act := range p.stored {
		act()
	}
	return nil
}

// describe says how an unfinished run stands, and tells people when that is something else than before.
func (r *RunReconciler) describe(p *runPass, f finding) {
	if !describeUnfinished(p.run, f, p.now) {
		return
	}
	run := p.run
	p.afterWrite(func() { r.tell.standing(run, f) })
}

// end asks the API server to close the run.
func (r *RunReconciler) end(p *runPass, reason, message string) {
	if startEnding(p.run, reason, message, p.now) {
		run := p.run
		p.afterWrite(func() { r.tell.normal(run, eventEnding, actionEnd, message) })
	}
}

// finish writes the end.
func (r *RunReconciler) finish(p *runPass, complete bool, reason, message string) {
	finishRun(p.run, complete, reason, message, p.now)
	run := p.run
	p.afterWrite(func() {
		r.metrics.runFinished(complete, reason, p.now.Sub(run.CreationTimestamp.Time))
		if complete {
			r.tell.normal(run, eventComplete, actionFinish, message)
		} else {
			r.tell.warning(run, eventFailed, actionFinish, message)
		}
	})
}
