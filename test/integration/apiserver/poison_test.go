package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/test/integration/poison"
)

// poisonTime is the timeout of specs that replace the definitions of the custom resources, which takes several seconds.
const poisonTime = 5 * time.Minute

// relaxed runs act while the definitions of the custom resources accept any object and no policy is bound.
func relaxed(ctx context.Context, act func()) {
	GinkgoHelper()
	poison.Relaxed(ctx, restConfig, k8s, act)
}

var _ = Describe("Objects that cannot be decoded", func() {
	//security:attack tenant | stores functions, images and runs that do not fit their types, while the API server runs and before it starts | REST lists the others, answers 409 for these, and deletes them
	It("do not affect the other objects of REST", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor)
		image := newImage(ctx, namespace, "python", "python36")
		c.made(ctx, image)
		relaxed(ctx, func() {
			for name, rest := range map[string]string{
				"string": `"spec":"x"`, "unparsable": `"spec":{"pod":{"resources":{"limits":{"memory":"1e1.5"}}}}`,
				"giant": `"spec":{"pod":{"resources":{"limits":{"memory":"1e2147483646"},"requests":{"memory":"1e-2147483646"}}}}`,
			} {
				poison.Object{Kind: "Function", Name: name, Members: rest}.Create(ctx, restConfig, namespace)
			}
			poison.Object{Kind: "FunctionImage", Name: "broken", Members: `"spec":{"requiresGPU":"yes"}`}.Create(ctx, restConfig, namespace)
			poison.Object{Kind: "FunctionRun", Name: "large", Members: `"spec":{"ttlSecondsAfterFinished":3000000000}`}.Create(ctx, restConfig, namespace)
			poison.Object{Kind: "FunctionRun", Name: "deep", Members: `"spec":{"parameters":[[` + poison.Deep(9990) + `]]}`}.Create(ctx, restConfig, namespace)
		})
		uid := func(kind, name string) string {
			object := poison.Object{Kind: kind, Name: name}.Untyped(namespace)
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
		By("a server that starts")
		api.restart()
		looks()
		By("deleting them through REST")
		for path, kind := range map[string][2]string{"/functions/": {"Function", "giant"}, "/runs/": {"FunctionRun", "deep"}} {
			got := c.do(ctx, http.MethodDelete, path+uid(kind[0], kind[1]), nil)
			Expect(got.Status).To(Equal(http.StatusOK), got.Body)
		}
		for kind, names := range map[string][]string{"Function": {"string", "unparsable"}, "FunctionImage": {"broken"}, "FunctionRun": {"large"}} {
			for _, name := range names {
				Expect(k8s.Delete(ctx, poison.Object{Kind: kind, Name: name}.Untyped(namespace))).To(Succeed())
			}
		}
	}, SpecTimeout(poisonTime))

	//security:attack tenant | makes a run undecodable while a worker executes it | the worker keeps its inputs and retries, no row is deleted, and the run continues when it is corrected
	It("keep their outcomes while they run", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(ctx, namespace, 3)
		w := newWorker(ctx, run, start(ctx, run, 1), 0)
		Expect(w.call(ctx, "", true).indexes()).To(Equal([]int{0}))
		w.call(ctx, "", false, succeeded(0, "first"))
		relaxed(ctx, func() {
			Expect(k8s.Patch(ctx, poison.Object{Kind: "FunctionRun", Name: run.Name}.Untyped(namespace),
				client.RawPatch(types.MergePatchType, []byte(`{"spec":{"ttlSecondsAfterFinished":3000000000}}`)))).To(Succeed())
		})
		body := map[string]any{"protocol": 1, "sequence": w.sequence + 1, "held": "", "want": true}
		Eventually(func(g Gomega) {
			status, said := w.post(ctx, run.Name, body)
			g.Expect(status).To(Equal(http.StatusServiceUnavailable), said.Error)
			g.Expect(said.Error).To(ContainSubstring("cannot be decoded"))
		}).WithContext(ctx).Should(Succeed())
		stored := poison.Object{Kind: "FunctionRun", Name: run.Name}.Untyped(namespace)
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(stored), stored)).To(Succeed())
		pin, found, _ := unstructured.NestedMap(stored.Object, "status", "revision")
		Expect(found && len(pin) > 5).To(BeTrue(), "the pinned revision was deleted")

		By("several passes of the sweeper")
		api.restart()
		Consistently(func(g Gomega) {
			status, _ := w.post(ctx, run.Name, body)
			g.Expect(status).To(BeNumerically(">=", 500))
		}, "3s", "300ms").WithContext(ctx).Should(Succeed())

		Expect(k8s.Patch(ctx, poison.Object{Kind: "FunctionRun", Name: run.Name}.Untyped(namespace),
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
