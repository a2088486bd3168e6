package apiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// annotated sets an annotation of a namespace.
func annotated(ctx SpecContext, c client.Client, namespace, annotation, value string) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, annotation, value)
	return c.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, client.RawPatch("application/merge-patch+json", patch))
}

var _ = Describe("A storage quota", func() {
	//security:attack tenant | A namespace fills the outcome store with results through the exchange. | Beyond its quota outcomes are Failed with StorageQuotaExceeded, workers go on, and another namespace's outcomes are stored whole.
	It("bounds the results of a namespace, refuses no worker, and does not affect other namespaces", func(ctx SpecContext) {
		full, other := newNamespace(ctx), newNamespace(ctx)
		Expect(annotated(ctx, k8s, full, v1alpha1.AnnotationResultsQuota, "1Mi")).To(Succeed())
		large := strings.Repeat("x", 700<<10)
		for namespace, wanted := range map[string]string{full: "Failed", other: "Succeeded"} {
			run := newRun(ctx, namespace, 3)
			w := newWorker(ctx, run, start(ctx, run, 1), 0)
			Expect(w.call(ctx, "", true).indexes()).To(Equal([]int{0}))
			Expect(w.call(ctx, "", true, succeeded(0, large)).indexes()).To(Equal([]int{1}))
			Expect(w.call(ctx, "", true, succeeded(1, large)).indexes()).To(Equal([]int{2}))
			Expect(w.call(ctx, "", true, succeeded(2, large)).Action).To(Equal("finished"))

			By("reading the results of " + namespace)
			data, err := results(ctx, restConfig, run, nil)
			Expect(err).NotTo(HaveOccurred())
			var all []struct {
				Status string
				Result *string
				Error  struct{ Type, Message string }
			}
			Expect(json.Unmarshal(data, &all)).To(Succeed())
			Expect(all).To(HaveLen(3))
			Expect(all[0].Status).To(Equal("Succeeded"))
			for _, o := range all[1:] {
				Expect(o.Status).To(Equal(wanted))
				if namespace == full {
					Expect(o.Result).To(BeNil())
					Expect(o.Error.Type).To(Equal("StorageQuotaExceeded"))
					Expect(o.Error.Message).To(And(ContainSubstring("the namespace "+full+" stores"), ContainSubstring("its quota is 1 MiB"), ContainSubstring("Delete finished runs")))
				}
			}
			Eventually(func(g Gomega) {
				progress := read(ctx, g, run).Status.Progress
				g.Expect(progress).NotTo(BeNil())
				g.Expect(progress.Closed).To(BeTrue())
				if namespace == full {
					g.Expect(progress.Succeeded).To(BeEquivalentTo(1))
					g.Expect(progress.Failed).To(BeEquivalentTo(2))
				}
			}).WithContext(ctx).Should(Succeed())

			if namespace == full {
				By("reading the jobs by REST")
				jobs := newCaller(ctx, full, editor).do(ctx, http.MethodGet, "/jobs", nil)
				Expect(jobs.Status).To(Equal(http.StatusOK), jobs.Body)
				Expect(jobs.Body).To(ContainSubstring("its quota is 1 MiB"))
			}
		}
	}, SpecTimeout(timeout))

	//security:attack tenant | A namespace fills the outcome store with uploads, and its editor raises the quota. | The upload is refused with 507 that names the quota; only who may update the Namespace raises it.
	It("bounds the uploads of a namespace with 507, and only an administrator can raise it", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		Expect(annotated(ctx, k8s, namespace, v1alpha1.AnnotationUploadsQuota, "1Mi")).To(Succeed())
		Expect(k8s.Create(ctx, &v1alpha1.Function{
			ObjectMeta: metav1.ObjectMeta{Name: "f", Namespace: namespace},
			Spec:       v1alpha1.FunctionSpec{Runtime: "python311", Image: "python", Code: ptr.To("def handler(event): pass")},
		})).To(Succeed())
		post := func(config *rest.Config, body string) error {
			c, err := kubernetes.NewForConfig(config)
			Expect(err).NotTo(HaveOccurred())
			data, err := c.CoreV1().RESTClient().Post().AbsPath("/apis/subresources.sharedcloud.io/v1alpha1/namespaces", namespace, "functions", "f", "run").
				Param("format", "ndjson").Body(strings.NewReader(body)).DoRaw(ctx)
			if status := (&metav1.Status{}); err != nil && json.Unmarshal(data, status) == nil && status.Kind == "Status" {
				err = &apierrors.StatusError{ErrStatus: *status}
			}
			return err
		}
		tenant := newUser(ctx, namespace+"-tenant", namespace, editor,
			rbacv1.PolicyRule{APIGroups: []string{"subresources.sharedcloud.io"}, Resources: []string{"functions/run"}, Verbs: []string{"create"}})
		Eventually(func(g Gomega) { g.Expect(post(tenant, "[1]\n")).To(Succeed()) }).WithContext(ctx).Should(Succeed())

		large := strings.Repeat("[\""+strings.Repeat("x", 1000)+"\"]\n", 2000)
		err := post(tenant, large)
		Expect(err).To(MatchError(And(ContainSubstring("The namespace "+namespace+" stores"), ContainSubstring("its quota is 1 MiB"),
			ContainSubstring("Delete runs whose inputs were uploaded"), ContainSubstring("No input was stored."))))
		status := apierrors.APIStatus(nil)
		Expect(errors.As(err, &status)).To(BeTrue())
		Expect(status.Status().Code).To(BeEquivalentTo(http.StatusInsufficientStorage))
		Expect(string(status.Status().Reason)).To(Equal("StorageQuotaExceeded"))

		By("raising it without the verb")
		tenants, err := client.New(tenant, client.Options{Scheme: k8s.Scheme()})
		Expect(err).NotTo(HaveOccurred())
		Expect(apierrors.IsForbidden(annotated(ctx, tenants, namespace, v1alpha1.AnnotationUploadsQuota, "unlimited"))).To(BeTrue())
		Expect(post(tenant, large)).NotTo(Succeed())

		By("raising it with the verb")
		Expect(annotated(ctx, k8s, namespace, v1alpha1.AnnotationUploadsQuota, "8Mi")).To(Succeed())
		Eventually(func(g Gomega) { g.Expect(post(tenant, large)).To(Succeed()) }).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(timeout))
})
