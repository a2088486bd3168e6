package apiserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// planted are words in the data that tenants and workers send, and that must not appear anywhere else.
var planted = map[string]string{
	"code": "pl4nted-code", "input": "pl4nted-input", "literal": "pl4nted-literal", "broken input": "pl4nted-broken", "result": "pl4nted-result",
	"error": "pl4nted-error", "traceback": "pl4nted-traceback", "stdout": "pl4nted-stdout", "environment": "pl4nted-environment",
	"query": "pl4nted-query", "token in a query": "pl4nted-token", "bogus token": "pl4nted.bogus.token", "ConfigMap": "pl4nted-configmap",
	"rest code": "pl4nted-restcode", "rest input": "pl4nted-restinput",
}

// logged is the log of a program so far.
type loggedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *loggedText) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *loggedText) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// built builds a program of cmd.
func built(ctx context.Context, name string) string {
	GinkgoHelper()
	program := filepath.Join(GinkgoT().TempDir(), name)
	command := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/"+name)
	command.Dir = filepath.Join("..", "..", "..")
	out, err := command.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	return program
}

// startLoudManager starts cmd/manager at the highest verbosity.
func startLoudManager(ctx context.Context) (said *loggedText, metrics string) {
	GinkgoHelper()
	user, err := environment.AddUser(envtest.User{Name: "loud-manager", Groups: []string{"system:masters"}}, restConfig)
	Expect(err).NotTo(HaveOccurred())
	kubeconfig, err := user.KubeConfig()
	Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(os.WriteFile(path, kubeconfig, 0o600)).To(Succeed())
	metrics = fmt.Sprintf("%s:%d", serviceAddress, freePort())
	said = &loggedText{}
	process := exec.Command(built(ctx, "manager"), "-v=10", "--leader-elect=false", "--metrics-bind-address="+metrics, "--health-probe-bind-address=0")
	process.Env = append(os.Environ(), "KUBECONFIG="+path)
	process.Stdout, process.Stderr = said, said
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	Expect(process.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	return said, metrics
}

// startLoudServer runs cmd/apiserver in place of the suite's server, at the highest verbosity.
func startLoudServer(ctx context.Context) *loggedText {
	GinkgoHelper()
	said := &loggedText{}
	api.kill()
	api.program, api.said = built(ctx, "apiserver"), said
	api.more = []string{"-v=10", "--vmodule=request=10,round_trippers=10,httplog=10", "--profiling"}
	DeferCleanup(func() {
		api.kill()
		api.program, api.said, api.more = "", nil, nil
		api.start()
		api.waitReady()
	})
	api.start()
	api.waitReady()
	return said
}

var _ = Describe("The data of tenants and workers", func() {
	//security:attack administrator | both programs run at the highest verbosity, errors and bogus requests included; logs, events and statuses are searched for tokens, code, inputs and results | nothing is found
	It("is in no log, event or status of either program, at the highest verbosity", func(ctx SpecContext) {
		server := startLoudServer(ctx)
		manager, metrics := startLoudManager(ctx)
		namespace := newNamespace(ctx)

		By("creating a function, runs and invalid objects")
		Expect(k8s.Create(ctx, &v1alpha1.Function{
			ObjectMeta: metav1.ObjectMeta{Name: "f", Namespace: namespace},
			Spec: v1alpha1.FunctionSpec{Runtime: "python311", Image: "python", Code: ptr.To("def handler(event): return '" + planted["code"] + "'\n"),
				Pod: &v1alpha1.PodSettings{Env: []v1alpha1.EnvVar{{Name: "A", Value: planted["environment"]}}}},
		})).To(Succeed())
		Expect(k8s.Create(ctx, &v1alpha1.FunctionImage{
			ObjectMeta: metav1.ObjectMeta{Name: "python", Namespace: namespace},
			Spec:       v1alpha1.FunctionImageSpec{RegistryPath: "registry.example/python:1", Runtime: "python311"},
		})).To(Succeed())
		Expect(k8s.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: "inputs", Namespace: namespace}, Data: map[string]string{"inputs.json": `[["` + planted["ConfigMap"] + `"], [` + planted["ConfigMap"] + `]]`},
		})).To(Succeed())
		make := func(name string, change func(*v1alpha1.FunctionRunSpec)) *v1alpha1.FunctionRun {
			run := &v1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
				Spec: v1alpha1.FunctionRunSpec{FunctionRef: v1alpha1.FunctionReference{Name: "f"}}}
			change(&run.Spec)
			Expect(k8s.Create(ctx, run)).To(Succeed())
			return run
		}
		run := make("plain", func(s *v1alpha1.FunctionRunSpec) {
			s.Parameters = []v1alpha1.Input{{apiextensionsv1.JSON{Raw: fmt.Appendf(nil, "%q", planted["input"])}}, {apiextensionsv1.JSON{Raw: []byte("2")}}}
		})
		make("literal", func(s *v1alpha1.FunctionRunSpec) { s.ParametersLiteral = ptr.To("(('" + planted["literal"] + "',),)") })
		make("broken", func(s *v1alpha1.FunctionRunSpec) {
			s.ParametersLiteral = ptr.To("(('x', '" + planted["broken input"] + "' 1")
		})
		make("from", func(s *v1alpha1.FunctionRunSpec) {
			s.ParametersFrom = &v1alpha1.ParametersSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "inputs", Key: "inputs.json"}}
		})

		By("executing the run as a worker")
		var job string
		Eventually(func(g Gomega) {
			stored := read(ctx, g, run)
			g.Expect(stored.Status.Job).NotTo(BeNil())
			g.Expect(stored.Status.Job.UID).NotTo(BeEmpty())
			job = stored.Status.Job.Name
		}).WithContext(ctx).Should(Succeed())
		run = read(ctx, Default, run)
		made := &batchv1.Job{}
		Expect(k8s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: job}, made)).To(Succeed())
		w := newWorker(ctx, run, made, 0)
		Expect(w.call(ctx, "", true).Action).To(Equal("work"))
		status, _ := w.post(ctx, run.Name, map[string]any{"protocol": 1, "sequence": 2, "held": "", "want": true, "outcomes": []map[string]any{
			{"index": 0, "status": "Succeeded", "result": planted["result"], "stdout": []byte(planted["stdout"]), "startTime": time.Now().UnixMicro(), "durationMicros": inputMicros},
			{"index": 1, "status": "Failed", "startTime": time.Now().UnixMicro(), "durationMicros": inputMicros,
				"error": map[string]any{"type": "E", "message": planted["error"], "traceback": planted["traceback"]}},
		}})
		GinkgoWriter.Println("the outcomes were answered with", status)

		By("calling unknown routes, with bogus tokens, and with secrets in queries")
		bogus := *w
		bogus.token = planted["bogus token"]
		status, _ = bogus.post(ctx, run.Name, map[string]any{"protocol": 1, "sequence": 1, "held": "", "want": true})
		Expect(status).To(Equal(http.StatusUnauthorized))
		status, _ = w.post(ctx, run.Name, map[string]any{"protocol": planted["input"], "outcomes": planted["result"]})
		Expect(status).To(BeNumerically(">=", 400))
		secrets := url.Values{"spec": {planted["query"]}, "access_token": {planted["token in a query"]}, "name": {planted["query"]}}.Encode()
		base := "/apis/subresources.sharedcloud.io/v1alpha1/namespaces/" + namespace
		for _, path := range []string{base + "/functions/f/run", base + "/functionruns/plain/results", "/api/v1/functions", "/apis/rest.sharedcloud.io/v1/functions", "/metrics", "/debug/pprof/"} {
			for _, token := range []string{"Bearer " + planted["bogus token"], "Token " + planted["bogus token"], ""} {
				send(ctx, http.MethodPost, api.url()+path+"?"+secrets, token, `{"parameters": "((`+planted["broken input"]+`"`)
			}
		}
		_, err := clientset.CoreV1().RESTClient().Post().AbsPath(base, "functions", "f", "run").Param("spec", `{"workers": "`+planted["query"]+`"}`).
			Body([]byte(`[["` + planted["input"] + `"]]`)).DoRaw(ctx)
		Expect(err).To(HaveOccurred())
		token := newCaller(ctx, namespace, rbacv1.PolicyRule{
			APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"functions", "functionimages", "functionruns"}, Verbs: []string{"*"}}).token
		for _, body := range []url.Values{
			{"name": {"g"}, "runtime": {"python311"}, "image": {planted["query"]}, "code": {planted["rest code"]}},
			{"name": {"g"}, "code": {planted["rest code"]}},
			{"function": {"none"}, "parameters": {"((" + planted["rest input"] + ","}},
		} {
			for _, path := range []string{"/api/v1/functions", "/api/v1/runs"} {
				send(ctx, http.MethodPost, api.url()+path, "Token "+token, body.Encode())
			}
		}

		By("reading the metrics of the manager without credentials, and with bogus ones")
		for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/"} {
			// The library answers 500 when a token does not authenticate.
			for token, want := range map[string][]int{"": {401, 403, 404, 500}, "Bearer " + planted["bogus token"]: {401, 404, 500}} {
				Expect(managerAnswers(ctx, "https://"+metrics+path, token)).To(BeElementOf(want), path)
			}
		}

		By("searching")
		Eventually(func(g Gomega) {
			broken := &v1alpha1.FunctionRun{}
			g.Expect(k8s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "broken"}, broken)).To(Succeed())
			g.Expect(broken.Status.Conditions).NotTo(BeEmpty())
		}).WithContext(ctx).Should(Succeed())
		Expect(server.String()).To(ContainSubstring("HTTP"), "the API server logs no requests: the search finds nothing in nothing")
		Expect(len(manager.String())).To(BeNumerically(">", 10_000), "the manager logs little: the search finds nothing in nothing")
		searched := map[string]string{"the API server's log": server.String(), "the manager's log": manager.String(), "events and statuses": shown(ctx, namespace)}
		searched["the manager's log"] = strings.ReplaceAll(searched["the manager's log"], `\"`, `"`)
		secret := map[string]string{"the worker's token": w.token, "the caller's token": token}
		for name, word := range planted {
			secret[name] = word
		}
		for where, text := range searched {
			for name, word := range secret {
				if at := strings.Index(text, word); at >= 0 {
					Fail(fmt.Sprintf("%s is in %s: …%s…", name, where, text[max(0, at-600):min(len(text), at+200)]))
				}
			}
		}
	}, SpecTimeout(10*time.Minute))
})

// managerAnswers is the status of the manager's own port, whose self-signed certificate is not verified.
func managerAnswers(ctx context.Context, address, token string) int {
	GinkgoHelper()
	c := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	Expect(err).NotTo(HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", token)
	}
	response, err := c.Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	return response.StatusCode
}

// send sends a request and ignores the response.
func send(ctx context.Context, method, address, token, body string) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if token != "" {
		request.Header.Set("Authorization", token)
	}
	response, err := api.client().Do(request)
	Expect(err).NotTo(HaveOccurred())
	_, _ = io.Copy(io.Discard, response.Body)
	Expect(response.Body.Close()).To(Succeed())
}

// shown is all that the programs write to the cluster: events, and the statuses of the objects.
func shown(ctx context.Context, namespace string) string {
	GinkgoHelper()
	events := &eventsv1.EventList{}
	Expect(k8s.List(ctx, events, client.InNamespace(namespace))).To(Succeed())
	functions, runs, images := &v1alpha1.FunctionList{}, &v1alpha1.FunctionRunList{}, &v1alpha1.FunctionImageList{}
	for _, list := range []client.ObjectList{functions, runs, images} {
		Expect(k8s.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
	}
	var statuses []any
	for _, f := range functions.Items {
		statuses = append(statuses, f.Status, f.Annotations)
	}
	for _, r := range runs.Items {
		statuses = append(statuses, r.Status, r.Annotations)
	}
	for _, i := range images.Items {
		statuses = append(statuses, i.Status)
	}
	text, err := json.Marshal(map[string]any{"events": events.Items, "statuses": statuses})
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}
