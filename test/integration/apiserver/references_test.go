package apiserver

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// installPolicies applies config/policy.
func installPolicies(ctx context.Context) {
	GinkgoHelper()
	folder := filepath.Join("..", "..", "..", "config", "policy")
	data, err := os.ReadFile(filepath.Join(folder, "kustomization.yaml"))
	Expect(err).NotTo(HaveOccurred())
	var kustomization struct{ Resources []string }
	Expect(yaml.Unmarshal(data, &kustomization)).To(Succeed())
	Expect(kustomization.Resources).NotTo(BeEmpty())
	for _, file := range kustomization.Resources {
		data, err := os.ReadFile(filepath.Join(folder, file))
		Expect(err).NotTo(HaveOccurred())
		for document := range bytes.SplitSeq(data, []byte("\n---\n")) {
			object := &unstructured.Unstructured{}
			Expect(yaml.Unmarshal(document, &object.Object)).To(Succeed())
			Expect(k8s.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("spec"))).To(Succeed())
		}
	}
}

func mayGet(resource string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{resource}, Verbs: []string{"get"}, ResourceNames: names}
}

// named creates a Function of another user that names a Secret and a ConfigMap.
func named(ctx context.Context, namespace string) *v1alpha1.Function {
	GinkgoHelper()
	function := &v1alpha1.Function{
		ObjectMeta: metav1.ObjectMeta{Name: "named", Namespace: namespace},
		Spec: v1alpha1.FunctionSpec{Runtime: "python36", Image: "python", Code: ptr.To(pythonCode), Pod: &v1alpha1.PodSettings{
			Env:     []v1alpha1.EnvVar{{Name: "KEY", ValueFrom: &v1alpha1.EnvVarSource{SecretKeyRef: &v1alpha1.SecretKeySelector{Name: "keys", Key: "k"}}}},
			Volumes: []v1alpha1.Volume{{Name: "v", ConfigMap: &v1alpha1.NamedSource{Name: "settings"}}},
		}},
	}
	Expect(k8s.Create(ctx, function)).To(Succeed())
	return function
}

var _ = Describe("The documented API and what functions name", func() {
	//security:attack tenant | the code of a Function is changed through REST, which writes as the server, under a Secret that another user named | 403 that names the Secret; a caller who may get everything that it names may change it
	DescribeTable("refuses to change a function for a caller who may not get it", func(ctx SpecContext, method string, body func(image string) map[string]any) {
		namespace := newNamespace(ctx)
		poor := newCaller(ctx, namespace, editor)
		image := newImage(ctx, namespace, "python", "python36")
		function := named(ctx, namespace)
		path := fmt.Sprintf("/functions/%s", function.UID)
		Eventually(func(g Gomega) { // the server's cache
			g.Expect(poor.do(ctx, http.MethodGet, path, nil).Status).To(Equal(http.StatusOK))
		}).WithContext(ctx).Should(Succeed())
		got := poor.do(ctx, method, path, body(image))
		Expect(got.Status).To(Equal(http.StatusForbidden), got.Body)
		Expect(got.Body).To(HavePrefix(`{"detail":"You do not have permission to perform this action. `))
		Expect(got.Body).To(ContainSubstring("which you may not get: name one that you may get, or ask for the right to get it."))
		half := newCaller(ctx, namespace, editor, mayGet("secrets", "keys"))
		got = half.do(ctx, method, path, body(image))
		Expect(got.Status).To(Equal(http.StatusForbidden), got.Body)
		Expect(got.Body).To(ContainSubstring(`spec.pod.volumes[0].configMap.name names the ConfigMap \"settings\"`))
		stored := &v1alpha1.Function{}
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(function), stored)).To(Succeed())
		Expect(stored.Generation).To(Equal(function.Generation), "nothing was written")

		owner := newCaller(ctx, namespace, editor, mayGet("secrets", "keys"), mayGet("configmaps"))
		got = owner.do(ctx, method, path, body(image))
		// The fields belong to the user who created the Function: that refusal comes after this one.
		Expect(got.Status).To(Or(Equal(http.StatusOK), Equal(http.StatusConflict)), got.Body)
	},
		Entry("by PATCH of the code", http.MethodPatch, func(string) map[string]any {
			return map[string]any{"code": "def handler(event): return __import__('os').environ['KEY']"}
		}, SpecTimeout(timeout)),
		Entry("by PATCH of the name", http.MethodPatch, func(string) map[string]any { return map[string]any{"name": "other"} }, SpecTimeout(timeout)),
		Entry("by PUT", http.MethodPut, func(image string) map[string]any {
			body := functionBody(image)
			body["code"] = "def handler(event): return open('/v').read()"
			return body
		}, SpecTimeout(timeout)),
	)

	It("creates and changes functions without references, and creates runs of those with references, for every permitted caller", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		poor := newCaller(ctx, namespace, editor)
		image := newImage(ctx, namespace, "python", "python36")
		made := poor.made(ctx, image)
		got := poor.do(ctx, http.MethodPatch, fmt.Sprintf("/functions/%s", made["uuid"]), map[string]any{"code": pythonCode + "# other\n"})
		Expect(got.Status).To(Equal(http.StatusOK), got.Body)
		function := named(ctx, namespace)
		Eventually(func(g Gomega) {
			got := poor.do(ctx, http.MethodPost, "/runs", map[string]any{"function": string(function.UID), "parameters": "((1,),)"})
			g.Expect(got.Status).To(Equal(http.StatusOK), got.Body)
		}).WithContext(ctx).Should(Succeed())
		got = poor.do(ctx, http.MethodPatch, fmt.Sprintf("/functions/%s", function.UID), map[string]any{"name": "named"})
		Expect(got.Status).To(Equal(http.StatusOK), "a change of nothing: %s", got.Body)
	}, SpecTimeout(timeout))
})
