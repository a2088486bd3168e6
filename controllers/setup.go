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
	"sharedcloud.io/function-operator/controllers/workload"
)

// Reconcilers are the controllers that SetupWithManager adds to a manager.
type Reconcilers struct {
	Function *FunctionReconciler
	Image    *ImageReconciler
	Run      *RunReconciler
	Revision *RevisionReconciler
	Identity []*IdentityReconciler
}

// NewReconcilers creates all of them for one manager.
func NewReconcilers(mgr ctrl.Manager, lookup workload.RuntimeLookup, metrics *Metrics, clk clock.PassiveClock, options workload.Options) Reconcilers {
	c, live, recorder := mgr.GetClient(), mgr.GetAPIReader(), mgr.GetEventRecorder(v1alpha1.FieldManagerController)
	return Reconcilers{
		Function: NewFunctionReconciler(c, live, lookup, recorder, metrics, clk, options),
		Image:    NewImageReconciler(c, live, lookup, recorder, clk),
		Run:      NewRunReconciler(c, live, recorder, metrics, clk, options),
		Revision: NewRevisionReconciler(c, metrics, clk, DefaultRevisionGrace),
		Identity: newIdentityReconcilers(c, clk, options.CatalogueNamespace),
	}
}

// SetupWithManager adds the indexes and the controllers with their watches. All of them fill their caches before the manager is the
// leader. catalogue is the namespace of the images that every namespace may use.
func (r Reconcilers) SetupWithManager(ctx context.Context, mgr ctrl.Manager, catalogue string) error {
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	mapper := requestMapper{cached: mgr.GetClient(), catalogue: catalogue}
	for _, setup := range []struct {
		name  string
		start func() error
	}{
		{"functions", func() error { return r.setupFunctions(mgr, mapper) }},
		{"images", func() error { return r.setupImages(mgr) }},
		{"runs", func() error { return r.setupRuns(mgr, mapper) }},
		{"revisions", func() error { return r.setupRevisions(mgr, mapper) }},
		{"identities", func() error { return r.setupIdentities(mgr) }},
	} {
		if err := setup.start(); err != nil {
			return fmt.Errorf("setting up the controller of %s: %w", setup.name, err)
		}
	}
	return nil
}

func concurrency(n int) controller.Options {
	return controller.Options{MaxConcurrentReconciles: n, EnableWarmup: ptr.To(true)}
}

func (r Reconcilers) setupFunctions(mgr ctrl.Manager, mapper requestMapper) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("function").
		For(&v1alpha1.Function{}, builder.WithPredicates(specOrDecodabilityChanged)).
		Watches(&v1alpha1.FunctionImage{}, handler.EnqueueRequestsFromMapFunc(mapper.functionsOfImage),
			builder.WithPredicates(specOrDecodabilityChanged)).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(mapper.functionsOfConfigMap)).
		WithOptions(concurrency(4)).
		Complete(r.Function)
}

func (r Reconcilers) setupImages(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("functionimage").
		For(&v1alpha1.FunctionImage{}, builder.WithPredicates(specOrDecodabilityChanged)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(imageOfPod), builder.WithPredicates(digestChanged)).
		WithOptions(concurrency(1)).
		Complete(r.Image)
}

func (r Reconcilers) setupRuns(mgr ctrl.Manager, mapper requestMapper) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("functionrun").
		For(&v1alpha1.FunctionRun{}).
		Owns(&batchv1.Job{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(runOfPod), builder.WithPredicates(podChanged)).
		Watches(&v1alpha1.Function{}, handler.EnqueueRequestsFromMapFunc(mapper.runsOfFunction)).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(mapper.runsOfConfigMap)).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(mapper.runsOfNamespace), builder.WithPredicates(isTerminating)).
		WithOptions(concurrency(8)).
		Complete(r.Run)
}

func (r Reconcilers) setupRevisions(mgr ctrl.Manager, mapper requestMapper) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("revision").
		For(&corev1.ConfigMap{}, builder.OnlyMetadata, builder.WithPredicates(isRevision)).
		Watches(&v1alpha1.Function{}, handler.EnqueueRequestsFromMapFunc(mapper.revisionsOfFunction), builder.WithPredicates(functionReleasesRevision)).
		Watches(&v1alpha1.FunctionRun{}, handler.EnqueueRequestsFromMapFunc(mapper.revisionsOfRun), builder.WithPredicates(runReleasesRevision)).
		WithOptions(concurrency(1)).
		Complete(r.Revision)
}

func (r Reconcilers) setupIdentities(mgr ctrl.Manager) error {
	for _, identity := range r.Identity {
		if err := identity.setup(mgr); err != nil {
			return err
		}
	}
	return nil
}

func configMapMetadataList() *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(configMapMetadata().GroupVersionKind())
	return list
}
