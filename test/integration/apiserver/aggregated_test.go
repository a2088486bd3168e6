package apiserver

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// The two rules that are required to read results.
var (
	subresourceRule = rbacv1.PolicyRule{APIGroups: []string{"subresources.sharedcloud.io"}, Resources: []string{"functionruns/results"}, Verbs: []string{"get"}}
	may             = rbacv1.PolicyRule{APIGroups: []string{"sharedcloud.io"}, Resources: []string{"functionruns"}, Verbs: []string{"get"}}
)

// results reads functionruns/results through the aggregator.
func results(ctx context.Context, config *rest.Config, run *v1alpha1.FunctionRun, parameters map[string]string, accept ...string) ([]byte, error) {
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	request := c.CoreV1().RESTClient().Get().AbsPath("/apis/subresources.sharedcloud.io/v1alpha1/namespaces", run.Namespace, "functionruns", run.Name, "results")
	for name, value := range parameters {
		request = request.Param(name, value)
	}
	if len(accept) > 0 {
		request = request.SetHeader("Accept", accept...)
	}
	data, err := request.DoRaw(ctx)
	if status := (&metav1.Status{}); err != nil && json.Unmarshal(data, status) == nil && status.Kind == "Status" {
		err = &apierrors.StatusError{ErrStatus: *status} // with the server's own message
	}
	return data, err
}

var _ = Describe("The aggregated API", func() {
	It("is listed by discovery, and does not serve FunctionRuns itself", func(ctx SpecContext) {
		list := discovered(ctx, "subresources.sharedcloud.io", "v1alpha1")
		verbs := map[string][]string{}
		for _, resource := range list.APIResources {
			Expect(resource.Namespaced).To(BeTrue(), resource.Name)
			verbs[resource.Name] = resource.Verbs
		}
		// No list and no delete: the deletion of a namespace would wait for the response.
		for _, parent := range []string{"functionruns", "functions"} {
			Expect(verbs[parent]).To(BeEmpty())
			delete(verbs, parent)
		}
		Expect(verbs).To(Equal(map[string][]string{
			"functionruns/results": {"get"}, "functionruns/log": {"get"},
			"functionruns/rerun": {"create"}, "functionruns/cancel": {"create"}, "functions/run": {"create"},
		}))

		groups, err := restmapper.GetAPIGroupResources(clientset.Discovery())
		Expect(err).NotTo(HaveOccurred())
		mapper := restmapper.NewDiscoveryRESTMapper(groups)
		for _, name := range []string{"functionruns", "functionrun", "functions", "function"} {
			gvr, err := mapper.ResourceFor(schema.GroupVersionResource{Resource: name})
			Expect(err).NotTo(HaveOccurred())
			Expect(gvr.Group).To(Equal(v1alpha1.GroupName), name)
		}
	}, SpecTimeout(timeout))

	It("describes itself as OpenAPI", func(ctx SpecContext) {
		// The aggregator fetches it some time after the APIService has become available.
		Eventually(func(g Gomega) {
			paths, err := clientset.Discovery().OpenAPIV3().Paths()
			g.Expect(err).NotTo(HaveOccurred())
			const path = "apis/subresources.sharedcloud.io/v1alpha1"
			g.Expect(slices.Collect(maps.Keys(paths))).To(ContainElement(path))
			document, err := paths[path].Schema("application/json")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(document)).To(ContainSubstring("/namespaces/{namespace}/functionruns/{name}/results"))
		}).WithContext(ctx).WithTimeout(time.Minute).WithPolling(500 * time.Millisecond).Should(Succeed())
	}, SpecTimeout(timeout))

	//security:attack tenant | reads results and logs of a run without the right to get it | the answer is 403 and names the missing right
	It("admits users who may get the run, and names the missing right to others", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(ctx, namespace, 1)
		both := newUser(ctx, namespace+"-both", namespace, subresourceRule, may)
		Eventually(func(g Gomega) {
			data, err := results(ctx, both, run, nil)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(data).To(MatchJSON(`[]`))
		}).WithContext(ctx).Should(Succeed())

		_, err := results(ctx, newUser(ctx, namespace+"-subresourceRule", namespace, subresourceRule), run, nil)
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(ContainSubstring("the right to get functionruns in the API group sharedcloud.io")))

		_, err = results(ctx, newUser(ctx, namespace+"-may", namespace, may), run, nil)
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
	}, SpecTimeout(timeout))

	It("creates a run for users who may create one and get the function, and keeps its content", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		Expect(k8s.Create(ctx, &v1alpha1.Function{
			ObjectMeta: metav1.ObjectMeta{Name: "f", Namespace: namespace},
			Spec:       v1alpha1.FunctionSpec{Runtime: "python311", Image: "python", Code: ptr.To("def handler(event): pass")},
		})).To(Succeed())
		subresourceRules := rbacv1.PolicyRule{APIGroups: []string{"subresources.sharedcloud.io"}, Resources: []string{"functions/run"}, Verbs: []string{"create"}}
		see := rbacv1.PolicyRule{APIGroups: []string{"sharedcloud.io"}, Resources: []string{"functions"}, Verbs: []string{"get"}}
		make := rbacv1.PolicyRule{APIGroups: []string{"sharedcloud.io"}, Resources: []string{"functionruns"}, Verbs: []string{"create"}}
		post := func(config *rest.Config, body string) ([]byte, error) {
			c, err := kubernetes.NewForConfig(config)
			Expect(err).NotTo(HaveOccurred())
			data, err := c.CoreV1().RESTClient().Post().AbsPath("/apis/subresources.sharedcloud.io/v1alpha1/namespaces", namespace, "functions", "f", "run").
				Param("format", "ndjson").Param("name", "r").Body(strings.NewReader(body)).DoRaw(ctx)
			if status := (&metav1.Status{}); err != nil && json.Unmarshal(data, status) == nil && status.Kind == "Status" {
				err = &apierrors.StatusError{ErrStatus: *status}
			}
			return data, err
		}
		all := newUser(ctx, namespace+"-all", namespace, subresourceRules, see, make)
		run := &v1alpha1.FunctionRun{}
		Eventually(func(g Gomega) {
			data, err := post(all, "[1]\n[2]\n")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(json.Unmarshal(data, run)).To(Succeed())
		}).WithContext(ctx).Should(Succeed())
		Expect(run.Spec.ParametersFrom.Upload.Count).To(BeEquivalentTo(2))
		Expect(run.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRequestedBy, namespace+"-all"))

		_, err := post(all, "[1]\n")
		Expect(apierrors.IsAlreadyExists(err)).To(BeTrue(), "%v", err)
		_, err = post(newUser(ctx, namespace+"-see", namespace, subresourceRules, see), "[1]\n")
		Expect(err).To(MatchError(ContainSubstring("the right to create functionruns")))
		_, err = post(newUser(ctx, namespace+"-make", namespace, subresourceRules, make), "[1]\n")
		Expect(err).To(MatchError(ContainSubstring("the right to get functions")))
	}, SpecTimeout(timeout))

	It("returns 404 for an unknown run, and 400 for an invalid parameter", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(ctx, namespace, 1)
		_, err := results(ctx, restConfig, &v1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Name: "unknown", Namespace: namespace}}, nil)
		Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(ContainSubstring(`functionruns.sharedcloud.io "unknown" not found`)))
		_, err = results(ctx, restConfig, run, map[string]string{"from": "-1"})
		Expect(apierrors.IsBadRequest(err)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(ContainSubstring("the parameter from")))
	}, SpecTimeout(timeout))

	//security:attack anonymous | calls the API server's own port without a token | the answer is 401; only the probes are open
	It("returns 401 without a token on its own port, and serves probes", func(ctx SpecContext) {
		status, body := get(api.client(), api.url()+"/apis/subresources.sharedcloud.io/v1alpha1/namespaces/a/functionruns/b/results")
		Expect(status).To(Equal(http.StatusUnauthorized), body)
		Expect(body).To(ContainSubstring(`"kind":"Status"`))
		status, body = get(api.client(), api.url()+"/metrics")
		Expect(status).To(Equal(http.StatusUnauthorized), body)
		for _, path := range []string{"/livez", "/readyz"} {
			status, body = get(api.client(), api.url()+path)
			Expect(status).To(Equal(http.StatusOK), body)
		}
	}, SpecTimeout(timeout))
})

var _ = Describe("The exchange", func() {
	//security:attack worker | shows its token to other paths, or another token to the exchange | only the exchange of its own run is open to it
	It("accepts only a worker of the run with its own token", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run, other := newRun(ctx, namespace, 3), newRun(ctx, namespace, 1)
		job := start(ctx, run, 1)
		start(ctx, other, 1)
		w := newWorker(ctx, run, job, 0)
		first := map[string]any{"protocol": 1, "sequence": 1, "held": "", "want": true}
		refused := func(who *worker, run string, want int) {
			GinkgoHelper()
			status, said := who.post(ctx, run, first)
			Expect(status).To(Equal(want), "%+v", said)
			Expect(said.Error).NotTo(BeEmpty())
		}
		// The token is valid for its own run only.
		refused(w, other.Name, http.StatusForbidden)

		By("calling without a token, and with tokens of other audiences")
		unknown := *w
		unknown.token = ""
		refused(&unknown, run.Name, http.StatusUnauthorized)
		unknown.token = "not.a.token"
		refused(&unknown, run.Name, http.StatusUnauthorized)
		unknown.token = tokenOf(ctx, w.pod)
		refused(&unknown, run.Name, http.StatusUnauthorized)

		By("calling from a pod of another Job")
		foreign := newWorker(ctx, run, newJob(ctx, namespace, "foreign"), 0)
		refused(foreign, run.Name, http.StatusForbidden)

		By("calling other frontends with a worker's token")
		config := rest.AnonymousClientConfig(restConfig)
		config.BearerToken = w.token
		_, err := results(ctx, config, run, nil)
		Expect(apierrors.IsUnauthorized(err)).To(BeTrue(), "%v", err)
		direct, err := http.NewRequestWithContext(ctx, http.MethodGet, api.url()+"/apis/subresources.sharedcloud.io/v1alpha1", nil)
		Expect(err).NotTo(HaveOccurred())
		direct.Header.Set("Authorization", "Bearer "+w.token)
		response, err := api.client().Do(direct)
		Expect(err).NotTo(HaveOccurred())
		Expect(response.Body.Close()).To(Succeed())
		Expect(response.StatusCode).To(Equal(http.StatusUnauthorized))

		By("calling as the worker")
		said := w.call(ctx, "", true)
		Expect(said.Action).To(Equal("work"))

		By("calling after its pod is gone")
		Expect(k8s.Delete(ctx, w.pod, graceless)).To(Succeed())
		Eventually(func(g Gomega) {
			status, said := w.post(ctx, run.Name, map[string]any{"protocol": 1, "sequence": 2, "held": "", "want": true})
			g.Expect(status).To(Equal(http.StatusUnauthorized), "%+v", said)
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(timeout))
})
