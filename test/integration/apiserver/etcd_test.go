package apiserver

import (
	"context"
	"fmt"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/test/integration/poison"
)

// peakHeap is the memory that the server's Go heap has taken from the system, in bytes: it does not shrink. The resident memory
// of the process does not say this, because the race detector multiplies it.
func peakHeap(ctx context.Context) int {
	GinkgoHelper()
	bytes := int(metric(ctx, Default, "go_memstats_heap_sys_bytes"))
	Expect(bytes).To(BeNumerically(">", 1<<20))
	return bytes
}

// lists checks that REST creates a function, and lists it and a new run among the other objects.
func lists(ctx context.Context, c *caller, image string) {
	GinkgoHelper()
	function := fmt.Sprint(c.made(ctx, image)["uuid"])
	run := newRun(ctx, c.namespace, 2)
	for _, path := range []string{"/functions", "/images", "/runs", "/jobs"} {
		got := c.do(ctx, http.MethodGet, path, nil)
		Expect(got.Status).To(Equal(http.StatusOK), "%s: %.500s", path, got.Body)
	}
	Expect(c.do(ctx, http.MethodGet, "/functions", nil).Body).To(ContainSubstring(function))
	Eventually(func(g Gomega) {
		g.Expect(c.do(ctx, http.MethodGet, "/runs", nil).Body).To(ContainSubstring(string(run.UID)))
	}).WithContext(ctx).Should(Succeed())
}

var _ = Describe("Objects that were stored in etcd without the Kubernetes API", func() {
	//security:attack administrator | restores into etcd objects of every kind that validation always refuses (wrong types in spec, status and metadata, 9,999 levels, giant numbers and quantities, lone surrogates, bytes that are not UTF-8, more than 1 MiB): before the API server's first start, before a restart and while it runs | REST lists the others in responses that fit its OpenAPI document, and creates new ones
	It("never stop the API server", func(ctx SpecContext) {
		etcd := poison.OpenEtcd(environment)
		store := func() (*caller, string) {
			c := newCaller(ctx, newNamespace(ctx), editor)
			image := newImage(ctx, c.namespace, "python", "python36")
			etcd.PutAll(ctx, c.namespace, poison.InEtcd())
			return c, image
		}

		By("a running server")
		running, runningImage := store()
		lists(ctx, running, runningImage)
		broken := poison.Object{Kind: "Function", Name: "spec-string"}.Untyped(running.namespace)
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(broken), broken)).To(Succeed())
		Eventually(func(g Gomega) {
			got := running.do(ctx, http.MethodGet, "/functions/"+string(broken.GetUID()), nil)
			g.Expect(got.Status).To(Equal(http.StatusConflict), got.Body)
			g.Expect(got.Body).To(ContainSubstring("cannot be decoded"))
		}).WithContext(ctx).Should(Succeed())

		By("a restarted server")
		api.kill()
		between, betweenImage := store()
		api.start()
		api.waitReady()
		lists(ctx, between, betweenImage)
		lists(ctx, running, runningImage)

		By("a server that starts for the first time, with an empty store")
		fresh := newServer(GinkgoT().TempDir())
		fresh.start()
		DeferCleanup(fresh.kill)
		fresh.waitReady()
		for _, path := range []string{"/functions", "/images", "/runs", "/jobs"} {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, fresh.url()+"/api/v1"+path, nil)
			Expect(err).NotTo(HaveOccurred())
			request.Header.Set("Authorization", "Token "+running.token)
			response, err := fresh.client().Do(request)
			Expect(err).NotTo(HaveOccurred())
			Expect(response.Body.Close()).To(Succeed())
			Expect(response.StatusCode).To(Equal(http.StatusOK), path)
		}
	}, SpecTimeout(poisonTime))

	//security:attack administrator | restores into etcd dozens of objects of more than 1 MiB that fit no type, and starts the API server | its peak heap grows by less than the size of the objects
	It("increase the memory of the API server by less than their size", func(ctx SpecContext) {
		etcd, c := poison.OpenEtcd(environment), newCaller(ctx, newNamespace(ctx), editor)
		image := newImage(ctx, c.namespace, "python", "python36")
		api.restart()
		lists(ctx, c, image)
		before := peakHeap(ctx)
		objects, kept := poison.Large(20)
		stored := etcd.PutAll(ctx, c.namespace, objects)
		api.restart()
		lists(ctx, c, image)
		grown := peakHeap(ctx) - before
		AddReportEntry("memory", map[string]int{"stored": stored, "kept in metadata": kept, "before": before, "grown": grown})
		Expect(grown).To(BeNumerically("<", stored), "%d bytes were stored, %d of them in metadata", stored, kept)
	}, SpecTimeout(poisonTime))
})
