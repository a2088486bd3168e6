package controllers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// specTime is for specs that exchange the definitions of the custom resources, which takes the API server some seconds.
const specTime = 5 * time.Minute

// poison is an object that was stored past validation. rest are its members beside metadata.
type poison struct{ kind, name, rest string }

var poisons = []poison{
	{"Function", "spec-a-string", `"spec":"x"`},
	{"Function", "status-a-list", `"spec":{"runtime":"python311","image":"python","code":"x"},"status":[]`},
	{"Function", "quantity-unparsable", `"spec":{"runtime":"python311","image":"python","code":"x","pod":{"resources":{"limits":{"memory":"1e1.5"}}}}`},
	{"Function", "quantity-giant", `"spec":{"runtime":"python311","image":"python","code":"x","pod":{"resources":{"limits":{"memory":"1e2147483646"},"requests":{"memory":"123456789.123456789"}}}}`},
	{"Function", "quantity-tiny", `"spec":{"runtime":"python311","image":"python","code":"x","pod":{"resources":{"requests":{"memory":"1e-2147483646"}}}}`},
	{"Function", "divisor-giant", `"spec":{"runtime":"python311","image":"python","code":"x","pod":{"env":[{"name":"A","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu","divisor":"1e2147483646"}}}]}}`},
	{"Function", "number-a-string", `"spec":{"runtime":"python311","image":"python","code":"x","workers":"8"}`},
	{"Function", "integer-large", `"spec":{"runtime":"python311","image":"python","code":"x","ttlSecondsAfterFinished":3000000000}`},
	{"FunctionImage", "image-spec-a-list", `"spec":[1]`},
	{"FunctionImage", "image-flag-a-string", `"spec":{"registryPath":"x","runtime":"python311","requiresGPU":"yes"}`},
	{"FunctionRun", "run-spec-a-number", `"spec":5`},
	{"FunctionRun", "run-integer-large", `"spec":{"functionRef":{"name":"healthy"},"parameters":[[1]],"ttlSecondsAfterFinished":3000000000}`},
	{"FunctionRun", "run-deep", `"spec":{"functionRef":{"name":"healthy"},"parameters":[[` + strings.Repeat("[", 9990) + strings.Repeat("]", 9990) + `]]}`},
	{"FunctionRun", "run-time-bad", `"spec":{"functionRef":{"name":"healthy"},"parameters":[[1]]},"status":{"startTime":"soon"}`},
}

func (p poison) resource() string { return strings.ToLower(p.kind) + "s" }

func (p poison) object(namespace string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(p.kind))
	object.SetNamespace(namespace)
	object.SetName(p.name)
	return object
}

// relaxed runs act while the definitions of the custom resources take anything and no policy is bound, and puts the real
// ones back.
func relaxed(ctx SpecContext, act func()) {
	GinkgoHelper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "..", "config", "crd", "bases", "*.yaml"))
	Expect(err).NotTo(HaveOccurred())
	var loose, real []*unstructured.Unstructured
	for _, path := range paths {
		objects, err := readObjects(path)
		Expect(err).NotTo(HaveOccurred())
		real = append(real, objects...)
		for _, object := range objects {
			object = object.DeepCopy()
			versions, _, err := unstructured.NestedSlice(object.Object, "spec", "versions")
			Expect(err).NotTo(HaveOccurred())
			version := versions[0].(map[string]any)
			delete(version, "selectableFields")
			delete(version, "additionalPrinterColumns")
			version["subresources"] = map[string]any{}
			version["schema"] = map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}
			Expect(unstructured.SetNestedSlice(object.Object, versions, "spec", "versions")).To(Succeed())
			loose = append(loose, object)
		}
	}
	install := func(definitions []*unstructured.Unstructured, takesAnything bool) {
		for _, definition := range definitions {
			Eventually(func(g Gomega) {
				live := &unstructured.Unstructured{}
				live.SetGroupVersionKind(definition.GroupVersionKind())
				g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(definition), live)).To(Succeed())
				live.Object["spec"] = definition.Object["spec"]
				g.Expect(k8s.Update(ctx, live)).To(Succeed())
			}).WithContext(ctx).Should(Succeed())
		}
		for _, kind := range []string{"Function", "FunctionImage", "FunctionRun"} {
			Eventually(func(g Gomega) {
				probe := poison{kind, "probe", ""}.object("default")
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
		install(real, false)
		for i := range bindings.Items {
			bindings.Items[i].ResourceVersion, bindings.Items[i].UID = "", ""
			Expect(k8s.Create(ctx, &bindings.Items[i])).To(Succeed())
		}
		waitForPolicy(ctx)
	}()
	install(loose, true)
	act()
}

// store writes a poisoned object as it stands, through the API.
func (p poison) store(ctx SpecContext, namespace string) {
	GinkgoHelper()
	http, err := rest.HTTPClientFor(restConfig)
	Expect(err).NotTo(HaveOccurred())
	body := fmt.Sprintf(`{"apiVersion":"sharedcloud.io/v1alpha1","kind":%q,"metadata":{"name":%q,"namespace":%q},%s}`, p.kind, p.name, namespace, p.rest)
	post(ctx, http, strings.TrimSuffix(restConfig.Host, "/")+"/apis/sharedcloud.io/v1alpha1/namespaces/"+namespace+"/"+p.resource(), body)
}

func post(ctx SpecContext, to *http.Client, url, body string) {
	GinkgoHelper()
	Eventually(func(g Gomega) { // a definition that was just changed is not served for a moment
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
		g.Expect(err).NotTo(HaveOccurred())
		request.Header.Set("Content-Type", "application/json")
		response, err := to.Do(request)
		g.Expect(err).NotTo(HaveOccurred())
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.StatusCode).To(BeNumerically("<", 300), "%.500s", answer)
	}).WithContext(ctx).Should(Succeed())
}

// stalled waits until the object says of itself that it cannot be decoded, or an event says so where the API server takes
// no status of such an object: rules that compare it with what it was cannot be evaluated.
func (p poison) stalled(ctx SpecContext, namespace string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		events := &eventsv1.EventList{}
		g.Expect(k8s.List(ctx, events, client.InNamespace(namespace))).To(Succeed())
		if (p.kind == "FunctionRun" || p.name == "spec-a-string") && slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool {
			return e.Regarding.Name == p.name && e.Reason == v1alpha1.ReasonNotDecodable
		}) {
			return
		}
		object := p.object(namespace)
		g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
		conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
		if p.name == "status-a-list" { // the conditions take the place of the list: that corrects the object
			g.Expect(conditions).To(ContainElement(And(HaveKeyWithValue("type", "Ready"), HaveKeyWithValue("reason", v1alpha1.ReasonReady))))
			return
		}
		g.Expect(conditions).To(ContainElement(And(
			HaveKeyWithValue("type", "Ready"), HaveKeyWithValue("status", "False"), HaveKeyWithValue("reason", v1alpha1.ReasonNotDecodable),
			HaveKeyWithValue("message", ContainSubstring("Correct it")))), "%s", p.name)
		g.Expect(conditions).To(ContainElement(And(HaveKeyWithValue("type", "Stalled"), HaveKeyWithValue("status", "True"))))
	}).WithContext(ctx).Should(Succeed(), "%s", p.name)
}

// works shows that a new function becomes ready and a run of it gets its Job.
func works(ctx SpecContext, namespace, name string) {
	GinkgoHelper()
	function, run := newFunction(namespace, name), newRun(namespace, name, name, 2)
	create(ctx, function, run)
	waitReason(ctx, function, v1alpha1.ReasonReady)
	waitJob(ctx, run)
}

var _ = Describe("objects that cannot be decoded", func() {
	var namespace string

	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
	})

	//security:attack tenant | stores objects of each kind that their types cannot hold, while the manager runs, before it restarts and before it starts | each says so in its conditions, everything else is reconciled
	It("are conditions on themselves, and everything else goes on", func(ctx SpecContext) {
		works(ctx, namespace, "healthy")
		relaxed(ctx, func() {
			for _, p := range poisons {
				p.store(ctx, namespace)
			}
		})
		works(ctx, namespace, "after")
		for _, p := range poisons {
			p.stalled(ctx, namespace)
		}

		By("a restarted manager")
		manager.stop()
		manager = startManager(nil)
		works(ctx, namespace, "restarted")
		for _, p := range poisons {
			p.stalled(ctx, namespace)
		}

		By("one that is corrected")
		corrected := poison{"Function", "spec-a-string", ""}
		Expect(k8s.Patch(ctx, corrected.object(namespace), client.RawPatch(types.JSONPatchType,
			[]byte(`[{"op":"replace","path":"/spec","value":{"runtime":"python311","image":"python","code":"def handler(event): pass"}}]`)))).To(Succeed())
		function := newFunction(namespace, corrected.name)
		waitReason(ctx, function, v1alpha1.ReasonReady)
		Expect(condition(function, v1alpha1.ConditionStalled).Status).To(BeEquivalentTo("False"))

		By("the others are deleted")
		for _, p := range poisons {
			object := p.object(namespace)
			Expect(k8s.Delete(ctx, object)).To(Succeed())
			Expect(apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(object), object))).To(BeTrue(), "%s is still there", p.name)
		}
	}, SpecTimeout(specTime))

	//security:attack tenant | makes a run that executes a revision undecodable, and deletes its function | the revision stays until the run is gone
	It("keep the revisions that they may name", func(ctx SpecContext) {
		function, run := newFunction(namespace, "f"), newRun(namespace, "r", "f", 2)
		create(ctx, function, run)
		waitJob(ctx, run)
		revisions := revisionsOf(ctx, Default, function)
		Expect(revisions).To(HaveLen(1))
		broken := poison{"FunctionRun", "r", ""}
		relaxed(ctx, func() {
			Expect(k8s.Patch(ctx, broken.object(namespace), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"ttlSecondsAfterFinished":3000000000}}`)))).To(Succeed())
		})
		broken.stalled(ctx, namespace)
		Expect(k8s.Delete(ctx, function)).To(Succeed())
		Consistently(func(g Gomega) {
			g.Expect(revisionsOf(ctx, g, function)).To(HaveLen(1))
		}, "2s").WithContext(ctx).Should(Succeed())
		stored := broken.object(namespace)
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(stored), stored)).To(Succeed())
		name, _, _ := unstructured.NestedString(stored.Object, "status", "revision", "name")
		Expect(name).To(Equal(revisions[0].Name), "the pin was emptied")

		Expect(k8s.Delete(ctx, broken.object(namespace))).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(revisionsOf(ctx, g, function)).To(BeEmpty())
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(specTime))

	//security:attack tenant | writes quantities and integers beyond what decoding takes, by the shipped definitions | admission refuses each
	DescribeTable("are refused by the definitions", func(ctx SpecContext, spec string) {
		object := poison{"Function", "refused", ""}.object(namespace)
		var content map[string]any
		Expect(json.Unmarshal([]byte(spec), &content)).To(Succeed())
		content["runtime"], content["image"], content["code"] = "python311", "python", "x"
		object.Object["spec"] = content
		err := k8s.Create(ctx, object)
		Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
	},
		Entry("a fraction in an exponent", `{"pod":{"resources":{"limits":{"memory":"1e1.5"}}}}`),
		Entry("a giant exponent", `{"pod":{"resources":{"limits":{"memory":"1e2147483646"}}}}`),
		Entry("a giant negative exponent", `{"pod":{"resources":{"requests":{"cpu":"1E-2147483646"}}}}`),
		Entry("an exponent of three digits", `{"pod":{"resources":{"requests":{"cpu":"1e100"}}}}`),
		Entry("a divisor with a giant exponent", `{"pod":{"env":[{"name":"A","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu","divisor":"1e2147483646"}}}]}}`),
		Entry("a time to live beyond 32 bits", `{"ttlSecondsAfterFinished":3000000000}`),
		Entry("a size that overflows when it is shifted", `{"pod":{"volumes":[{"name":"v","emptyDir":{"sizeLimitMiB":8796093022208}}]}}`),
		Entry("a user beyond 32 bits", `{"pod":{"runAsUser":4294967296}}`),
		Entry("tolerationSeconds beyond 32 bits", `{"pod":{"tolerations":[{"tolerationSeconds":4294967296}]}}`),
	)

	It("are not what people write", func(ctx SpecContext) {
		object := poison{"Function", "usual", ""}.object(namespace)
		object.Object["spec"] = map[string]any{"runtime": "python311", "image": "python", "code": "x", "pod": map[string]any{
			"resources": map[string]any{"limits": map[string]any{"memory": "1.5Gi", "cpu": int64(2), "ephemeral-storage": "1e9"},
				"requests": map[string]any{"cpu": "500m", "memory": "128974848"}}}}
		Expect(k8s.Create(ctx, object)).To(Succeed())
		waitReason(ctx, newFunction(namespace, "usual"), v1alpha1.ReasonReady)
	})
})
