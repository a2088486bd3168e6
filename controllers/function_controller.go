package controllers

import (
	"context"
	"fmt"

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
	"sharedcloud.io/function-operator/runtimes"
)

// RuntimeLookup finds a runtime by its name: runtimes.Lookup.
type RuntimeLookup func(runtime string) (runtimes.Runtime, bool)

// FunctionReconciler makes the revision of a function's present code, image and settings, and says whether it could.
//
// It reads the function and the source of its code from the API server in each pass: no cache holds code.
type FunctionReconciler struct {
	client.Client
	live    client.Reader
	lookup  RuntimeLookup
	tell    announcer
	metrics *Metrics
	clock   clock.PassiveClock
	options Options
	broken  *undecodables
	// policies are those that check what functions name.
	policies *policies.Installed
}

// NewFunctionReconciler needs a client that reads from caches and a reader that does not.
func NewFunctionReconciler(c client.Client, live client.Reader, lookup RuntimeLookup, tell EventRecorder, metrics *Metrics, clk clock.PassiveClock, options Options) *FunctionReconciler {
	return &FunctionReconciler{Client: c, live: live, lookup: lookup, tell: announcer{tell}, metrics: metrics, clock: clk, options: options,
		broken: newUndecodables(c, live, announcer{tell}, clk), policies: policies.NewInstalled(live, clk)}
}

// Reconcile is the shell: get, decide, write the status once.
func (r *FunctionReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	stored := &v1alpha1.Function{}
	if err := r.live.Get(ctx, request.NamespacedName, stored); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if stored.DeletionTimestamp != nil {
		return ctrl.Result{}, nil // the revision controller deletes what nothing names any more
	}
	if v1alpha1.DecodeError(stored) != "" {
		return r.broken.report(ctx, stored, "Function")
	}
	function := stored.DeepCopy()
	function.Status.ObservedGeneration = function.Generation
	found, err := r.revise(ctx, function)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return ctrl.Result{}, nil // the function goes with its namespace
	}
	if err != nil {
		return ctrl.Result{}, err // nothing is known but that the API server did not answer: the status stays
	}
	w := conditionWriter{conditions: &function.Status.Conditions, generation: function.Generation, now: r.clock.Now()}
	changed := w.stand(found.standing, found.reason, found.message)
	result := ctrl.Result{}
	if found.reason == v1alpha1.ReasonReferencesUnchecked {
		result.RequeueAfter = policyPause
	}
	if equality.Semantic.DeepEqual(stored.Status, function.Status) {
		return result, nil
	}
	err = r.Status().Apply(ctx, functionStatus(function), client.FieldOwner(v1alpha1.FieldManagerController), client.ForceOwnership)
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the status of the function: %w", err))
	}
	if changed {
		r.tell.standing(function, found)
		log.FromContext(ctx).Info("The function stands otherwise", "function", klog.KObj(function), "reason", found.reason)
	}
	return result, nil
}

// revise is the checklist. What is missing is awaited by watches: see watches.go.
func (r *FunctionReconciler) revise(ctx context.Context, function *v1alpha1.Function) (finding, error) {
	current := function.Status.Revision
	function.Status.Revision = nil
	image, err := r.imageOf(ctx, function)
	if err != nil {
		return finding{}, err
	}
	if image == nil {
		return imageMissing(function, r.options.CatalogueNamespace), nil
	}
	if v1alpha1.DecodeError(image) != "" {
		return imageNotDecodable(image), nil
	}
	runtime, wrong := runtimeFinding(function, image, r.lookup)
	if wrong != nil {
		return *wrong, nil
	}
	if wrong := podFinding(function.Spec.Pod, r.options.GPUResource, ptr.Deref(function.Spec.GPUResource, "")); wrong != nil {
		return *wrong, nil
	}
	if wrong := r.options.Allowed.notAllowed(function.Spec.Pod, ptr.Deref(function.Spec.PriorityClassName, "")); wrong != nil {
		return *wrong, nil
	}
	settings := settingsFor(function, image, runtime, r.options.GPUResource)
	references := append(function.References(), imageReferences(settings.Image)...)
	if wrong, err := uncheckedFinding(ctx, r.policies, references); err != nil || wrong != nil {
		function.Status.Revision = current // it is what it was; no run pins it
		return deref(wrong), err
	}
	code, wrong, err := r.codeOf(ctx, function, runtime)
	if err != nil || wrong != nil {
		return deref(wrong), err
	}
	revision, err := revisionFor(function, code, runtime.Runner, settings)
	if err != nil {
		return finding{}, err
	}
	if size := revisionSize(revision); size > configMapLimit {
		return codeTooLarge(size), nil
	}
	number, wrong, err := r.ensure(ctx, function, revision, current)
	if err != nil || wrong != nil {
		return deref(wrong), err
	}
	function.Status.Revision = &v1alpha1.FunctionRevision{
		Name:         revision.Name,
		Number:       number,
		Generation:   function.Generation,
		RegistryPath: image.Spec.RegistryPath,
	}
	if current != nil && current.Name == revision.Name {
		// The same content under a newer generation (a change of the display name): what executes is the same.
		function.Status.Revision.Generation = current.Generation
	}
	return finding{standingReady, v1alpha1.ReasonReady, fmt.Sprintf("Runs execute the revision %s.", revision.Name)}, nil
}

// deref is what is pointed to, or the zero value.
func deref[T any](value *T) T {
	if value == nil {
		var zero T
		return zero
	}
	return *value
}

// imageOf looks the image up in the function's namespace, then in the catalogue: the nearer one wins.
func (r *FunctionReconciler) imageOf(ctx context.Context, function *v1alpha1.Function) (*v1alpha1.FunctionImage, error) {
	for _, namespace := range []string{function.Namespace, r.options.CatalogueNamespace} {
		image := &v1alpha1.FunctionImage{}
		err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: function.Spec.Image}, image)
		if err == nil {
			return image, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("looking up the image %s in %s: %w", function.Spec.Image, namespace, err)
		}
	}
	return nil, nil
}

// codeOf reads the code, byte for byte.
func (r *FunctionReconciler) codeOf(ctx context.Context, function *v1alpha1.Function, runtime runtimes.Runtime) (source, *finding, error) {
	if function.Spec.Code != nil {
		code, wrong := inlineSource(function, runtime)
		return code, wrong, nil
	}
	if function.Spec.CodeFrom == nil || function.Spec.CodeFrom.ConfigMapName() == "" {
		return source{}, &finding{standingStalled, v1alpha1.ReasonInvalid, "Neither spec.code nor spec.codeFrom is set: set one of them."}, nil
	}
	configMap := &corev1.ConfigMap{}
	name := function.Spec.CodeFrom.ConfigMapName()
	if err := r.live.Get(ctx, client.ObjectKey{Namespace: function.Namespace, Name: name}, configMap); err != nil {
		if apierrors.IsNotFound(err) {
			found := configMapMissing(function.Namespace, *function.Spec.CodeFrom)
			return source{}, &found, nil
		}
		return source{}, nil, fmt.Errorf("reading the ConfigMap %s: %w", name, err)
	}
	code, wrong := sourceIn(configMap, *function.Spec.CodeFrom, runtime)
	return code, wrong, nil
}
