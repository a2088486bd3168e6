package controllers

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Reconcilers are what SetupWithManager wires.
type Reconcilers struct {
	Function *FunctionReconciler
	Image    *ImageReconciler
	Run      *RunReconciler
	Revision *RevisionReconciler
}

// NewReconcilers makes them all for one manager.
func NewReconcilers(mgr ctrl.Manager, lookup RuntimeLookup, metrics *Metrics, clk clock.PassiveClock, options Options) Reconcilers {
	c, live, tell := mgr.GetClient(), mgr.GetAPIReader(), mgr.GetEventRecorder(v1alpha1.FieldManagerController)
	return Reconcilers{
		Function: NewFunctionReconciler(c, live, lookup, tell, metrics, clk, options),
		Image:    NewImageReconciler(c, live, lookup, tell, clk),
		Run:      NewRunReconciler(c, live, tell, metrics, clk, options),
		Revision: NewRevisionReconciler(c, metrics, clk, DefaultRevisionGrace),
	}
}

// SetupWithManager adds the indexes and the controllers with their watches. All warm their caches before they lead.
func (r Reconcilers) SetupWithManager(ctx context.Context, mgr ctrl.Manager, options Options) error {
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	wake := waker{cached: mgr.GetClient(), catalogue: options.CatalogueNamespace}
	for _, setup := range []struct {
		name  string
		start func() error
	}{
		{"functions", func() error { return r.setupFunctions(mgr, wake) }},
		{"images", func() error { return r.setupImages(mgr) }},
		{"runs", func() error { return r.setupRuns(mgr, wake) }},
		{"revisions", func() error { return r.setupRevisions(mgr, wake) }},
	} {
		if err := setup.start(); err != nil {
			return fmt.Errorf("setting up the controller of %s: %w", setup.name, err)
		}
	}
	return nil
}

func workers(n int) controller.Options {
	return controller.Options{MaxConcurrentReconciles: n, EnableWarmup: ptr.To(true)}
}

func (r Reconcilers) setupFunctions(mgr ctrl.Manager, wake waker) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("function").
		For(&v1alpha1.Function{}, builder.WithPredicates(specOrDecodabilityChanged)).
		Watches(&v1alpha1.FunctionImage{}, handler.EnqueueRequestsFromMapFunc(wake.functionsOfImage),
			builder.WithPredicates(specOrDecodabilityChanged)).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(wake.functionsOfConfigMap)).
		WithOptions(workers(4)).
		Complete(r.Function)
}

func (r Reconcilers) setupImages(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("functionimage").
		For(&v1alpha1.FunctionImage{}, builder.WithPredicates(specOrDecodabilityChanged)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(imageOfPod), builder.WithPredicates(digestIsNew)).
		WithOptions(workers(1)).
		Complete(r.Image)
}

func (r Reconcilers) setupRuns(mgr ctrl.Manager, wake waker) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("functionrun").
		For(&v1alpha1.FunctionRun{}).
		Owns(&batchv1.Job{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(runOfPod), builder.WithPredicates(podSaysSomethingNew)).
		Watches(&v1alpha1.Function{}, handler.EnqueueRequestsFromMapFunc(wake.runsOfFunction)).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(wake.runsOfConfigMap)).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(wake.runsOfNamespace), builder.WithPredicates(isTerminating)).
		WithOptions(workers(8)).
		Complete(r.Run)
}

func (r Reconcilers) setupRevisions(mgr ctrl.Manager, wake waker) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("revision").
		For(&corev1.ConfigMap{}, builder.OnlyMetadata, builder.WithPredicates(isRevision)).
		Watches(&v1alpha1.Function{}, handler.EnqueueRequestsFromMapFunc(wake.revisionsOfFunction), builder.WithPredicates(functionLetsGo)).
		Watches(&v1alpha1.FunctionRun{}, handler.EnqueueRequestsFromMapFunc(wake.revisionsOfRun), builder.WithPredicates(runLetsGo)).
		WithOptions(workers(1)).
		Complete(r.Revision)
}

func configMapMetadataList() *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(configMapMetadata().GroupVersionKind())
	return list
}
