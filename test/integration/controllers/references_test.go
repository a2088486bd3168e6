package controllers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// controlPlane creates users.
var controlPlane *envtest.Environment

// applyPolicies installs the policies in config/policy.
func applyPolicies(ctx SpecContext, root string) {
	GinkgoHelper()
	folder := filepath.Join(root, "config", "policy")
	data, err := os.ReadFile(filepath.Join(folder, "kustomization.yaml"))
	Expect(err).NotTo(HaveOccurred())
	var kustomization struct{ Resources []string }
	Expect(yaml.Unmarshal(data, &kustomization)).To(Succeed())
	Expect(kustomization.Resources).NotTo(BeEmpty())
	for _, file := range kustomization.Resources {
		applyFile(ctx, filepath.Join(folder, file))
	}
}

// reinstallPolicies deletes the policies that check references, which a spec has changed, and installs them again.
func reinstallPolicies(ctx SpecContext) {
	GinkgoHelper()
	for _, name := range v1alpha1.ReferencePolicies {
		for _, object := range []client.Object{&admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}} {
			object.SetName(name)
			Expect(client.IgnoreNotFound(k8s.Delete(ctx, object))).To(Succeed())
		}
	}
	applyPolicies(ctx, filepath.Join("..", "..", ".."))
}

func right(group, resource, verb string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: strings.Split(verb, ","), ResourceNames: names}
}

// functionWriter creates a user with the permissions of the role sharedcloud-edit on a namespace, and further rules.
func functionWriter(ctx SpecContext, namespace string, more ...rbacv1.PolicyRule) client.Client {
	GinkgoHelper()
	rules := append([]rbacv1.PolicyRule{
		right(v1alpha1.GroupName, "functions", "get,create,update,patch,delete"), right(v1alpha1.GroupName, "functionruns", "get,create,update,patch,delete"),
		right(v1alpha1.GroupName, "functionimages", "get,create,update,patch"),
	}, more...)
	name := fmt.Sprintf("tenant-%d", time.Now().UnixNano())
	user, err := controlPlane.AddUser(envtest.User{Name: name}, nil)
	Expect(err).NotTo(HaveOccurred())
	create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Rules: rules},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}}})
	last := rules[len(rules)-1]
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: name, ResourceAttributes: &authorizationv1.ResourceAttributes{
		Namespace: namespace, Group: last.APIGroups[0], Resource: last.Resources[0], Verb: last.Verbs[0], Name: strings.Join(last.ResourceNames[:min(1, len(last.ResourceNames))], "")}}}
	Eventually(func(g Gomega) { // the authorizer applies a rule shortly after it was created
		asked := review.DeepCopy()
		g.Expect(k8s.Create(ctx, asked)).To(Succeed())
		g.Expect(asked.Status.Allowed).To(BeTrue())
	}).WithContext(ctx).Should(Succeed())
	config := user.Config()
	config.QPS, config.Burst = 1000, 2000
	as, err := client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	return as
}

func envOfSecret(name string) v1alpha1.EnvVar {
	return v1alpha1.EnvVar{Name: "A", ValueFrom: &v1alpha1.EnvVarSource{SecretKeyRef: &v1alpha1.SecretKeySelector{Name: name, Key: "k"}}}
}

func envOfConfigMap(name string) v1alpha1.EnvVar {
	return v1alpha1.EnvVar{Name: "A", ValueFrom: &v1alpha1.EnvVarSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeySelector{Name: name, Key: "k"}}}
}

func withEnv(variables ...v1alpha1.EnvVar) func(*v1alpha1.Function) {
	return func(f *v1alpha1.Function) { f.Spec.Pod = &v1alpha1.PodSettings{Env: variables} }
}

func withVolume(volume v1alpha1.Volume) func(*v1alpha1.Function) {
	volume.Name = "v"
	return func(f *v1alpha1.Function) { f.Spec.Pod = &v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{volume}} }
}

func withCode(from v1alpha1.CodeSource) func(*v1alpha1.Function) {
	return func(f *v1alpha1.Function) { f.Spec.Code, f.Spec.CodeFrom = nil, &from }
}

// refusedTo waits until a write is refused as forbidden with these words: a policy takes effect shortly after it was applied.
func refusedTo(ctx SpecContext, write func() error, words ...string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		err := write()
		g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "want the write refused as forbidden, got %v", err)
		for _, word := range words {
			g.Expect(err.Error()).To(ContainSubstring(word))
		}
	}).WithContext(ctx).Should(Succeed())
}

// A function may use only objects that its writer may get.
var _ = DescribeTable("A Function of a tenant who may get nothing cannot name", func(ctx SpecContext, change func(*v1alpha1.Function), kind v1alpha1.ReferenceKind, field string) {
	namespace := newNamespace(ctx)
	poor := functionWriter(ctx, namespace)
	refusedTo(ctx, func() error { return poor.Create(ctx, builders.Function(namespace, "f", change), client.DryRunAll) },
		fmt.Sprintf("%s names the %s %q in the namespace %s, which you may not get: name one that you may get, or ask for the right to get it", field, kind.Kind, "private", namespace))
	rich := functionWriter(ctx, namespace, right("", kind.Resource, "get", "private"))
	Expect(rich.Create(ctx, builders.Function(namespace, "f", change), client.DryRunAll)).To(Succeed(), "a user who may get it by its name may name it")
	richest := functionWriter(ctx, namespace, right("", kind.Resource, "get"))
	Expect(richest.Create(ctx, builders.Function(namespace, "f", change), client.DryRunAll)).To(Succeed())
},
	//security:attack tenant | an environment variable names a Secret that the Function's writer may not get | 403 with the field, the Secret and what to do
	Entry("a Secret for a variable", withEnv(envOfSecret("private")), v1alpha1.KindSecret, "spec.pod.env[0].valueFrom.secretKeyRef.name"),
	//security:attack tenant | an environment variable names a ConfigMap that the Function's writer may not get | 403
	Entry("a ConfigMap for a variable", withEnv(envOfConfigMap("private")), v1alpha1.KindConfigMap, "spec.pod.env[0].valueFrom.configMapKeyRef.name"),
	//security:attack tenant | a volume names a Secret that the Function's writer may not get | 403
	Entry("a Secret for a volume", withVolume(v1alpha1.Volume{Secret: &v1alpha1.NamedSource{Name: "private"}}), v1alpha1.KindSecret, "spec.pod.volumes[0].secret.name"),
	//security:attack tenant | a volume names a ConfigMap that the Function's writer may not get | 403
	Entry("a ConfigMap for a volume", withVolume(v1alpha1.Volume{ConfigMap: &v1alpha1.NamedSource{Name: "private"}}), v1alpha1.KindConfigMap, "spec.pod.volumes[0].configMap.name"),
	//security:attack tenant | a volume names a claim that the Function's writer may not get | 403
	Entry("a claim", withVolume(v1alpha1.Volume{PersistentVolumeClaim: &v1alpha1.ClaimSource{ClaimName: "private"}}), v1alpha1.KindPersistentVolumeClaim, "spec.pod.volumes[0].persistentVolumeClaim.claimName"),
	//security:attack tenant | codeFrom shows a key of a ConfigMap that the Function's writer may not get | 403
	Entry("a ConfigMap's key for the code", withCode(v1alpha1.CodeSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "private", Key: "k"}}), v1alpha1.KindConfigMap, "spec.codeFrom.configMapKeyRef.name"),
	//security:attack tenant | codeFrom shows a whole ConfigMap that the Function's writer may not get | 403
	Entry("a ConfigMap for the code", withCode(v1alpha1.CodeSource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "private"}}), v1alpha1.KindConfigMap, "spec.codeFrom.configMapRef.name"),
)

var _ = Describe("What objects name", func() {
	//security:attack tenant | the code of a Function is changed under a Secret that another user named | every change of a spec checks everything that it names; labels may be changed
	It("is checked again with every change of the Function's spec, and not with changes of its metadata", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		poor := functionWriter(ctx, namespace)
		function := builders.Function(namespace, "f", withEnv(envOfSecret("keys")))
		create(ctx, function)
		code := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"code":"def handler(event): return __import__('os').environ\n"}}`))
		refusedTo(ctx, func() error { return poor.Patch(ctx, function.DeepCopy(), code) }, `names the Secret "keys"`)
		for _, spec := range []string{`{"spec":{"files":{"a.py":"x"}}}`, `{"spec":{"image":"other"}}`, `{"spec":{"name":"other"}}`} {
			refusedTo(ctx, func() error {
				return poor.Patch(ctx, function.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(spec)))
			}, `names the Secret "keys"`)
		}
		Expect(poor.Patch(ctx, function.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"},"finalizers":[]}}`)))).To(Succeed())
		Expect(poor.Patch(ctx, function.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"pod":null}}`)))).To(Succeed(), "it names nothing then")
		Expect(poor.Delete(ctx, function)).To(Succeed())
	}, SpecTimeout(90*time.Second))

	//security:attack tenant | more names than a policy can check | refused with an explanation
	It("is limited to twenty different objects, unless the writer may get all of a kind", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		var names []string
		var variables []v1alpha1.EnvVar
		for i := range 21 {
			names = append(names, fmt.Sprintf("s%d", i))
			variable := envOfSecret(names[i])
			variable.Name = fmt.Sprintf("A%d", i)
			variables = append(variables, variable)
		}
		byName, all := functionWriter(ctx, namespace, right("", "secrets", "get", names...)), functionWriter(ctx, namespace, right("", "secrets", "get"))
		refusedTo(ctx, func() error {
			return byName.Create(ctx, builders.Function(namespace, "f", withEnv(variables...)), client.DryRunAll)
		},
			"the Function names more than 20 different Secrets, ConfigMaps and PersistentVolumeClaims")
		Expect(byName.Create(ctx, builders.Function(namespace, "f", withEnv(variables[:20]...)), client.DryRunAll)).To(Succeed())
		Expect(all.Create(ctx, builders.Function(namespace, "f", withEnv(variables...)), client.DryRunAll)).To(Succeed())
	}, SpecTimeout(90*time.Second))

	//security:attack tenant | parametersFrom shows a ConfigMap that the run's creator may not get | 403 at creation; a user who may patch a run can always cancel it
	It("of a run is checked only when it is created", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		poor := functionWriter(ctx, namespace)
		inputs := func(r *v1alpha1.FunctionRun) {
			r.Spec.Parameters = nil
			r.Spec.ParametersFrom = &v1alpha1.ParametersSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "private", Key: "k"}}
		}
		refusedTo(ctx, func() error { return poor.Create(ctx, newRun(namespace, "r", "f", 0, inputs), client.DryRunAll) },
			`spec.parametersFrom.configMapKeyRef.name names the ConfigMap "private"`)
		run := newRun(namespace, "r", "f", 0, inputs)
		create(ctx, run)
		Expect(poor.Patch(ctx, run, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`)))).To(Succeed())
		Expect(poor.Create(ctx, newRun(namespace, "own", "f", 1))).To(Succeed(), "what the Function names was checked when it was written")
	}, SpecTimeout(90*time.Second))

	//security:attack tenant | an image of the namespace is pulled with a Secret that its writer may not get | 403
	It("of an image is checked", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		poor := functionWriter(ctx, namespace)
		image := func() *v1alpha1.FunctionImage {
			return builders.Image(namespace, "i", func(i *v1alpha1.FunctionImage) { i.Spec.ImagePullSecrets = []string{"registry"} })
		}
		refusedTo(ctx, func() error { return poor.Create(ctx, image(), client.DryRunAll) }, `spec.imagePullSecrets[0] names the Secret "registry"`)
		Expect(functionWriter(ctx, namespace, right("", "secrets", "get", "registry")).Create(ctx, image(), client.DryRunAll)).To(Succeed())
	}, SpecTimeout(90*time.Second))

	It("is not checked for users with the verb of the API server", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		exempt := functionWriter(ctx, namespace, right(v1alpha1.GroupName, "functions", v1alpha1.VerbSkipReferenceCheck))
		Expect(exempt.Create(ctx, builders.Function(namespace, "f", withEnv(envOfSecret("keys"))), client.DryRunAll)).To(Succeed())
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("Without the policies that check references", Serial, func() {
	//security:attack tenant | objects name Secrets and ConfigMaps while the policies are missing or changed | nothing that names one is pinned or read, and conditions explain what to do
	DescribeTable("nothing that names a reference is pinned", func(ctx SpecContext, away func(ctx SpecContext), words string) {
		namespace := newNamespace(ctx)
		older := builders.Function(namespace, "older", withEnv(envOfConfigMap("settings")))
		create(ctx, older)
		waitCondition(ctx, older, v1alpha1.ConditionReady)

		DeferCleanup(reinstallPolicies, NodeTimeout(time.Minute))
		away(ctx)
		manager.stop()
		manager = startManager(nil)
		create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "private", Namespace: namespace}, Data: map[string]string{"handler.py": "def handler(event): return 1\n", "inputs.json": "[[1]]"}})
		plain, named := builders.Function(namespace, "plain"), builders.Function(namespace, "named", withCode(v1alpha1.CodeSource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "private"}}))
		run := newRun(namespace, "r", "plain", 0, func(r *v1alpha1.FunctionRun) {
			r.Spec.ParametersFrom = &v1alpha1.ParametersSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "private", Key: "inputs.json"}}
		})
		ofOlder := newRun(namespace, "of-older", "older", 1)
		create(ctx, plain, named, run, ofOlder)
		waitCondition(ctx, plain, v1alpha1.ConditionReady)
		Expect(waitReason(ctx, named, v1alpha1.ReasonReferencesUnchecked)).To(SatisfyAll(
			ContainSubstring(`spec.codeFrom.configMapRef.name names the ConfigMap "private"`), ContainSubstring(words), ContainSubstring("apply config/policy")))
		Expect(waitReason(ctx, run, v1alpha1.ReasonReferencesUnchecked)).To(ContainSubstring(words))
		Expect(revisionsOf(ctx, Default, named)).To(BeEmpty())
		Expect(apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "r-inputs"}, &corev1.ConfigMap{}))).To(BeTrue(), "the inputs were not read")
		Eventually(func(g Gomega) {
			fresh(ctx, g, ofOlder)
			g.Expect(condition(ofOlder, v1alpha1.ConditionReady).Message).To(ContainSubstring(words))
			g.Expect(ofOlder.Status.Revision).To(BeNil())
		}).WithContext(ctx).Should(Succeed())

		reinstallPolicies(ctx)
		waitCondition(ctx, named, v1alpha1.ConditionReady)
		waitJob(ctx, run)
		waitJob(ctx, ofOlder)
	},
		Entry("when a policy is missing", func(ctx SpecContext) {
			Expect(k8s.Delete(ctx, &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PolicyFunctionReferences}})).To(Succeed())
		}, "the ValidatingAdmissionPolicy sharedcloud-function-references is missing", SpecTimeout(3*time.Minute)),
		Entry("when a binding is missing", func(ctx SpecContext) {
			Expect(k8s.Delete(ctx, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PolicyFunctionRunReferences}})).To(Succeed())
		}, "the ValidatingAdmissionPolicyBinding sharedcloud-functionrun-references is missing", SpecTimeout(3*time.Minute)),
		Entry("when a binding only warns", func(ctx SpecContext) {
			Expect(k8s.Patch(ctx, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PolicyFunctionReferences}},
				client.RawPatch(types.MergePatchType, []byte(`{"spec":{"validationActions":["Warn"]}}`)))).To(Succeed())
		}, "does not enforce the policy", SpecTimeout(3*time.Minute)),
		Entry("when a policy has another condition", func(ctx SpecContext) {
			Expect(k8s.Patch(ctx, &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PolicyFunctionReferences}},
				client.RawPatch(types.MergePatchType, []byte(`{"spec":{"matchConditions":[{"name":"never","expression":"false"}]}}`)))).To(Succeed())
		}, "differs from the one of this version", SpecTimeout(3*time.Minute)),
	)
})

var _ = DescribeTable("A Function is not ready with a setting that the administrator does not allow:", func(ctx SpecContext, change func(*v1alpha1.Function), words string) {
	namespace := newNamespace(ctx)
	function := builders.Function(namespace, "f", change)
	create(ctx, function)
	Expect(waitReason(ctx, function, v1alpha1.ReasonNotAllowed)).To(ContainSubstring(words))
	Expect(function.Status.Revision).To(BeNil())
},
	//security:attack tenant | a Function takes a priority class that preempts others | NotAllowed, unless the administrator's list has it
	Entry("a priority class", func(f *v1alpha1.Function) { f.Spec.PriorityClassName = ptr.To("high") }, "--allowed-priority-classes", SpecTimeout(90*time.Second)),
	//security:attack tenant | a Function takes a runtime class | NotAllowed, unless the administrator's list has it
	Entry("a runtime class", func(f *v1alpha1.Function) { f.Spec.Pod = &v1alpha1.PodSettings{RuntimeClassName: ptr.To("kata")} }, "--allowed-runtime-classes", SpecTimeout(90*time.Second)),
	//security:attack tenant | a Function tolerates every taint | NotAllowed, unless the administrator's list has it
	Entry("a toleration of every taint", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{Tolerations: []v1alpha1.Toleration{{Operator: corev1.TolerationOpExists}}}
	}, "tolerates every taint", SpecTimeout(90*time.Second)),
	//security:attack tenant | a Function tolerates the taint of the control plane | NotAllowed, unless the administrator's list has it
	Entry("a toleration of the control plane", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{Tolerations: []v1alpha1.Toleration{{Key: "node-role.kubernetes.io/control-plane", Operator: corev1.TolerationOpExists}}}
	}, "node-role.kubernetes.io/control-plane", SpecTimeout(90*time.Second)),
	//security:attack tenant | a Function runs as root | NotAllowed, unless the administrator allows it
	Entry("root", func(f *v1alpha1.Function) { f.Spec.Pod = &v1alpha1.PodSettings{RunAsUser: ptr.To[int64](0)} }, "--allow-root", SpecTimeout(90*time.Second)),
)

var _ = Describe("A run", func() {
	//security:attack tenant | a run takes another priority class than its Function | NotAllowed, nothing is pinned
	It("is not pinned with a priority class that the administrator does not allow", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(namespace, "r", "f", 1, func(r *v1alpha1.FunctionRun) { r.Spec.PriorityClassName = ptr.To("high") })
		create(ctx, builders.Function(namespace, "f"), run)
		Expect(waitReason(ctx, run, v1alpha1.ReasonNotAllowed)).To(ContainSubstring("--allowed-priority-classes"))
		Expect(run.Status.Revision).To(BeNil())
	}, SpecTimeout(90*time.Second))
})
