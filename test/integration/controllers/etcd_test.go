package controllers

import (
	"runtime"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/integration/poison"
)

// reported waits until the manager has dealt with every object that cannot be decoded: its conditions say so, or an event
// where the API server takes no status of such an object, or the conditions have replaced what was wrong.
func reported(ctx SpecContext, namespace string, objects []poison.Object) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		events := &eventsv1.EventList{}
		g.Expect(k8s.List(ctx, events, client.InNamespace(namespace))).To(Succeed())
		for _, o := range objects {
			if o.Decodes || slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool {
				return e.Regarding.Kind == o.Kind && e.Regarding.Name == o.Name && e.Reason == v1alpha1.ReasonNotDecodable
			}) {
				continue
			}
			live := o.Untyped(namespace)
			g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
			conditions, _, err := unstructured.NestedSlice(live.Object, "status", "conditions")
			g.Expect(err).NotTo(HaveOccurred(), "%s %s", o.Kind, o.Name)
			g.Expect(conditions).To(ContainElement(HaveKeyWithValue("type", "Ready")), "%s %s", o.Kind, o.Name)
		}
	}).WithContext(ctx).WithTimeout(3 * time.Minute).WithPolling(2 * time.Second).Should(Succeed()) // each look reads megabytes
}

// heapInUse is what lives on the heap of this process, of which the manager is a part.
func heapInUse() int {
	runtime.GC()
	runtime.GC() // what finalizers and pools held back
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

var _ = Describe("objects stored in etcd, past the Kubernetes API", func() {
	//security:attack administrator | restores into etcd objects of every kind that validation never lets through (wrong types in spec, status and metadata, 9,999 levels, giant numbers and quantities, lone surrogates, bytes that are not UTF-8, more than 1 MiB): before the manager's first start, before a restart and while it runs | each is reported on itself, and other functions and runs continue
	It("never stop the manager", func(ctx SpecContext) {
		etcd, objects := poison.OpenEtcd(environment), poison.InEtcd()
		store := func() string {
			namespace := newNamespace(ctx)
			for _, o := range objects {
				etcd.Put(ctx, namespace, o)
			}
			return namespace
		}

		By("a running manager")
		running := store()
		works(ctx, running, "healthy")
		reported(ctx, running, objects)

		By("a restarted manager")
		manager.stop()
		between := store()
		manager = startManager(nil)
		works(ctx, between, "healthy")
		works(ctx, running, "again")
		reported(ctx, between, objects)

		By("a manager that starts for the first time: nothing that another one wrote for itself is there")
		manager.stop()
		Expect(k8s.DeleteAllOf(ctx, &corev1.Secret{}, client.InNamespace(operatorNamespace))).To(Succeed())
		Expect(k8s.DeleteAllOf(ctx, &corev1.ConfigMap{}, client.InNamespace(operatorNamespace))).To(Succeed())
		fresh := store()
		manager = startManager(nil)
		works(ctx, fresh, "healthy")
		reported(ctx, fresh, objects)
		Eventually(func(g Gomega) {
			secrets := &corev1.SecretList{}
			g.Expect(k8s.List(ctx, secrets, client.InNamespace(operatorNamespace))).To(Succeed())
			g.Expect(secrets.Items).NotTo(BeEmpty(), "the manager has made no authority")
		}).WithContext(ctx).Should(Succeed())

		By("objects that leave as they came")
		for _, o := range objects {
			etcd.Delete(ctx, fresh, o)
		}
		works(ctx, fresh, "last")
		function := poison.Object{Kind: "Function", Name: "spec-string"}.Untyped(fresh)
		Eventually(func() bool {
			return apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(function), function))
		}).WithContext(ctx).Should(BeTrue())
	}, SpecTimeout(specTime))

	//security:attack administrator | restores into etcd dozens of objects of more than 1 MiB that no type holds | the manager keeps of each its metadata and an error
	It("take no more of the manager's memory than their metadata", func(ctx SpecContext) {
		etcd, namespace := poison.OpenEtcd(environment), newNamespace(ctx)
		works(ctx, namespace, "healthy")
		before := heapInUse()
		objects, kept := poison.Large(10)
		stored := etcd.PutAll(ctx, namespace, objects)
		manager.stop()
		manager = startManager(nil)
		works(ctx, namespace, "restarted")
		// Beside the metadata each of the three watches has a buffer of some megabytes, for the largest object that it has seen. What
		// is being decoded or refused at the moment of a measurement is not kept: so the bound must hold at some time.
		grown := 0
		Eventually(func(g Gomega) {
			grown = heapInUse() - before
			g.Expect(grown).To(BeNumerically("<", 2*kept+16<<20), "%d bytes were stored, %d of them in metadata", stored, kept)
		}).WithContext(ctx).WithTimeout(2 * time.Minute).WithPolling(time.Second).Should(Succeed())
		AddReportEntry("memory", map[string]int{"stored": stored, "kept in metadata": kept, "grown": grown})
		Expect(stored).To(BeNumerically(">", 2*kept+32<<20), "that would not be seen")
	}, SpecTimeout(specTime))
})
