package apiserver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// poisonTime is for specs that exchange the definitions of the custom resources, which takes the API server some seconds.
const poisonTime = 5 * time.Minute

func untyped(kind, namespace, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

// relaxed runs act while the definitions of the custom resources take anything and no policy is bound, and puts the real
// ones back.
func relaxed(ctx context.Context, act func()) {
	GinkgoHelper()
	definitions, err := envtest.InstallCRDs(restConfig, envtest.CRDInstallOptions{
		Paths: []string{filepath.Join("..", "..", "..", "config", "crd", "bases")}, ErrorIfPathMissing: true})
	Expect(err).NotTo(HaveOccurred())
	install := func(takesAnything bool) {
		for _, definition := range definitions {
			spec := definition.Spec.DeepCopy()
			if takesAnything {
				version := &spec.Versions[0]
				version.SelectableFields, version.AdditionalPrinterColumns = nil, nil
				version.Subresources = nil
				version.Schema.OpenAPIV3Schema = &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}
			}
			Eventually(func(g Gomega) {
				live := &apiextensionsv1.CustomResourceDefinition{}
				g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(definition), live)).To(Succeed())
				live.Spec = *spec
				g.Expect(k8s.Update(ctx, live)).To(Succeed())
			}).WithContext(ctx).Should(Succeed())
		}
		for _, kind := range []string{"Function", "FunctionImage", "FunctionRun"} {
			Eventually(func(g Gomega) {
				probe := untyped(kind, "default", "probe")
				probe.Object["spec"] = "x"
				err := k8s.Create(ctx, probe, client.DryRunAll)
				if takesAnything {
					g.Expect(err).NotTo(HaveOccurred())
				} else {
					g.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
				}
			}).WithContext(ctx).Should(Succeed())
		}
	}
	bindings := &admissionv1.ValidatingAdmissionPolicyBindingList{}
	Expect(k8s.List(ctx, bindings)).To(Succeed())
	for i := range bindings.Items {
		Expect(k8s.Delete(ctx, &bindings.Items[i])).To(Succeed())
	}
	defer func() {
		install(false)
		for i := range bindings.Items {
			bindings.Items[i].ResourceVersion, bindings.Items[i].UID = "", ""
			Expect(k8s.Create(ctx, &bindings.Items[i])).To(Succeed())
		}
	}()
	install(true)
	act()
}

// storePoison writes an object as it stands.
func storePoison(ctx context.Context, kind, namespace, name, members string) {
	GinkgoHelper()
	c, err := rest.HTTPClientFor(restConfig)
	Expect(err).NotTo(HaveOccurred())
	body := fmt.Sprintf(`{"apiVersion":"sharedcloud.io/v1alpha1","kind":%q,"metadata":{"name":%q,"namespace":%q},%s}`, kind, name, namespace, members)
	Eventually(func(g Gomega) { // a definition that was just changed is not served for a moment
		request, err := http.NewRequestWithContext(ctx, http.MethodPost,
			strings.TrimSuffix(restConfig.Host, "/")+"/apis/sharedcloud.io/v1alpha1/namespaces/"+namespace+"/"+strings.ToLower(kind)+"s", bytes.NewReader([]byte(body)))
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

var _ = Describe("Objects that cannot be decoded", func() {
	//security:attack tenant | stores functions, images and runs that their types cannot hold, while the API server runs and before it starts | REST lists the others, answers 409 for these, and deletes them
	It("keep REST from nothing else", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor)
		image := newImage(ctx, namespace, "python", "python36")
		c.made(ctx, image)
		relaxed(ctx, func() {
			for name, rest := range map[string]string{
				"string": `"spec":"x"`, "unparsable": `"spec":{"pod":{"resources":{"limits":{"memory":"1e1.5"}}}}`,
				"giant": `"spec":{"pod":{"resources":{"limits":{"memory":"1e2147483646"},"requests":{"memory":"1e-2147483646"}}}}`,
			} {
				storePoison(ctx, "Function", namespace, name, rest)
			}
			storePoison(ctx, "FunctionImage", namespace, "broken", `"spec":{"requiresGPU":"yes"}`)
			storePoison(ctx, "FunctionRun", namespace, "large", `"spec":{"ttlSecondsAfterFinished":3000000000}`)
			storePoison(ctx, "FunctionRun", namespace, "deep", `"spec":{"parameters":[[`+strings.Repeat("[", 9990)+strings.Repeat("]", 9990)+`]]}`)
		})
		uid := func(kind, name string) string {
			object := untyped(kind, namespace, name)
			ExpectWithOffset(1, k8s.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
			return string(object.GetUID())
		}
		looks := func() {
			GinkgoHelper()
			function := fmt.Sprint(c.made(ctx, image)["uuid"])
			for _, path := range []string{"/functions", "/images", "/runs", "/jobs"} {
				got := c.do(ctx, http.MethodGet, path, nil)
				Expect(got.Status).To(Equal(http.StatusOK), "%s: %s", path, got.Body)
			}
			Expect(c.do(ctx, http.MethodGet, "/functions", nil).Body).To(ContainSubstring(function))
			for path, kind := range map[string][2]string{"/functions/": {"Function", "giant"}, "/runs/": {"FunctionRun", "large"}} {
				Eventually(func(g Gomega) {
					got := c.do(ctx, http.MethodGet, path+uid(kind[0], kind[1])+"/", nil)
					g.Expect(got.Status).To(Equal(http.StatusConflict), got.Body)
					g.Expect(got.Body).To(ContainSubstring("cannot be decoded"))
				}).WithContext(ctx).Should(Succeed())
			}
			got := c.do(ctx, http.MethodGet, "/images/"+uid("FunctionImage", "broken"), nil)
			Expect(got.Status).To(Equal(http.StatusConflict), got.Body)
		}
		By("a running server")
		looks()
		By("one that starts")
		api.restart()
		looks()
		By("deleting them through REST")
		for path, kind := range map[string][2]string{"/functions/": {"Function", "giant"}, "/runs/": {"FunctionRun", "deep"}} {
			got := c.do(ctx, http.MethodDelete, path+uid(kind[0], kind[1]), nil)
			Expect(got.Status).To(Equal(http.StatusOK), got.Body)
		}
		for kind, names := range map[string][]string{"Function": {"string", "unparsable"}, "FunctionImage": {"broken"}, "FunctionRun": {"large"}} {
			for _, name := range names {
				Expect(k8s.Delete(ctx, untyped(kind, namespace, name))).To(Succeed())
			}
		}
	}, SpecTimeout(poisonTime))

	//security:attack tenant | makes a run undecodable while a worker executes it | the worker keeps what it has and asks again, no row is swept, and the run continues when it is corrected
	It("keep their outcomes while they run", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(ctx, namespace, 3)
		w := newWorker(ctx, run, start(ctx, run, 1), 0)
		Expect(w.call(ctx, "", true).indexes()).To(Equal([]int{0}))
		w.call(ctx, "", false, succeeded(0, "first"))
		relaxed(ctx, func() {
			Expect(k8s.Patch(ctx, untyped("FunctionRun", namespace, run.Name),
				client.RawPatch(types.MergePatchType, []byte(`{"spec":{"ttlSecondsAfterFinished":3000000000}}`)))).To(Succeed())
		})
		body := map[string]any{"protocol": 1, "sequence": w.sequence + 1, "held": "", "want": true}
		Eventually(func(g Gomega) {
			status, said := w.post(ctx, run.Name, body)
			g.Expect(status).To(Equal(http.StatusServiceUnavailable), said.Error)
			g.Expect(said.Error).To(ContainSubstring("cannot be decoded"))
		}).WithContext(ctx).Should(Succeed())
		stored := untyped("FunctionRun", namespace, run.Name)
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(stored), stored)).To(Succeed())
		pin, found, _ := unstructured.NestedMap(stored.Object, "status", "revision")
		Expect(found && len(pin) > 5).To(BeTrue(), "the pin was emptied")

		By("the sweeper having looked more than once")
		api.restart()
		Consistently(func(g Gomega) {
			status, _ := w.post(ctx, run.Name, body)
			g.Expect(status).To(BeNumerically(">=", 500))
		}, "3s", "300ms").WithContext(ctx).Should(Succeed())

		Expect(k8s.Patch(ctx, untyped("FunctionRun", namespace, run.Name),
			client.RawPatch(types.MergePatchType, []byte(`{"spec":{"ttlSecondsAfterFinished":null}}`)))).To(Succeed())
		Eventually(func(g Gomega) {
			status, said := w.post(ctx, run.Name, body)
			g.Expect(status).To(Equal(http.StatusOK), said.Error)
		}).WithContext(ctx).Should(Succeed())
		Eventually(func(g Gomega) {
			progress := read(ctx, g, run).Status.Progress
			g.Expect(progress).NotTo(BeNil())
			g.Expect(progress.Succeeded).To(BeEquivalentTo(1), "the outcome is lost")
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(poisonTime))
})
