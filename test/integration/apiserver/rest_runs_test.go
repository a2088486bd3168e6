package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// runMade creates a run, and returns the custom resource too.
func (c *caller) runMade(ctx context.Context, body map[string]any) (map[string]any, *v1alpha1.FunctionRun) {
	GinkgoHelper()
	got := c.do(ctx, http.MethodPost, "/runs", body)
	Expect(got.Status).To(Equal(http.StatusOK), got.Body)
	list := &v1alpha1.FunctionRunList{}
	Expect(k8s.List(ctx, list, client.InNamespace(c.namespace), client.MatchingLabels{v1alpha1.LabelUUID: fmt.Sprint(got.object()["uuid"])})).To(Succeed())
	Expect(list.Items).To(HaveLen(1))
	return got.object(), &list.Items[0]
}

func (c *caller) jobs(ctx context.Context, query string) []map[string]any {
	GinkgoHelper()
	var jobs []map[string]any
	got := c.do(ctx, http.MethodGet, "/jobs"+query, nil)
	Expect(got.Status).To(Equal(http.StatusOK), got.Body)
	got.into(&jobs)
	return jobs
}

// field is the values of one field of all objects.
func field(objects []map[string]any, name string) []any {
	values := []any{}
	for _, object := range objects {
		values = append(values, object[name])
	}
	return values
}

var _ = Describe("Runs and jobs of the documented API", func() {
	It("go from parameters to results in order", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		function := c.made(ctx, newImage(ctx, c.namespace, "python", "python36"))
		const literal = "(('Michaël',), ('World',), (3, b'x'))"
		shown, run := c.runMade(ctx, map[string]any{"function": function["uuid"], "parameters": literal, "bid_price": 0.5})
		Expect(shown).To(HaveLen(10))
		Expect(shown).To(And(
			HaveKeyWithValue("parameters", literal), HaveKeyWithValue("num_jobs", 3.0), HaveKeyWithValue("bid_price", 0.5),
			HaveKeyWithValue("base_gpu_name", "n/a"), HaveKeyWithValue("base_gpu", BeNil()), HaveKeyWithValue("function", function["uuid"]),
			HaveKeyWithValue("function_name", "mnist"), HaveKeyWithValue("created_at", MatchRegexp(dateLike))))
		Expect(run.Spec.ParametersLiteral).To(HaveValue(Equal(literal)))
		Expect(c.do(ctx, http.MethodGet, fmt.Sprintf("/functions/%s", function["uuid"]), nil).object()).To(HaveKeyWithValue("num_runs", 1.0))
		id := fmt.Sprint(shown["uuid"])
		Expect(c.do(ctx, http.MethodGet, "/runs/"+id, nil).object()).To(HaveKeyWithValue("parameters", literal))

		By("showing jobs before any worker calls")
		jobs := c.jobs(ctx, "")
		Expect(field(jobs, "incremental_id")).To(Equal([]any{2.0, 1.0, 0.0}))
		Expect(field(jobs, "status")).To(Equal([]any{1.0, 1.0, 1.0}))
		Expect(field(jobs, "arguments")).To(Equal([]any{"(3, b'x')", "('World',)", "('Michaël',)"}))
		Expect(jobs[0]).To(HaveLen(18))
		Expect(jobs[0]).To(And(HaveKeyWithValue("duration", BeNil()), HaveKeyWithValue("started_at", BeNil()), HaveKeyWithValue("assigned_at", BeNil()),
			HaveKeyWithValue("finished_at", BeNil()), HaveKeyWithValue("cost", 0.0), HaveKeyWithValue("result", ""), HaveKeyWithValue("instance", BeNil()),
			HaveKeyWithValue("run", id), HaveKeyWithValue("function_name", "mnist")))

		By("distinguishing executing jobs from waiting ones")
		run.Spec.Parameters = make([]v1alpha1.Input, 3) // for the pinned count
		job := start(ctx, run, 1)
		w := newWorker(ctx, run, job, 0)
		Expect(w.call(ctx, "", true).indexes()).To(Equal([]int{0}))
		executes := func() { // and its lease is renewed
			w.sequence++
			_, said := w.post(ctx, run.Name, map[string]any{"protocol": 1, "sequence": w.sequence, "held": "0", "executing": 0})
			Expect(said.Error).To(BeEmpty())
		}
		executes()
		jobs = c.jobs(ctx, "?run="+id)
		Expect(field(jobs, "status")).To(Equal([]any{1.0, 1.0, 2.0}))
		Expect(jobs[2]).To(And(HaveKeyWithValue("started_at", MatchRegexp(dateLike)), HaveKeyWithValue("assigned_at", MatchRegexp(dateLike))))
		for _, path := range []string{"/runs/" + id, fmt.Sprintf("/functions/%s", function["uuid"])} {
			executes()
			got := c.do(ctx, http.MethodDelete, path, nil)
			Expect(got.Status).To(Equal(http.StatusBadRequest), got.Body)
			Expect(got.Body).To(ContainSubstring("Please wait until they are finished"))
		}

		By("showing their outcomes")
		done := succeeded(0, "Hello Michaël")
		done["stdout"] = []byte("printed\n")
		Expect(w.call(ctx, "", true, done).indexes()).To(Equal([]int{1}))
		worse := failed(1)
		worse["stderr"] = []byte("warned")
		worse["error"] = map[string]any{"type": "Exception", "message": "This is a test Exception", "traceback": "Traceback: This is a test Exception\n"}
		Expect(w.call(ctx, "", true, worse).indexes()).To(Equal([]int{2}))
		number := succeeded(2, 42)
		number["resultText"] = "(42,)"
		w.call(ctx, "", true, number)
		jobs = c.jobs(ctx, "/")
		Expect(field(jobs, "status")).To(Equal([]any{3.0, 4.0, 3.0}))
		Expect(field(jobs, "result")).To(Equal([]any{"(42,)", "", "Hello Michaël"}))
		Expect(field(jobs, "stdout")).To(Equal([]any{"", "", "printed\n"}))
		Expect(field(jobs, "stderr")).To(Equal([]any{"", "warned\nTraceback: This is a test Exception\n", ""}))
		Expect(field(jobs, "duration")).To(Equal([]any{10.0, 10.0, 10.0}))
		Expect(jobs[2]).To(And(HaveKeyWithValue("started_at", "24-11-2026 12:00:00"), HaveKeyWithValue("finished_at", "24-11-2026 12:00:10")))
		Expect(c.do(ctx, http.MethodGet, fmt.Sprintf("/jobs/%s", jobs[1]["uuid"]), nil).object()).To(And(
			HaveKeyWithValue("status", 4.0), HaveKeyWithValue("incremental_id", 1.0), HaveKeyWithValue("run", id)))
		Expect(field(c.jobs(ctx, "?status=4"), "incremental_id")).To(Equal([]any{1.0}))
		Expect(field(c.jobs(ctx, "?limit=1&offset=1"), "incremental_id")).To(Equal([]any{1.0}))
		Expect(c.jobs(ctx, "?offset=3")).To(BeEmpty())

		By("deleting the run with its jobs")
		Eventually(func(g Gomega) {
			got := c.do(ctx, http.MethodDelete, "/runs/"+id+"/", nil)
			g.Expect(got.Status).To(Equal(http.StatusNoContent), got.Body)
		}).WithContext(ctx).Should(Succeed())
		Expect(c.jobs(ctx, "")).To(BeEmpty())
		Expect(c.do(ctx, http.MethodGet, fmt.Sprintf("/jobs/%s", jobs[1]["uuid"]), nil).Status).To(Equal(http.StatusNotFound))
		Expect(c.do(ctx, http.MethodGet, fmt.Sprintf("/functions/%s", function["uuid"]), nil).object()).To(HaveKeyWithValue("num_runs", 0.0))
	}, SpecTimeout(timeout))

	It("accept an array of arrays too, list the newest first, and are deleted with their function", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		function := c.made(ctx, newImage(ctx, c.namespace, "python", "python36"))
		first, _ := c.runMade(ctx, map[string]any{"function": function["uuid"], "parameters": "((1,),)"})
		second, run := c.runMade(ctx, map[string]any{"function": function["uuid"], "parameters": []any{[]any{1, "it's", nil, true, 1.5, []any{1}, map[string]any{"a": "b"}}, []any{}}})
		Expect(run.Spec.Parameters).To(HaveLen(2))
		Expect(second).To(HaveKeyWithValue("parameters", `((1, "it's", None, True, 1.5, [1], {'a': 'b'}), ())`))
		Expect(field(c.jobs(ctx, ""), "arguments")).To(Equal([]any{"()", `(1, "it's", None, True, 1.5, [1], {'a': 'b'})`, "(1,)"}))
		var runs []map[string]any
		c.do(ctx, http.MethodGet, "/runs", nil).into(&runs)
		Expect(field(runs, "uuid")).To(Equal([]any{second["uuid"], first["uuid"]}))
		Expect(c.do(ctx, http.MethodDelete, fmt.Sprintf("/functions/%s", function["uuid"]), nil).Body).To(Equal("{}"))
		Expect(c.do(ctx, http.MethodGet, "/runs", nil).Body).To(Equal("[]"))
	}, SpecTimeout(timeout))

	It("report what is wrong with a run", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		function := c.made(ctx, newImage(ctx, c.namespace, "python", "python36"))
		for _, tc := range []struct {
			body any
			want string
		}{
			{nil, `{"function":["This field is required."],"parameters":["This field is required."]}`},
			{map[string]any{"function": "x", "parameters": 5}, `{"function":["\"x\" is not a valid UUID."],"parameters":["Not a valid string."]}`},
			{url.Values{"function": {fmt.Sprint(function["uuid"])}, "parameters": {"((1,),)"}, "bid_price": {"0.0001"}}, `{"bid_price":["The bid price cannot be smaller than $0.001"]}`},
			{map[string]any{"function": function["uuid"], "parameters": "((1,),)", "bid_price": "much"}, `{"bid_price":["A valid number is required."]}`},
			{map[string]any{"function": function["uuid"], "parameters": "((1,),)", "base_gpu": "8b9420da-a848-4523-a138-ddbf33007631"},
				`{"base_gpu":["A base GPU is unnecessary because the function is not using an image that requires GPU"]}`},
			{map[string]any{"function": function["uuid"], "parameters": []any{}}, `{"parameters":["There are no inputs: use [[]] for a single call without values."]}`},
			{map[string]any{"function": function["uuid"], "parameters": []any{1}}, `{"parameters":["This must be an array of arrays, or the text of a Python tuple of tuples."]}`},
			{map[string]any{"function": "8b9420da-a848-4523-a138-ddbf33007631", "parameters": "((1,),)"}, `{"function":["Invalid pk \"8b9420da-a848-4523-a138-ddbf33007631\" - object does not exist."]}`},
		} {
			got := c.do(ctx, http.MethodPost, "/runs", tc.body)
			Expect(got.Body).To(Equal(tc.want))
			Expect(got.Status).To(Equal(http.StatusBadRequest))
		}
		got := c.do(ctx, http.MethodPost, "/runs", map[string]any{"function": function["uuid"], "parameters": "(1, 2)"})
		Expect(got.Status).To(Equal(http.StatusBadRequest))
		Expect(got.Body).To(HavePrefix(`{"parameters":["This must be the text of a Python tuple of tuples: `))
	}, SpecTimeout(timeout))

	It("are scheduled on GPUs of sufficient capability", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		image := newImage(ctx, c.namespace, "tensorflow", "python36", func(i *v1alpha1.FunctionImage) { i.Spec.RequiresGPU = true })
		function := c.made(ctx, image)
		for _, product := range []string{"Tesla-K80", "NVIDIA-A100-SXM4-40GB"} {
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-", Labels: map[string]string{"nvidia.com/gpu.product": product}}}
			Expect(k8s.Create(ctx, node)).To(Succeed())
			DeferCleanup(func(ctx SpecContext) { Expect(k8s.Delete(ctx, node)).To(Succeed()) })
			node.Status = corev1.NodeStatus{
				Allocatable: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")},
				Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			}
			Expect(k8s.Status().Update(ctx, node)).To(Succeed())
		}
		byName := map[string]string{}
		Eventually(func(g Gomega) {
			var gpus []map[string]any
			c.do(ctx, http.MethodGet, "/gpus", nil).into(&gpus)
			for _, gpu := range gpus {
				if gpu["is_available"] == true {
					byName[fmt.Sprint(gpu["name"])] = fmt.Sprint(gpu["uuid"])
				}
			}
			g.Expect(byName).To(HaveLen(2))
		}).WithContext(ctx).Should(Succeed())
		for name, id := range byName {
			shown, run := c.runMade(ctx, map[string]any{"function": function["uuid"], "parameters": "((1,),)", "base_gpu": id})
			Expect(shown).To(And(HaveKeyWithValue("base_gpu", id), HaveKeyWithValue("base_gpu_name", name)))
			if strings.Contains(name, "K80") {
				Expect(run.Spec.GPUProducts).To(ConsistOf("Tesla-K80", "NVIDIA-A100-SXM4-40GB"))
			} else {
				Expect(run.Spec.GPUProducts).To(ConsistOf("NVIDIA-A100-SXM4-40GB"))
			}
		}
	}, SpecTimeout(timeout))
})

var _ = Describe("The documented API through the aggregator", func() {
	It("is available with a kubeconfig, and lists no resources", func(ctx SpecContext) {
		Expect(discovered(ctx, "rest.sharedcloud.io", "v1").APIResources).To(BeEmpty())

		namespace := newNamespace(ctx)
		image := newImage(ctx, namespace, "python", "python36")
		config := newUser(ctx, namespace+"-rest", namespace, editor)
		allowRest(ctx, namespace+"-rest")
		ask := func(method, path string, body any) (int, string) {
			c, err := kubernetes.NewForConfig(config)
			Expect(err).NotTo(HaveOccurred())
			request := c.CoreV1().RESTClient().Verb(method).AbsPath("/apis/rest.sharedcloud.io/v1"+path).SetHeader("X-Sharedcloud-Namespace", namespace)
			if body != nil {
				data, err := json.Marshal(body)
				Expect(err).NotTo(HaveOccurred())
				request = request.SetHeader("Content-Type", "application/json").Body(data)
			}
			status := 0
			data, _ := request.Do(ctx).StatusCode(&status).Raw()
			return status, string(data)
		}
		var text string
		Eventually(func(g Gomega) {
			var status int
			status, text = ask(http.MethodPost, "/functions", functionBody(image))
			g.Expect(status).To(Equal(http.StatusOK), text)
		}).WithContext(ctx).Should(Succeed())
		var made map[string]any
		Expect(json.Unmarshal([]byte(text), &made)).To(Succeed())
		status, text := ask(http.MethodGet, fmt.Sprintf("/functions/%s/", made["uuid"]), nil)
		Expect(status).To(Equal(http.StatusOK), text)
		Expect(text).To(ContainSubstring(`"name":"mnist"`))
		status, text = ask(http.MethodGet, "/functions", nil)
		Expect(status).To(Equal(http.StatusOK), text)
		status, text = ask(http.MethodGet, "/functions/8b9420da-a848-4523-a138-ddbf33007631", nil)
		Expect(status).To(Equal(http.StatusNotFound))
		Expect(text).To(Equal(`{"detail":"Not found."}`))

		By("listing the namespaces of a user name")
		mark := &corev1.Namespace{}
		Expect(k8s.Get(ctx, client.ObjectKey{Name: namespace}, mark)).To(Succeed())
		mark.Annotations = map[string]string{v1alpha1.AnnotationTenants: "user:" + namespace + "-rest, group:others"}
		Expect(k8s.Update(ctx, mark)).To(Succeed())
		c, err := kubernetes.NewForConfig(rest.CopyConfig(config))
		Expect(err).NotTo(HaveOccurred())
		Eventually(func(g Gomega) {
			data, err := c.CoreV1().RESTClient().Get().AbsPath("/apis/rest.sharedcloud.io/v1/functions").DoRaw(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(data)).To(ContainSubstring(fmt.Sprint(made["uuid"])))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(timeout))
})

// allowRest is the rule of config/rbac that allows REST through the aggregator.
func allowRest(ctx context.Context, user string) {
	GinkgoHelper()
	Expect(k8s.Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"rest.sharedcloud.io"}, Resources: []string{"*"}, Verbs: []string{"*"}}},
	})).To(Succeed())
	bind(ctx, user, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user})
}

var _ = Describe("The documented API while the Kubernetes API is away", Serial, func() {
	It("continues to serve reads, refuses writes, and needs no restart", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		image := newImage(ctx, c.namespace, "python", "python36")
		function := c.made(ctx, image)
		path := fmt.Sprintf("/functions/%s", function["uuid"])
		Expect(c.do(ctx, http.MethodPatch, path, map[string]any{"name": "before"}).Status).To(Equal(http.StatusOK))
		api.gate.close()
		DeferCleanup(api.gate.open)
		Expect(c.do(ctx, http.MethodGet, path, nil).object()).To(HaveKeyWithValue("name", "before"))
		unavailable := And(HaveField("Status", http.StatusServiceUnavailable), HaveField("Body", ContainSubstring(`"detail":"The Kubernetes API`)))
		got := c.do(ctx, http.MethodPatch, path, map[string]any{"name": "during"})
		Expect(got).To(unavailable)
		Expect(got.Header.Get("Retry-After")).NotTo(BeEmpty())
		Expect(c.do(ctx, http.MethodPost, "/functions", functionBody(image))).To(unavailable)
		Eventually(func(g Gomega) {
			g.Expect(c.do(ctx, http.MethodGet, "/functions/8b9420da-a848-4523-a138-ddbf33007631", nil)).To(unavailable)
		}).WithContext(ctx).Should(Succeed())
		api.gate.open()
		Eventually(func(g Gomega) {
			got := c.do(ctx, http.MethodPatch, path, map[string]any{"name": "after"})
			g.Expect(got.Status).To(Equal(http.StatusOK), got.Body)
		}).WithContext(ctx).Should(Succeed())
		list := &v1alpha1.FunctionList{}
		Expect(k8s.List(ctx, list, client.InNamespace(c.namespace))).To(Succeed())
		Expect(list.Items).To(HaveLen(1))
	}, SpecTimeout(4*time.Minute))
})
