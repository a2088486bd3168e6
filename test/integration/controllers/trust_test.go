package controllers

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/trust"
	"sharedcloud.io/function-operator/test/builders"
)

var _ = Describe("Trust", func() {
	serving := func() *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: trust.ServingSecret, Namespace: operatorNamespace}}
	}
	bundleOf := func(namespace string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.TrustConfigMap, Namespace: namespace}}
	}

	It("comes from one authority: the API server's certificate, the aggregator's bundle, and the bundle of each namespace with runs", func(ctx SpecContext) {
		secret := serving()
		Eventually(func(g Gomega) { fresh(ctx, g, secret) }).WithContext(ctx).Should(Succeed())
		pair, err := tls.X509KeyPair(secret.Data["tls.crt"], secret.Data["tls.key"])
		Expect(err).NotTo(HaveOccurred())
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		Expect(err).NotTo(HaveOccurred())

		namespace := newNamespace(ctx)
		create(ctx, newRun(namespace, "r", "missing", 1))
		for _, where := range []string{namespace, operatorNamespace} {
			bundle := bundleOf(where)
			Eventually(func(g Gomega) { fresh(ctx, g, bundle) }).WithContext(ctx).Should(Succeed())
			roots := x509.NewCertPool()
			Expect(roots.AppendCertsFromPEM([]byte(bundle.Data["ca.crt"]))).To(BeTrue())
			_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "sharedcloud-apiserver." + operatorNamespace + ".svc"})
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(trust.APIServiceNames).To(HaveLen(2))
		for _, name := range trust.APIServiceNames {
			service := &apiregistrationv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: name}}
			Eventually(func(g Gomega) {
				g.Expect(fresh(ctx, g, service).Spec.CABundle).To(Equal(secret.Data["ca.crt"]))
			}).WithContext(ctx).Should(Succeed())
			Expect(service.Spec.InsecureSkipTLSVerify).To(BeFalse())
		}
	}, SpecTimeout(90*time.Second))

	It("is written again after a deletion or a change", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		create(ctx, newRun(namespace, "r", "missing", 1))
		bundle := bundleOf(namespace)
		Eventually(func(g Gomega) { fresh(ctx, g, bundle) }).WithContext(ctx).Should(Succeed())
		right := bundle.Data["ca.crt"]
		bundle.Data["ca.crt"] = "nonsense"
		Expect(k8s.Update(ctx, bundle)).To(Succeed())
		Eventually(func(g Gomega) { g.Expect(fresh(ctx, g, bundle).Data["ca.crt"]).To(Equal(right)) }).WithContext(ctx).Should(Succeed())
		Expect(k8s.Delete(ctx, bundle)).To(Succeed())
		Eventually(func(g Gomega) { g.Expect(fresh(ctx, g, bundleOf(namespace)).Data["ca.crt"]).To(Equal(right)) }).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))

	It("renews the API server's certificate at once when its Secret is deleted, by the same authority", func(ctx SpecContext) {
		before := serving()
		Eventually(func(g Gomega) { fresh(ctx, g, before) }).WithContext(ctx).Should(Succeed())
		Expect(k8s.Delete(ctx, before)).To(Succeed())
		after := serving()
		Eventually(func(g Gomega) { fresh(ctx, g, after) }).WithContext(ctx).Should(Succeed())
		Expect(after.Data["tls.crt"]).NotTo(Equal(before.Data["tls.crt"]))
		Expect(after.Data["ca.crt"]).To(Equal(before.Data["ca.crt"]))
	}, SpecTimeout(90*time.Second))

	It("gives no bundle to a namespace without runs", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		create(ctx, builders.Function(namespace, "f"))
		Consistently(func(g Gomega) {
			g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(bundleOf(namespace)), bundleOf(namespace))).NotTo(Succeed())
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))
})
