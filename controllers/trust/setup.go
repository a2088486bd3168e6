package trust

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// SetupWithManager adds both controllers.
//
// The manager may list and watch two Secrets, each by its name (config/rbac), and a cache can select one name. So the manager's own cache
// holds the authority, and a second one the serving certificate.
func SetupWithManager(mgr ctrl.Manager, authority *AuthorityReconciler, bundles *BundleReconciler) error {
	serving, err := servingCache(mgr, authority.namespace)
	if err != nil {
		return fmt.Errorf("setting up the cache of the serving certificate: %w", err)
	}
	all := func(context.Context, client.Object) []reconcile.Request { return []reconcile.Request{{}} }
	// Without a Secret and an APIService no watch triggers the first reconciliation.
	first := make(chan event.GenericEvent, 1)
	first <- event.GenericEvent{Object: &corev1.Secret{}}
	err = ctrl.NewControllerManagedBy(mgr).
		Named("trust").
		WatchesRawSource(source.Channel(first, handler.EnqueueRequestsFromMapFunc(all))).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(all)).
		WatchesRawSource(source.Kind(serving, client.Object(&corev1.Secret{}), handler.EnqueueRequestsFromMapFunc(all))).
		Watches(&apiregistrationv1.APIService{}, handler.EnqueueRequestsFromMapFunc(all)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1, EnableWarmup: ptr.To(true)}).
		Complete(authority)
	if err != nil {
		return fmt.Errorf("setting up the controller of the certificate authority: %w", err)
	}
	err = ctrl.NewControllerManagedBy(mgr).
		Named("trust-bundle").
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(bundles.allNamespaces), builder.WithPredicates(named(AuthoritySecret))).
		Watches(&v1alpha1.FunctionRun{}, handler.EnqueueRequestsFromMapFunc(namespaceOf), builder.WithPredicates(onlyCreated)).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(namespaceOf), builder.WithPredicates(named(v1alpha1.TrustConfigMap))).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1, EnableWarmup: ptr.To(true)}).
		Complete(bundles)
	if err != nil {
		return fmt.Errorf("setting up the controller of the certificate bundles: %w", err)
	}
	return nil
}

// Named selects the object with that name.
func Named(name string) fields.Selector {
	return fields.OneTermEqualSelector(metav1.ObjectNameField, name)
}

// servingCache holds the Secret with the API server's certificate. It starts and stops with the manager.
func servingCache(mgr ctrl.Manager, namespace string) (cache.Cache, error) {
	second, err := cluster.New(mgr.GetConfig(), func(o *cluster.Options) {
		o.Scheme = mgr.GetScheme()
		o.HTTPClient = mgr.GetHTTPClient()
		o.MapperProvider = func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mgr.GetRESTMapper(), nil }
		o.Cache.ByObject = map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{namespace: {FieldSelector: Named(ServingSecret)}}},
		}
	})
	if err != nil {
		return nil, err
	}
	return second.GetCache(), mgr.Add(second)
}

var onlyCreated = predicate.Funcs{
	UpdateFunc: func(event.UpdateEvent) bool { return false },
	DeleteFunc: func(event.DeleteEvent) bool { return false },
}

func named(name string) predicate.Predicate {
	return predicate.NewPredicateFuncs(func(object client.Object) bool { return object.GetName() == name })
}

func namespaceOf(_ context.Context, object client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: object.GetNamespace()}}}
}

// allNamespaces returns the operator's namespace and each that has runs.
func (r *BundleReconciler) allNamespaces(ctx context.Context, _ client.Object) []reconcile.Request {
	namespaces := map[string]bool{r.namespace: true}
	runs := &v1alpha1.FunctionRunList{}
	if err := r.List(ctx, runs); err != nil {
		log.FromContext(ctx).Error(err, "Listing runs to find their namespaces")
	}
	for i := range runs.Items {
		namespaces[runs.Items[i].Namespace] = true
	}
	requests := make([]reconcile.Request, 0, len(namespaces))
	for namespace := range namespaces {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Name: namespace}})
	}
	return requests
}
