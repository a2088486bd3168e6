package trust

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apiregistrationac "k8s.io/kube-aggregator/pkg/client/applyconfiguration/apiregistration/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// APIServiceNames are the APIServices whose caBundle is maintained. The cache selects them by a label: a field selector cannot name two.
var APIServiceNames = []string{"v1alpha1.subresources.sharedcloud.io", "v1.rest.sharedcloud.io"}

// LabelPartOf is the label of everything that is installed with this operator.
const (
	LabelPartOf = "app.kubernetes.io/part-of"
	PartOf      = "sharedcloud"
)

// maxRecheckInterval bounds the time until the next reconciliation.
const maxRecheckInterval = 12 * time.Hour

// AuthorityReconciler owns the Secrets with the authority and the API server's certificate, and the caBundle of the APIServices. Every
// request reconciles all of them.
type AuthorityReconciler struct {
	client.Client
	live      client.Reader
	clock     clock.PassiveClock
	namespace string
	names     []string
	expiry    *prometheus.GaugeVec
}

// NewAuthorityReconciler needs a client whose cache holds the APIServices. names are the host names and addresses of the API server; the
// first becomes the common name.
func NewAuthorityReconciler(c client.Client, live client.Reader, registry prometheus.Registerer, clk clock.PassiveClock, namespace string, names []string) *AuthorityReconciler {
	expiry := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sharedcloud_certificate_expiry_timestamp_seconds",
		Help: "Expiry of the operator's certificates, in seconds since 1970.",
	}, []string{"certificate"})
	registry.MustRegister(expiry)
	return &AuthorityReconciler{Client: c, live: live, clock: clk, namespace: namespace, names: names, expiry: expiry}
}

// ServerNames are the host names and addresses of the API server: its Service, and a forwarded port on the loopback.
func ServerNames(service, namespace string, extra ...string) []string {
	return append([]string{
		service + "." + namespace + ".svc",
		service + "." + namespace + ".svc.cluster.local",
		service + "." + namespace,
		service,
		"localhost",
		"127.0.0.1",
	}, extra...)
}

// Reconcile renews certificates that are due, and stores an authority before it signs.
func (r *AuthorityReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	now := r.clock.Now()
	a, err := r.ensureAuthority(ctx, now)
	if err != nil {
		return retryConflict(err)
	}
	leafDue, err := r.ensureLeaf(ctx, a, now)
	if err != nil {
		return retryConflict(err)
	}
	for _, name := range APIServiceNames {
		if err := r.ensureAPIService(ctx, name, a.bundle()); err != nil {
			return retryConflict(err)
		}
	}
	wait := min(earlier(a.due(), leafDue).Sub(now), maxRecheckInterval)
	return ctrl.Result{RequeueAfter: max(wait, time.Minute)}, nil
}

// retryConflict decides again after a decision from a stale state, without reporting an error.
func retryConflict(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	return ctrl.Result{}, err
}

func (r *AuthorityReconciler) ensureAuthority(ctx context.Context, now time.Time) (authority, error) {
	stored, err := r.secret(ctx, AuthoritySecret)
	if err != nil {
		return authority{}, err
	}
	var current authority
	if stored != nil {
		if current, err = authorityIn(stored); err != nil {
			// A new authority could disconnect every worker, so an administrator decides.
			return authority{}, fmt.Errorf("the Secret %s/%s cannot be read; restore it, or delete it to create a new authority: %w",
				r.namespace, AuthoritySecret, err)
		}
	}
	a, changed, err := current.renewed(now)
	if err != nil {
		return authority{}, err
	}
	if stored != nil && !changed {
		// An edited bundle is written again.
		changed = !bytes.Equal(stored.Data[v1alpha1.TrustKey], a.bundle())
	}
	if changed {
		wanted, err := secretOfAuthority(r.namespace, a)
		if err != nil {
			return authority{}, err
		}
		if err := r.store(ctx, stored, wanted); err != nil {
			return authority{}, err
		}
		log.FromContext(ctx).Info("Renewed the certificate authority", "secret", klog.KObj(wanted), "notAfter", a.signing.cert.NotAfter)
	}
	r.expiry.WithLabelValues("ca").Set(float64(a.signing.cert.NotAfter.Unix()))
	return a, nil
}

func (r *AuthorityReconciler) ensureLeaf(ctx context.Context, a authority, now time.Time) (time.Time, error) {
	stored, err := r.secret(ctx, ServingSecret)
	if err != nil {
		return now, err
	}
	var leaf *pair
	if stored != nil {
		// An unreadable certificate is replaced.
		leaf, _ = decodePair(stored.Data[corev1.TLSCertKey], stored.Data[corev1.TLSPrivateKeyKey])
	}
	renew := !now.Before(a.leafDue(leaf, r.names, now))
	if renew {
		if leaf, err = a.issue(r.names, now); err != nil {
			return now, err
		}
	}
	if renew || !bytes.Equal(stored.Data[v1alpha1.TrustKey], a.bundle()) {
		wanted, err := secretOfLeaf(r.namespace, leaf, a.bundle())
		if err != nil {
			return now, err
		}
		if err := r.store(ctx, stored, wanted); err != nil {
			return now, err
		}
		log.FromContext(ctx).Info("Renewed the API server's certificate", "secret", klog.KObj(wanted), "notAfter", leaf.cert.NotAfter)
	}
	r.expiry.WithLabelValues("apiserver").Set(float64(leaf.cert.NotAfter.Unix()))
	return a.leafDue(leaf, r.names, now), nil
}

// secret reads from the API server, about twice a day: only the stored authority may sign.
func (r *AuthorityReconciler) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := r.live.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Secret %s: %w", name, err)
	}
	return secret, nil
}

// store creates the Secret, or replaces it if it is still the one that was read.
func (r *AuthorityReconciler) store(ctx context.Context, stored, wanted *corev1.Secret) error {
	if stored == nil {
		if err := r.Create(ctx, wanted, client.FieldOwner(v1alpha1.FieldManagerController)); err != nil {
			return fmt.Errorf("creating the Secret %s: %w", wanted.Name, err)
		}
		return nil
	}
	replacement := stored.DeepCopy()
	replacement.Data = wanted.Data
	if replacement.Labels == nil {
		replacement.Labels = map[string]string{}
	}
	for label, value := range wanted.Labels {
		replacement.Labels[label] = value
	}
	if err := r.Update(ctx, replacement, client.FieldOwner(v1alpha1.FieldManagerController)); err != nil {
		return fmt.Errorf("replacing the Secret %s: %w", wanted.Name, err)
	}
	return nil
}

// ensureAPIService owns only the caBundle. An installation may leave out the aggregated APIs; a watch reports when their APIService is
// created.
func (r *AuthorityReconciler) ensureAPIService(ctx context.Context, name string, bundle []byte) error {
	service := &apiregistrationv1.APIService{}
	err := r.Get(ctx, client.ObjectKey{Name: name}, service)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the APIService %s: %w", name, err)
	}
	if bytes.Equal(service.Spec.CABundle, bundle) {
		return nil
	}
	wanted := apiregistrationac.APIService(name).
		WithUID(service.UID).
		WithSpec(apiregistrationac.APIServiceSpec().WithCABundle(bundle...))
	if err := r.Apply(ctx, wanted, client.FieldOwner(v1alpha1.FieldManagerController), client.ForceOwnership); err != nil {
		return fmt.Errorf("writing the caBundle of the APIService %s: %w", name, err)
	}
	log.FromContext(ctx).Info("Wrote the caBundle", "apiService", name)
	return nil
}
