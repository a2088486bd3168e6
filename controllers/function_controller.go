package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/policies"
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/controllers/workload"
)

// FunctionReconciler creates the revision of a function's present code, image and settings, and reports whether it could.
//
// It reads the function and the source of its code from the API server each time, because no cache holds code.
type FunctionReconciler struct {
	client.Client
	live        client.Reader
	revisions   *revisionReader
	lookup      workload.RuntimeLookup
	events      eventWriter
	metrics     *Metrics
	clock       clock.PassiveClock
	options     workload.Options
	undecodable *undecodableReporter
	// policies check what functions name.
	policies *policies.Installed
}

// NewFunctionReconciler needs a client that reads from caches and a reader that does not.
func NewFunctionReconciler(c client.Client, live client.Reader, lookup workload.RuntimeLookup, recorder EventRecorder, metrics *Metrics, clk clock.PassiveClock, options workload.Options) *FunctionReconciler {
	events := eventWriter{recorder}
	return &FunctionReconciler{
		Client: c, live: live, revisions: newRevisionReader(c, live, options, clk), lookup: lookup, events: events,
		metrics: metrics, clock: clk, options: options,
		undecodable: newUndecodableReporter(c, live, events, clk), policies: policies.NewInstalled(live, clk),
	}
}

// Reconcile reads the function, decides, and writes the status once.
func (r *FunctionReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	stored := &v1alpha1.Function{}
	if err := r.live.Get(ctx, request.NamespacedName, stored); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if stored.DeletionTimestamp != nil {
		return ctrl.Result{}, nil // the revision controller deletes its revisions
	}
	if v1alpha1.DecodeError(stored) != "" {
		return r.undecodable.report(ctx, stored, "Function")
	}
	function := stored.DeepCopy()
	function.Status.ObservedGeneration = function.Generation
	problem, err := r.revise(ctx, function)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return ctrl.Result{}, nil // the function is deleted with its namespace
	}
	if err != nil {
		return ctrl.Result{}, err // the API server did not answer: the status is still the best information
	}
	state := stateOfFunction(function, problem)
	w := status.Writer{Conditions: &function.Status.Conditions, Generation: function.Generation, Now: r.clock.Now()}
	changed := w.Write(state)
	result := ctrl.Result{RequeueAfter: recheckFunction[state.Reason]}
	if equality.Semantic.DeepEqual(stored.Status, function.Status) {
		return result, nil
	}
	err = r.Status().Apply(ctx, status.FunctionConfiguration(function), client.FieldOwner(v1alpha1.FieldManagerController), client.ForceOwnership)
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictInterval}, nil
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the status of the function: %w", err))
	}
	if changed {
		r.events.state(function, state)
		log.FromContext(ctx).Info("The function's state changed", "function", klog.KObj(function), "reason", state.Reason)
	}
	return result, nil
}

// revise is the checklist. Watches report when something that is missing appears: see watches.go. Without a problem the status names
// the revision.
func (r *FunctionReconciler) revise(ctx context.Context, function *v1alpha1.Function) (*workload.Problem, error) {
	current := function.Status.Revision
	function.Status.Revision = nil
	image, err := imageNamed(ctx, r.Client, function, r.options.CatalogueNamespace)
	if err != nil {
		return nil, err
	}
	if image == nil {
		return workload.ImageMissing(function, r.options.CatalogueNamespace), nil
	}
	if v1alpha1.DecodeError(image) != "" {
		return workload.ImageNotDecodable(image), nil
	}
	runtime, problem := workload.MatchRuntime(function, image, r.lookup)
	if problem != nil {
		return problem, nil
	}
	if problem := workload.CheckPod(function.Spec.Pod, r.options.GPUResource, ptr.Deref(function.Spec.GPUResource, "")); problem != nil {
		return problem, nil
	}
	if problem := r.options.Allowed.Check(function.Spec.Pod, ptr.Deref(function.Spec.PriorityClassName, "")); problem != nil {
		return problem, nil
	}
	settings := workload.SettingsFor(function, image, runtime, r.options.GPUResource)
	references := append(function.References(), settings.Image.References()...)
	if problem, err := checkReferences(ctx, r.policies, references); err != nil || problem != nil {
		function.Status.Revision = current // the revision is unchanged, and no run pins it
		return problem, err
	}
	code, problem, err := r.codeOf(ctx, function, runtime)
	if err != nil || problem != nil {
		return problem, err
	}
	revision, err := workload.RevisionFor(function, code, runtime.Runner, settings)
	if err != nil {
		return nil, err
	}
	if problem := workload.CodeTooLarge(workload.RevisionSize(revision)); problem != nil {
		return problem, nil
	}
	settings.Files = code.Names()
	if err := r.options.ValidateSettings(function.Namespace, revision, settings); err != nil {
		return workload.SettingsInvalid(err), nil
	}
	number, problem, err := r.ensureRevision(ctx, function, revision, current)
	if err != nil || problem != nil {
		return problem, err
	}
	function.Status.Revision = &v1alpha1.FunctionRevision{
		Name:         revision.Name,
		Digest:       v1alpha1.ContentDigest(function.UID, revision),
		Number:       number,
		Generation:   function.Generation,
		RegistryPath: image.Spec.RegistryPath,
	}
	if current != nil && current.Name == revision.Name {
		// The same content in a newer generation, such as another display name: what is executed is unchanged.
		function.Status.Revision.Generation = current.Generation
	}
	return nil, nil
}

// recheckFunction is when to reconcile a function again whose state no watch reports a change of.
var recheckFunction = map[string]time.Duration{
	v1alpha1.ReasonReferencesUnchecked: policyInterval,
	v1alpha1.ReasonRevisionNameTaken:   refusedInterval, // a ConfigMap without the operator's labels names no Function
}

func stateOfFunction(function *v1alpha1.Function, problem *workload.Problem) status.ConditionState {
	if problem != nil {
		return stateOf(problem)
	}
	return status.Ready(v1alpha1.ReasonReady, fmt.Sprintf("Runs execute the revision %s.", function.Status.Revision.Name))
}

// stateOf is the state of an object with a problem.
func stateOf(problem *workload.Problem) status.ConditionState {
	if problem.Waiting {
		return status.Progressing(problem.Reason, problem.Message)
	}
	return status.Stalled(problem.Reason, problem.Message)
}
