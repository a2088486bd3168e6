package apiserver

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-base/version"
)

// account creates a service account with the ClusterRole, if one is named, and returns a token of it.
func account(ctx context.Context, namespace, name, clusterRole string) string {
	GinkgoHelper()
	Expect(k8s.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}})).To(Succeed())
	if clusterRole != "" {
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: namespace + "-" + name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: namespace}},
		}
		Expect(k8s.Create(ctx, binding)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(k8s.Delete(ctx, binding)).To(Succeed()) })
	}
	request, err := clientset.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return request.Status.Token
}

// fetch reads a path of the API server with a token.
func fetch(ctx context.Context, path, token string) (int, []byte) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, api.url()+path, nil)
	Expect(err).NotTo(HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := api.client().Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, body
}

var _ = Describe("Profiles of the API server", func() {
	//security:attack anonymous | with --profiling, a profile is read without credentials, and with those of an account that may not get the path | 401 and 403
	It("are served to holders of the ClusterRole sharedcloud-profiler alone", func(ctx SpecContext) {
		api.restartWith("--profiling")
		installRights(ctx)
		namespace := newNamespace(ctx)
		profiler, tenant := account(ctx, namespace, "profiler", "sharedcloud-profiler"), account(ctx, namespace, "tenant", "")
		Eventually(func(g Gomega) { // the authorizer sees a new binding a moment after its creation
			status, profile := fetch(ctx, "/debug/pprof/heap", profiler)
			g.Expect(status).To(Equal(http.StatusOK), "%s", profile)
			g.Expect(profile).To(WithTransform(func(b []byte) string { return string(b) }, HavePrefix("\x1f\x8b")), "a profile is compressed")
		}).WithContext(ctx).Should(Succeed())
		status, profile := fetch(ctx, "/debug/pprof/profile?seconds=1", profiler)
		Expect(status).To(Equal(http.StatusOK), "%s", profile)

		for _, path := range []string{"/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=1", "/debug/pprof/cmdline"} {
			status, body := fetch(ctx, path, "")
			Expect(status).To(Equal(http.StatusUnauthorized), "%s: %s", path, body)
			status, body = fetch(ctx, path, tenant)
			Expect(status).To(Equal(http.StatusForbidden), "%s: %s", path, body)
		}
		status, _ = fetch(ctx, "/metrics", profiler)
		Expect(status).To(Equal(http.StatusForbidden), "the right to profiles is no right to metrics")
	}, SpecTimeout(timeout))

	It("are not served without --profiling", func(ctx SpecContext) {
		installRights(ctx)
		namespace := newNamespace(ctx)
		profiler := account(ctx, namespace, "profiler", "sharedcloud-profiler")
		Eventually(func() int {
			status, _ := fetch(ctx, "/debug/pprof/heap", profiler)
			return status
		}).WithContext(ctx).Should(Equal(http.StatusNotFound))
	}, SpecTimeout(timeout))
})

var _ = Describe("The version of the API server", func() {
	It("is the same at /version and in the OpenAPI that the aggregator serves", func(ctx SpecContext) {
		var info struct{ GitVersion, GitCommit, Major string }
		status, body := fetch(ctx, "/version", account(ctx, newNamespace(ctx), "reader", ""))
		Expect(status).To(Equal(http.StatusOK), "%s", body)
		Expect(json.Unmarshal(body, &info)).To(Succeed())
		own := version.Get()
		Expect(info.GitVersion).To(Equal(own.GitVersion))
		Expect(info.GitCommit).To(Equal(own.GitCommit))
		Expect(info.Major).To(Equal(own.Major), "it is the operator's version, not that of Kubernetes")
		var document struct{ Info struct{ Version string } }
		Eventually(func(g Gomega) {
			raw, err := clientset.CoreV1().RESTClient().Get().AbsPath("/openapi/v3/apis/subresources.sharedcloud.io/v1alpha1").DoRaw(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(json.Unmarshal(raw, &document)).To(Succeed())
			g.Expect(document.Info.Version).To(Equal(own.GitVersion))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(timeout))
})
