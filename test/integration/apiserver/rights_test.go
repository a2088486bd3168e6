package apiserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// installRights applies the roles and bindings of config/default as kubectl renders them. New objects are deleted after the spec:
// other specs depend on missing rights.
func installRights(ctx context.Context) {
	GinkgoHelper()
	command := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "kustomize", filepath.Join("..", "..", "..", "config", "default"))
	command.Stderr = GinkgoWriter
	text, err := command.Output()
	Expect(err).NotTo(HaveOccurred())
	decoder, count := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096), 0
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			break
		}
		Expect(err).NotTo(HaveOccurred())
		if object.GroupVersionKind().Group != "rbac.authorization.k8s.io" {
			continue
		}
		count++
		if apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(object), object.DeepCopy())) {
			DeferCleanup(func(ctx context.Context) { Expect(k8s.Delete(ctx, object)).To(Succeed()) })
		}
		Expect(k8s.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("spec"), client.ForceOwnership)).To(Succeed())
	}
	Expect(count).To(BeNumerically(">", 8))
}

const (
	managerAccount = "sharedcloud-controller-manager"
	serverAccount  = "sharedcloud-apiserver"
)

// accountMay checks whether an account may do "verb resource.group/subresource namespace name".
func accountMay(ctx context.Context, account, right string) bool {
	GinkgoHelper()
	words := strings.Fields(right)
	resource, subresource, _ := strings.Cut(words[1], "/")
	resource, group, _ := strings.Cut(resource, ".")
	attributes := &authorizationv1.ResourceAttributes{Verb: words[0], Group: group, Resource: resource, Subresource: subresource}
	if len(words) > 2 && words[2] != "*" {
		attributes.Namespace = words[2]
	}
	if len(words) > 3 {
		attributes.Name = words[3]
	}
	review, err := clientset.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + systemNamespace + ":" + account,
			Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + systemNamespace, "system:authenticated"},
			ResourceAttributes: attributes,
		},
	}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return review.Status.Allowed
}

// forbidden is what neither account may do in any namespace.
var forbidden = []string{
	"get secrets * some", "list secrets *", "watch secrets *", "get secrets default some", "list secrets default", "create secrets default",
	"get secrets sharedcloud-system some", "list secrets sharedcloud-system", "watch secrets sharedcloud-system",
	"delete secrets sharedcloud-system sharedcloud-ca", "update secrets sharedcloud-system some",
	"impersonate users *", "impersonate groups *", "impersonate serviceaccounts *", "impersonate uids.authentication.k8s.io *",
	"bind clusterroles.rbac.authorization.k8s.io *", "escalate clusterroles.rbac.authorization.k8s.io *", "bind roles.rbac.authorization.k8s.io default",
	"create clusterrolebindings.rbac.authorization.k8s.io *", "create rolebindings.rbac.authorization.k8s.io default", "update clusterroles.rbac.authorization.k8s.io *",
	"create pods default", "delete pods default", "patch pods default", "create pods/exec default", "get pods/exec default", "create pods/attach default",
	"create pods/ephemeralcontainers default", "patch pods/ephemeralcontainers default", "create pods/portforward default", "get pods/log default",
	"create serviceaccounts/token default", "create serviceaccounts/token sharedcloud-system", "create serviceaccounts default",
	"create deployments.apps default", "patch deployments.apps sharedcloud-system", "create daemonsets.apps default", "create cronjobs.batch default",
	"patch nodes *", "get nodes/proxy *", "create nodes/proxy *", "patch namespaces *", "create namespaces *", "delete namespaces *",
	"create validatingwebhookconfigurations.admissionregistration.k8s.io *", "patch validatingadmissionpolicies.admissionregistration.k8s.io *",
	"patch customresourcedefinitions.apiextensions.k8s.io *", "create certificatesigningrequests.certificates.k8s.io *",
	"approve signers.certificates.k8s.io *", "create apiservices.apiregistration.k8s.io *", "patch apiservices.apiregistration.k8s.io * v1.apps",
	"delete apiservices.apiregistration.k8s.io * v1.rest.sharedcloud.io", "deletecollection functionruns.sharedcloud.io default",
	"create functionimages.sharedcloud.io default", "patch functionimages.sharedcloud.io default", "delete functionimages.sharedcloud.io default",
	"assign-tenants namespaces *", "update leases.coordination.k8s.io kube-system", "get persistentvolumes *", "create persistentvolumeclaims default",
}

var _ = Describe("The rights of the two programs", func() {
	//security:attack administrator | one of the two programs is taken over: its account asks for Secrets, pods, identities and rights of others | the authorizer of the real control plane denies each
	It("are limited to what they need", func(ctx SpecContext) {
		installRights(ctx)
		By("waiting until the authorizer has observed the roles")
		for account, right := range map[string]string{managerAccount: "create jobs.batch default", serverAccount: "create functionruns.sharedcloud.io default"} {
			Eventually(func() bool { return accountMay(ctx, account, right) }).WithContext(ctx).Should(BeTrue(), "%s: %s", account, right)
		}
		for _, account := range []string{managerAccount, serverAccount} {
			for _, right := range forbidden {
				Expect(accountMay(ctx, account, right)).To(BeFalse(), "%s may %s", account, right)
			}
		}
		for _, right := range []string{
			"create jobs.batch default", "patch jobs.batch default", "create configmaps default", "patch configmaps default", "delete configmaps default",
			"list configmaps *", "get secrets sharedcloud-system sharedcloud-ca", "get secrets sharedcloud-system sharedcloud-apiserver-tls",
			"create secrets sharedcloud-system", "create events default", "patch functions.sharedcloud.io/status default",
		} {
			Expect(accountMay(ctx, serverAccount, right)).To(BeFalse(), "the API server may %s", right)
		}
		for _, right := range []string{
			"create functions.sharedcloud.io default", "patch functions.sharedcloud.io default", "delete functions.sharedcloud.io default",
			"create functionruns.sharedcloud.io default", "patch functionruns.sharedcloud.io default", "list nodes *", "list events default",
		} {
			Expect(accountMay(ctx, managerAccount, right)).To(BeFalse(), "the manager may %s", right)
		}
		By("naming the two Secrets of the manager")
		for _, name := range []string{"sharedcloud-ca", "sharedcloud-apiserver-tls"} {
			for _, verb := range []string{"get", "list", "watch", "update"} {
				Eventually(func() bool { return accountMay(ctx, managerAccount, verb+" secrets "+systemNamespace+" "+name) }).
					WithContext(ctx).Should(BeTrue(), "%s %s", verb, name)
			}
			Expect(accountMay(ctx, managerAccount, "get secrets default "+name)).To(BeFalse())
		}
	}, SpecTimeout(timeout))

	//security:attack anonymous | metrics, profiles, flags or the OpenAPI are read without credentials | 401 or 404, on the server's own port
	It("protect metrics, profiles and flags", func(ctx SpecContext) {
		for _, path := range []string{"/metrics", "/metrics/slis", "/debug/pprof/", "/debug/pprof/heap", "/debug/flags/v", "/openapi/v3", "/openapi/v2", "/version", "/apis", "/statusz", "/flagz", "/configz", "/logs", "/"} {
			status, body := get(api.client(), api.url()+path)
			Expect(status).To(BeElementOf(http.StatusUnauthorized, http.StatusNotFound), "%s: %s", path, body)
			Expect(body).NotTo(ContainSubstring("go_goroutines"))
		}
	}, SpecTimeout(timeout))
})
