package trust

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// BundleReconciler writes the ConfigMap with the bundle into each namespace that has runs, and into the operator's. The name of a request
// is a namespace.
//
// No controller waits for it: the kubelet starts a pod when the ConfigMap of its volume exists.
type BundleReconciler struct {
	client.Client
	live      client.Reader
	namespace string

	mutex sync.Mutex
	// written is the bundle and the resourceVersion that this manager last wrote or verified, by namespace. The cache does not hold the
	// content of ConfigMaps, so a ConfigMap with another resourceVersion is read, and written if it differs.
	written map[string]writing
}

type writing struct {
	bundle, resourceVersion string
}

// NewBundleReconciler needs a client whose cache holds the metadata of ConfigMaps and the authority's Secret, and a reader without a cache.
func NewBundleReconciler(c client.Client, live client.Reader, namespace string) *BundleReconciler {
	return &BundleReconciler{Client: c, live: live, namespace: namespace, written: map[string]writing{}}
}

// Reconcile writes the bundle of one namespace.
func (r *BundleReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	namespace := request.Name
	authority := &corev1.Secret{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: AuthoritySecret}, authority); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err) // waiting for the authority; its watch triggers all namespaces
	}
	if namespace != r.namespace {
		runs := &v1alpha1.FunctionRunList{}
		if err := r.List(ctx, runs, client.InNamespace(namespace), client.Limit(1)); err != nil {
			return ctrl.Result{}, fmt.Errorf("looking for runs in %s: %w", namespace, err)
		}
		if len(runs.Items) == 0 {
			return ctrl.Result{}, nil
		}
	}
	bundle := string(authority.Data[v1alpha1.TrustKey])
	current, err := r.isCurrent(ctx, namespace, bundle)
	if err != nil || current {
		return ctrl.Result{}, err
	}
	wanted := coreac.ConfigMap(v1alpha1.TrustConfigMap, namespace).
		WithLabels(map[string]string{v1alpha1.LabelTrust: "true", labelManagedBy: managedBy}).
		WithData(map[string]string{v1alpha1.TrustKey: bundle})
	err = r.Apply(ctx, wanted, client.FieldOwner(v1alpha1.FieldManagerController), client.ForceOwnership)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err) {
		return ctrl.Result{}, nil
	}
	if apierrors.IsInvalid(err) {
		// An immutable ConfigMap of this name existed before. Its deletion triggers this namespace.
		if err := r.remove(ctx, namespace); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("writing the ConfigMap %s of %s: %w", v1alpha1.TrustConfigMap, namespace, err)
	}
	if wanted.ResourceVersion != nil && r.remember(namespace, writing{bundle, *wanted.ResourceVersion}) {
		log.FromContext(ctx).Info("Wrote the bundle of the certificate authority", "namespace", namespace)
	}
	return ctrl.Result{}, nil
}

// remove deletes the ConfigMap that has the bundle's name.
func (r *BundleReconciler) remove(ctx context.Context, namespace string) error {
	foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.TrustConfigMap}}
	if err := client.IgnoreNotFound(r.Delete(ctx, foreign)); err != nil {
		return fmt.Errorf("deleting the ConfigMap %s of %s, which does not belong to the operator: %w", foreign.Name, namespace, err)
	}
	log.FromContext(ctx).Info("Deleted an immutable ConfigMap with the name of the bundle", "namespace", namespace)
	return nil
}

// isCurrent reports whether the namespace has the bundle.
func (r *BundleReconciler) isCurrent(ctx context.Context, namespace, bundle string) (bool, error) {
	key := client.ObjectKey{Namespace: namespace, Name: v1alpha1.TrustConfigMap}
	known := configMapMetadata()
	if err := r.Get(ctx, key, known); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return false, fmt.Errorf("looking up the ConfigMap of %s: %w", namespace, err)
	}
	if r.isWritten(namespace, writing{bundle, known.ResourceVersion}) {
		return true, nil
	}
	stored := &corev1.ConfigMap{}
	if err := r.live.Get(ctx, key, stored); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return false, fmt.Errorf("reading the ConfigMap of %s: %w", namespace, err)
	}
	if stored.Data[v1alpha1.TrustKey] != bundle {
		return false, nil
	}
	r.remember(namespace, writing{bundle, stored.ResourceVersion})
	return true, nil
}

func (r *BundleReconciler) isWritten(namespace string, w writing) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.written[namespace] == w
}

func (r *BundleReconciler) remember(namespace string, w writing) (changed bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	changed = r.written[namespace] != w
	r.written[namespace] = w
	return changed
}

func configMapMetadata() *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	return object
}
