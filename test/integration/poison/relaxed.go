package poison

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Relaxed runs act while the definitions of the custom resources accept any object and no policy is bound, and restores both. Policies become
// effective shortly after it returns.
func Relaxed(ctx context.Context, config *rest.Config, k8s client.Client, act func()) {
	GinkgoHelper()
	definitions, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{
		Paths: []string{filepath.Join("..", "..", "..", "config", "crd", "bases")}, ErrorIfPathMissing: true})
	Expect(err).NotTo(HaveOccurred())
	bindings := &admissionv1.ValidatingAdmissionPolicyBindingList{}
	Expect(k8s.List(ctx, bindings)).To(Succeed())
	for i := range bindings.Items {
		Expect(k8s.Delete(ctx, &bindings.Items[i])).To(Succeed())
	}
	defer func() {
		define(ctx, k8s, definitions, false)
		for i := range bindings.Items {
			bindings.Items[i].ResourceVersion, bindings.Items[i].UID = "", ""
			Expect(k8s.Create(ctx, &bindings.Items[i])).To(Succeed())
		}
	}()
	define(ctx, k8s, definitions, true)
	act()
}

// define writes the relaxed or the original definitions, and waits until they are effective.
func define(ctx context.Context, k8s client.Client, definitions []*apiextensionsv1.CustomResourceDefinition, relaxed bool) {
	GinkgoHelper()
	for _, definition := range definitions {
		spec := definition.Spec.DeepCopy()
		if relaxed {
			version := &spec.Versions[0]
			version.SelectableFields, version.AdditionalPrinterColumns, version.Subresources = nil, nil, nil
			version.Schema.OpenAPIV3Schema = &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(spec)
		Expect(err).NotTo(HaveOccurred())
		Eventually(func(g Gomega) {
			live := &unstructured.Unstructured{} // schemes of the suites do not have the type
			live.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
			g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(definition), live)).To(Succeed())
			live.Object["spec"] = content
			g.Expect(k8s.Update(ctx, live)).To(Succeed())
		}).WithContext(ctx).Should(Succeed())
	}
	for _, kind := range Kinds {
		Eventually(func(g Gomega) {
			probe := Object{Kind: kind, Name: "probe"}.Untyped("default")
			probe.Object["spec"] = "x"
			err := k8s.Create(ctx, probe, client.DryRunAll)
			if relaxed {
				g.Expect(err).NotTo(HaveOccurred())
			} else {
				g.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
			}
		}).WithContext(ctx).Should(Succeed())
	}
}

// Create stores an object unchanged through the Kubernetes API.
func (o Object) Create(ctx context.Context, config *rest.Config, namespace string) {
	GinkgoHelper()
	c, err := rest.HTTPClientFor(config)
	Expect(err).NotTo(HaveOccurred())
	url, _, err := rest.DefaultServerUrlFor(config)
	Expect(err).NotTo(HaveOccurred())
	address := url.JoinPath("apis/sharedcloud.io/v1alpha1/namespaces", namespace, o.Resource()).String()
	body := fmt.Sprintf(`{"apiVersion":"sharedcloud.io/v1alpha1","kind":%q,"metadata":{"name":%q,"namespace":%q},%s}`, o.Kind, o.Name, namespace, o.Members)
	Eventually(func(g Gomega) { // a changed definition is temporarily not served
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader([]byte(body)))
		g.Expect(err).NotTo(HaveOccurred())
		request.Header.Set("Content-Type", "application/json")
		response, err := c.Do(request)
		g.Expect(err).NotTo(HaveOccurred())
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.StatusCode).To(Equal(http.StatusCreated), "%.500s", answer)
	}).WithContext(ctx).Should(Succeed())
}
