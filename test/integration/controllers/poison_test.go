package controllers

import (
	"encoding/json"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
	"sharedcloud.io/function-operator/test/integration/poison"
)

// specTime is the timeout of specs that replace the definitions of the custom resources, which takes the API server some seconds.
const specTime = 5 * time.Minute

// stored are objects that kube-apiserver stores while the definitions accept anything.
var stored = []poison.Object{
	{Kind: "Function", Name: "spec-a-string", Members: `"spec":"x"`},
	{Kind: "Function", Name: "status-a-list", Members: `"spec":{"runtime":"python311","image":"python","code":"x"},"status":[]`},
	{Kind: "Function", Name: "quantity-unparsable", Members: `"spec":{"runtime":"python311","image":"python","code":"x","pod":{"resources":{"limits":{"memory":"1e1.5"}}}}`},
	{Kind: "Function", Name: "quantity-giant", Members: `"spec":{"runtime":"python311","image":"python","code":"x","pod":{"resources":{"limits":{"memory":"1e2147483646"},"requests":{"memory":"123456789.123456789"}}}}`},
	{Kind: "Function", Name: "quantity-tiny", Members: `"spec":{"runtime":"python311","image":"python","code":"x","pod":{"resources":{"requests":{"memory":"1e-2147483646"}}}}`},
	{Kind: "Function", Name: "divisor-giant", Members: `"spec":{"runtime":"python311","image":"python","code":"x","pod":{"env":[{"name":"A","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu","divisor":"1e2147483646"}}}]}}`},
	{Kind: "Function", Name: "number-a-string", Members: `"spec":{"runtime":"python311","image":"python","code":"x","workers":"8"}`},
	{Kind: "Function", Name: "integer-large", Members: `"spec":{"runtime":"python311","image":"python","code":"x","ttlSecondsAfterFinished":3000000000}`},
	{Kind: "FunctionImage", Name: "image-spec-a-list", Members: `"spec":[1]`},
	{Kind: "FunctionImage", Name: "image-flag-a-string", Members: `"spec":{"registryPath":"x","runtime":"python311","requiresGPU":"yes"}`},
	{Kind: "FunctionRun", Name: "run-spec-a-number", Members: `"spec":5`},
	{Kind: "FunctionRun", Name: "run-integer-large", Members: `"spec":{"functionRef":{"name":"healthy"},"parameters":[[1]],"ttlSecondsAfterFinished":3000000000}`},
	{Kind: "FunctionRun", Name: "run-deep", Members: `"spec":{"functionRef":{"name":"healthy"},"parameters":[[` + poison.Deep(9990) + `]]}`},
	{Kind: "FunctionRun", Name: "run-time-bad", Members: `"spec":{"functionRef":{"name":"healthy"},"parameters":[[1]]},"status":{"startTime":"soon"}`},
}

// relaxed runs act while the definitions of the custom resources accept anything and no policy is bound.
func relaxed(ctx SpecContext, act func()) {
	GinkgoHelper()
	defer waitForPolicy(ctx)
	poison.Relaxed(ctx, restConfig, k8s, act)
}

// stalled waits until the conditions of the object report that it cannot be decoded, or an event does, where the API server refuses the
// status of such an object because it cannot evaluate rules that compare it with the old object.
func stalled(ctx SpecContext, namespace string, p poison.Object) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		events := &eventsv1.EventList{}
		g.Expect(k8s.List(ctx, events, client.InNamespace(namespace))).To(Succeed())
		if (p.Kind == "FunctionRun" || p.Name == "spec-a-string") && slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool {
			return e.Regarding.Name == p.Name && e.Reason == v1alpha1.ReasonNotDecodable
		}) {
			return
		}
		object := p.Untyped(namespace)
		g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
		conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
		if p.Name == "status-a-list" { // the conditions replace the list, which corrects the object
			g.Expect(conditions).To(ContainElement(And(HaveKeyWithValue("type", "Ready"), HaveKeyWithValue("reason", v1alpha1.ReasonReady))))
			return
		}
		g.Expect(conditions).To(ContainElement(And(
			HaveKeyWithValue("type", "Ready"), HaveKeyWithValue("status", "False"), HaveKeyWithValue("reason", v1alpha1.ReasonNotDecodable),
			HaveKeyWithValue("message", ContainSubstring("Correct it")))), "%s", p.Name)
		g.Expect(conditions).To(ContainElement(And(HaveKeyWithValue("type", "Stalled"), HaveKeyWithValue("status", "True"))))
	}).WithContext(ctx).Should(Succeed(), "%s", p.Name)
}

// works checks that a new function becomes ready and that a run of it gets its Job.
func works(ctx SpecContext, namespace, name string) {
	GinkgoHelper()
	function, run := builders.Function(namespace, name), newRun(namespace, name, name, 2)
	create(ctx, function, run)
	waitReason(ctx, function, v1alpha1.ReasonReady)
	waitJob(ctx, run)
}

var _ = Describe("objects that cannot be decoded", func() {
	var namespace string

	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
	})

	//security:attack tenant | stores objects of each kind that their types cannot hold, while the manager runs, before it restarts and before it starts | the conditions of each report it, and everything else is reconciled
	It("get conditions, and everything else is reconciled", func(ctx SpecContext) {
		works(ctx, namespace, "healthy")
		relaxed(ctx, func() {
			for _, p := range stored {
				p.Create(ctx, restConfig, namespace)
			}
		})
		works(ctx, namespace, "after")
		for _, p := range stored {
			stalled(ctx, namespace, p)
		}

		By("restarting the manager")
		manager.stop()
		manager = startManager(nil)
		works(ctx, namespace, "restarted")
		for _, p := range stored {
			stalled(ctx, namespace, p)
		}

		By("correcting one")
		corrected := poison.Object{Kind: "Function", Name: "spec-a-string"}
		Expect(k8s.Patch(ctx, corrected.Untyped(namespace), client.RawPatch(types.JSONPatchType,
			[]byte(`[{"op":"replace","path":"/spec","value":{"runtime":"python311","image":"python","code":"def handler(event): pass"}}]`)))).To(Succeed())
		function := builders.Function(namespace, corrected.Name)
		waitReason(ctx, function, v1alpha1.ReasonReady)
		Expect(condition(function, v1alpha1.ConditionStalled).Status).To(BeEquivalentTo("False"))

		By("deleting the others")
		for _, p := range stored {
			object := p.Untyped(namespace)
			Expect(k8s.Delete(ctx, object)).To(Succeed())
			Expect(apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(object), object))).To(BeTrue(), "%s is still there", p.Name)
		}
	}, SpecTimeout(specTime))

	//security:attack tenant | makes a run that executes a revision undecodable, and deletes its function | the revision is kept until the run is deleted
	It("keep the revisions that they may use", func(ctx SpecContext) {
		function, run := builders.Function(namespace, "f"), newRun(namespace, "r", "f", 2)
		create(ctx, function, run)
		waitJob(ctx, run)
		revisions := revisionsOf(ctx, Default, function)
		Expect(revisions).To(HaveLen(1))
		broken := poison.Object{Kind: "FunctionRun", Name: "r"}
		relaxed(ctx, func() {
			Expect(k8s.Patch(ctx, broken.Untyped(namespace), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"ttlSecondsAfterFinished":3000000000}}`)))).To(Succeed())
		})
		stalled(ctx, namespace, broken)
		Expect(k8s.Delete(ctx, function)).To(Succeed())
		Consistently(func(g Gomega) {
			g.Expect(revisionsOf(ctx, g, function)).To(HaveLen(1))
		}, "2s").WithContext(ctx).Should(Succeed())
		live := broken.Untyped(namespace)
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
		name, _, _ := unstructured.NestedString(live.Object, "status", "revision", "name")
		Expect(name).To(Equal(revisions[0].Name), "the pin was emptied")

		Expect(k8s.Delete(ctx, broken.Untyped(namespace))).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(revisionsOf(ctx, g, function)).To(BeEmpty())
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(specTime))

	//security:attack tenant | writes quantities and integers that decoding refuses, with the shipped definitions | admission refuses each
	DescribeTable("are refused by the definitions", func(ctx SpecContext, spec string) {
		object := poison.Object{Kind: "Function", Name: "refused"}.Untyped(namespace)
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
		Entry("a TTL beyond 32 bits", `{"ttlSecondsAfterFinished":3000000000}`),
		Entry("a size that overflows when it is shifted", `{"pod":{"volumes":[{"name":"v","emptyDir":{"sizeLimitMiB":8796093022208}}]}}`),
		Entry("a user beyond 32 bits", `{"pod":{"runAsUser":4294967296}}`),
		Entry("tolerationSeconds beyond 32 bits", `{"pod":{"tolerations":[{"tolerationSeconds":4294967296}]}}`),
	)

	It("do not include usual quantities", func(ctx SpecContext) {
		object := poison.Object{Kind: "Function", Name: "usual"}.Untyped(namespace)
		object.Object["spec"] = map[string]any{"runtime": "python311", "image": "python", "code": "x", "pod": map[string]any{
			"resources": map[string]any{"limits": map[string]any{"memory": "1.5Gi", "cpu": int64(2), "ephemeral-storage": "1e9"},
				"requests": map[string]any{"cpu": "500m", "memory": "128974848"}}}}
		Expect(k8s.Create(ctx, object)).To(Succeed())
		waitReason(ctx, builders.Function(namespace, "usual"), v1alpha1.ReasonReady)
	})
})
