package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// The images of the 2018 contract have the same uuids in every cluster.
const (
	imageWebCrawling = "24b3a0f8-c405-4928-954f-d5c93273f88a"
	imageTensorFlow  = "23ca880b-94fe-472c-b9cf-934ed8295872"
	imageNode        = "1a5111c1-17ee-459f-a4da-9c5272d86b1d"
)

// program is a REST client: it has an address, a certificate authority and a token, and no access to the Kubernetes API.
type program struct {
	client     *http.Client
	url, token string
}

// newProgram returns a client with the token of a service account that has the edit role in the namespace.
func newProgram(ctx context.Context, namespace string) *program {
	GinkgoHelper()
	authority, err := os.ReadFile(os.Getenv("SHAREDCLOUD_CA"))
	Expect(err).NotTo(HaveOccurred(), "SHAREDCLOUD_CA names no file: run `eval \"$(make -s cluster-env)\"` first")
	roots := x509.NewCertPool()
	Expect(roots.AppendCertsFromPEM(authority)).To(BeTrue())
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "program", Namespace: namespace}}
	Expect(k8s.Create(ctx, account)).To(Succeed())
	Expect(k8s.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "program", Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "program", Namespace: namespace}},
	})).To(Succeed())
	clientset, err := kubernetes.NewForConfig(restConfig)
	Expect(err).NotTo(HaveOccurred())
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + namespace + ":program",
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Group: v1alpha1.GroupVersion.Group, Resource: "functions", Verb: "create"},
	}}
	Eventually(func(g Gomega) { // until the authorizer has observed the binding
		answer, err := clientset.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(answer.Status.Allowed).To(BeTrue(), answer.Status.Reason)
	}).WithContext(ctx).Should(Succeed())
	request, err := clientset.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, "program", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	p := &program{
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}},
		url:    os.Getenv("SHAREDCLOUD_URL") + "/api/v1",
	}
	// Log in as the published client does.
	var got struct{ Token string }
	Expect(p.do(ctx, http.MethodPost, "/api-token-auth/", url.Values{"username": {"any"}, "password": {request.Status.Token}}, &got)).To(Equal(http.StatusOK))
	p.token = got.Token
	return p
}

// do sends a form, as the published client does, and decodes the response into a value; nil discards it.
func (p *program) do(ctx context.Context, method, path string, form url.Values, into any) int {
	GinkgoHelper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(ctx, method, p.url+path, body)
	Expect(err).NotTo(HaveOccurred())
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if p.token != "" {
		request.Header.Set("Authorization", "Token "+p.token)
	}
	response, err := p.client.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	if into != nil {
		Expect(json.Unmarshal(data, into)).To(Succeed(), "%s %s: %d %s", method, path, response.StatusCode, data)
	}
	return response.StatusCode
}

type restJob struct {
	UUID, Arguments, Result, Stdout, Stderr string
	Run                                     string
	Instance                                *string
	Duration                                *int
	Status                                  int
	Index                                   int     `json:"incremental_id"`
	BuildLogs                               string  `json:"build_logs"`
	Cost                                    float64 `json:"cost"`
}

// called creates a function, runs it, and returns its jobs in order when all have finished.
func (p *program) called(ctx context.Context, image, code, parameters string) []restJob {
	GinkgoHelper()
	var made struct{ UUID string }
	Expect(p.do(ctx, http.MethodPost, "/functions/", url.Values{"name": {"case"}, "image": {image}, "code": {code}}, &made)).To(Equal(http.StatusCreated))
	Expect(p.do(ctx, http.MethodPost, "/runs/", url.Values{"function": {made.UUID}, "parameters": {parameters}}, &made)).To(Equal(http.StatusCreated))
	var jobs []restJob
	Eventually(func(g Gomega) {
		jobs = nil
		g.Expect(p.do(ctx, http.MethodGet, "/jobs/?run="+made.UUID, nil, &jobs)).To(Equal(http.StatusOK))
		g.Expect(jobs).NotTo(BeEmpty())
		for i := range jobs {
			g.Expect(jobs[i].Status).To(BeNumerically(">=", 3))
			g.Expect(jobs[i].Index).To(Equal(len(jobs) - 1 - i))
		}
	}).WithContext(ctx).Should(Succeed())
	inOrder := make([]restJob, len(jobs))
	for i := range jobs {
		inOrder[jobs[i].Index] = jobs[i]
	}
	return inOrder
}

var _ = Describe("A program without access to the Kubernetes API", func() {
	It("gets the results of the documented cases through REST", func(ctx SpecContext) {
		needsLocalCluster("the address of the REST API, and the images of 2018")
		p := newProgram(ctx, newNamespace(ctx))

		By("greeting")
		jobs := p.called(ctx, imageWebCrawling, "import time\ndef handler(event):\n    print('for ' + event[0])\n    time.sleep(1)\n    return 'Hello ' + event[0]\n", "(('Michael',), ('World',))")
		Expect(jobs).To(HaveLen(2))
		for i, name := range []string{"Michael", "World"} {
			Expect(jobs[i].Status).To(Equal(3), jobs[i].Stderr)
			Expect(jobs[i].Result).To(Equal("Hello " + name))
			Expect(jobs[i].Stdout).To(Equal("for " + name + "\n"))
			Expect(jobs[i].Arguments).To(Equal("('" + name + "',)"))
			Expect(jobs[i].Duration).To(HaveValue(BeNumerically(">=", 1)))
			Expect(jobs[i].Instance).To(HaveValue(HaveLen(36)))
		}

		By("returning the same value for all inputs")
		jobs = p.called(ctx, imageWebCrawling, "def handler(event): return 42", "((1,),(2,),(3,))")
		for i := range 3 {
			Expect(jobs[i].Result).To(Equal("42"))
		}

		By("raising")
		jobs = p.called(ctx, imageWebCrawling, "def handler(event):\n    print('before')\n    raise Exception('This is a test Exception')\n", "((1,),)")
		Expect(jobs[0]).To(And(HaveField("Status", 4), HaveField("Result", ""), HaveField("Stdout", "before\n"),
			HaveField("Stderr", ContainSubstring("This is a test Exception"))))

		By("failing on code for another Python version")
		jobs = p.called(ctx, imageWebCrawling, "def handler(event):\n    print 'old'\n", "((1,),)")
		Expect(jobs[0]).To(And(HaveField("Status", 4), HaveField("Result", ""), HaveField("Stderr", ContainSubstring("SyntaxError"))))

		By("failing on code in another language")
		var wrong map[string][]string
		Expect(p.do(ctx, http.MethodPost, "/functions/", url.Values{"name": {"n"}, "image": {imageNode}, "code": {"def handler(event): return 42"}}, &wrong)).To(Equal(http.StatusBadRequest))
		Expect(wrong).To(HaveKeyWithValue("code", ContainElement(ContainSubstring("needs to have the following signature"))))
	}, SpecTimeout(3*time.Minute))

	It("reads the startup log of a worker that is gone, and runs on GPUs", func(ctx SpecContext) {
		needsLocalCluster("the address of the REST API, and the images of 2018")
		namespace := newNamespace(ctx)
		p := newProgram(ctx, namespace)
		var gpus []struct {
			UUID      string
			Available bool `json:"is_available"`
		}
		Expect(p.do(ctx, http.MethodGet, "/gpus/", nil, &gpus)).To(Equal(http.StatusOK))
		Expect(gpus).To(HaveLen(1))
		Expect(gpus[0].Available).To(BeTrue())
		var function, run struct{ UUID string }
		Expect(p.do(ctx, http.MethodPost, "/functions/", url.Values{"name": {"gpu"}, "image": {imageTensorFlow}, "code": {"import os\ndef handler(event): return sorted(k for k in os.environ if 'VISIBLE' in k)"}}, &function)).To(Equal(http.StatusCreated))
		Expect(p.do(ctx, http.MethodPost, "/runs/", url.Values{"function": {function.UUID}, "parameters": {"((1,),)"}, "base_gpu": {gpus[0].UUID}}, &run)).To(Equal(http.StatusCreated))
		var jobs []restJob
		Eventually(func(g Gomega) {
			jobs = nil
			g.Expect(p.do(ctx, http.MethodGet, "/jobs/?run="+run.UUID, nil, &jobs)).To(Equal(http.StatusOK))
			g.Expect(jobs).To(HaveLen(1))
			g.Expect(jobs[0].Status).To(Equal(3), jobs[0].Stderr)
			g.Expect(jobs[0].BuildLogs).To(And(ContainSubstring(" Scheduled: "), ContainSubstring(" Pulled: "), ContainSubstring(" Started: ")))
			pods := &corev1.PodList{}
			g.Expect(k8s.List(ctx, pods, client.InNamespace(namespace))).To(Succeed())
			g.Expect(pods.Items).To(BeEmpty())
		}).WithContext(ctx).Should(Succeed())
		Expect(p.do(ctx, http.MethodDelete, "/functions/"+function.UUID+"/", nil, nil)).To(Equal(http.StatusNoContent))
		Expect(p.do(ctx, http.MethodGet, fmt.Sprintf("/jobs/%s/", jobs[0].UUID), nil, nil)).To(Equal(http.StatusNotFound))
		runs := &v1alpha1.FunctionRunList{}
		Expect(k8s.List(ctx, runs, client.InNamespace(namespace))).To(Succeed())
		Expect(runs.Items).To(BeEmpty())
	}, SpecTimeout(2*time.Minute))
})
