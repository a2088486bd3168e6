package apiserver

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// refuseAll creates a policy that refuses all objects of an API group in one namespace.
func refuseAll(ctx context.Context, name, group, namespace string) {
	GinkgoHelper()
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: ptr.To(admissionregistrationv1.Fail),
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: []string{"*/*"}},
				},
			}}},
			Validations: []admissionregistrationv1.Validation{{Expression: "false", Message: "refused by " + name}},
		},
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
			MatchResources: &admissionregistrationv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}},
		},
	}
	for _, object := range []client.Object{policy, binding} {
		Expect(k8s.Create(ctx, object)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(client.IgnoreNotFound(k8s.Delete(ctx, object))).To(Succeed()) })
	}
}

var _ = Describe("Admission rules", func() {
	//security:attack administrator | an admission rule is written for the aggregated kinds | it is never applied, as SECURITY.md says; the same rule on the custom resources holds for what the aggregated API creates
	It("do not apply to the aggregated kinds, and apply to the custom resources that they create", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		Expect(k8s.Create(ctx, &v1alpha1.Function{
			ObjectMeta: metav1.ObjectMeta{Name: "f", Namespace: namespace},
			Spec:       v1alpha1.FunctionSpec{Runtime: "python311", Image: "python", Code: ptr.To("def handler(event): pass")},
		})).To(Succeed())
		post := func(name string) error {
			data, err := clientset.CoreV1().RESTClient().Post().AbsPath("/apis/subresources.sharedcloud.io/v1alpha1/namespaces", namespace, "functions", "f", "run").
				Param("format", "ndjson").Param("name", name).Body([]byte("[1]\n")).DoRaw(ctx)
			if err != nil {
				return apierrors.NewBadRequest(string(data))
			}
			return nil
		}
		refuseAll(ctx, "spec-aggregated", "subresources.sharedcloud.io", namespace)
		refuseAll(ctx, "spec-custom", v1alpha1.GroupName, namespace)
		direct := newRunObject(namespace)
		Eventually(func() error { return k8s.Create(ctx, direct.DeepCopy(), client.DryRunAll) }).WithContext(ctx).
			Should(MatchError(ContainSubstring("refused by spec-custom")))

		By("calling the aggregated API with a rule on the custom resources")
		Expect(post("guarded")).To(MatchError(SatisfyAll(ContainSubstring("refused by spec-custom"), Not(ContainSubstring("spec-aggregated")))))

		By("calling it with a rule on the aggregated kinds only")
		Expect(k8s.Delete(ctx, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "spec-custom"}})).To(Succeed())
		Eventually(func() error { return k8s.Create(ctx, direct.DeepCopy(), client.DryRunAll) }).WithContext(ctx).Should(Succeed())
		Expect(post("open")).To(Succeed())
	}, SpecTimeout(timeout))
})

func newRunObject(namespace string) *v1alpha1.FunctionRun {
	return &v1alpha1.FunctionRun{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "direct-", Namespace: namespace},
		Spec:       v1alpha1.FunctionRunSpec{FunctionRef: v1alpha1.FunctionReference{Name: "f"}, ParametersLiteral: ptr.To("((1,),)")},
	}
}
