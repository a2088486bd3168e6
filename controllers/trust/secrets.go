package trust

import (
	"crypto/x509"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// AuthoritySecret holds the authority with its keys; only the manager reads it.
	AuthoritySecret = "sharedcloud-ca"
	// ServingSecret holds the API server's certificate and key and the bundle.
	ServingSecret = "sharedcloud-apiserver-tls"

	keyNextCert = "next.crt"
	keyNextKey  = "next.key"

	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "sharedcloud"
)

func ownMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace,
		Name:      name,
		Labels:    map[string]string{v1alpha1.LabelTrust: "true", labelManagedBy: managedBy},
	}
}

// secretOfAuthority has tls.crt and tls.key (the signing certificate), next.crt and next.key (the next one), and ca.crt (the bundle, which
// also has the retired certificates).
func secretOfAuthority(namespace string, a authority) (*corev1.Secret, error) {
	cert, key, err := a.signing.encode()
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{
		ObjectMeta: ownMeta(namespace, AuthoritySecret),
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       cert,
			corev1.TLSPrivateKeyKey: key,
			v1alpha1.TrustKey:       a.bundle(),
		},
	}
	if a.next != nil {
		if secret.Data[keyNextCert], secret.Data[keyNextKey], err = a.next.encode(); err != nil {
			return nil, err
		}
	}
	return secret, nil
}

func authorityIn(secret *corev1.Secret) (authority, error) {
	signing, err := decodePair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return authority{}, fmt.Errorf("tls.crt and tls.key: %w", err)
	}
	next, err := decodePair(secret.Data[keyNextCert], secret.Data[keyNextKey])
	if err != nil {
		return authority{}, fmt.Errorf("next.crt and next.key: %w", err)
	}
	bundle, err := decodeCertificates(secret.Data[v1alpha1.TrustKey])
	if err != nil {
		return authority{}, fmt.Errorf("ca.crt: %w", err)
	}
	a := authority{signing: signing, next: next}
	for _, cert := range bundle {
		if !is(cert, signing) && !is(cert, next) {
			a.retired = append(a.retired, cert)
		}
	}
	return a, nil
}

func is(cert *x509.Certificate, p *pair) bool { return p != nil && cert.Equal(p.cert) }

// secretOfLeaf has the API server's certificate. ca.crt is the bundle, for clients that get only this Secret.
func secretOfLeaf(namespace string, leaf *pair, bundle []byte) (*corev1.Secret, error) {
	cert, key, err := leaf.encode()
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{
		ObjectMeta: ownMeta(namespace, ServingSecret),
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       cert,
			corev1.TLSPrivateKeyKey: key,
			v1alpha1.TrustKey:       bundle,
		},
	}, nil
}
