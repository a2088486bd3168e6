package controllers

import (
	"encoding/json"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// refused expects that the API server refuses the object with an error that contains the words.
func refused(ctx SpecContext, object client.Object, words ...string) {
	GinkgoHelper()
	object.SetNamespace("default")
	if object.GetName() == "" {
		object.SetName("refused")
	}
	err := k8s.Create(ctx, object, client.DryRunAll)
	Expect(apierrors.IsInvalid(err)).To(BeTrue(), "want the object refused as invalid, got %v", err)
	for _, word := range words {
		Expect(err.Error()).To(ContainSubstring(word))
	}
}

var _ = DescribeTable("A Function is refused", func(ctx SpecContext, change func(*v1alpha1.Function), words ...string) {
	refused(ctx, builders.Function("", "", change), words...)
},
	Entry("with neither code nor codeFrom", func(f *v1alpha1.Function) { f.Spec.Code = nil },
		"exactly one of spec.code and spec.codeFrom must be set: put the source text into spec.code"),
	Entry("with both code and codeFrom", func(f *v1alpha1.Function) {
		f.Spec.CodeFrom = &v1alpha1.CodeSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "code", Key: "handler.py"}}
	}, "exactly one of spec.code and spec.codeFrom must be set"),
	Entry("with a key and a whole ConfigMap", func(f *v1alpha1.Function) {
		f.Spec.Code = nil
		f.Spec.CodeFrom = &v1alpha1.CodeSource{
			ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "code", Key: "handler.py"}, ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "code"},
		}
	}, "spec.codeFrom", "exactly one of the fields in [configMapKeyRef configMapRef] must be set"),
	Entry("with an empty source of code", func(f *v1alpha1.Function) { f.Spec.Code, f.Spec.CodeFrom = nil, &v1alpha1.CodeSource{} },
		"exactly one of the fields in [configMapKeyRef configMapRef] must be set"),
	Entry("with files beside code that is in a ConfigMap", func(f *v1alpha1.Function) {
		f.Spec.Code, f.Spec.CodeFrom = nil, &v1alpha1.CodeSource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "code"}}
		f.Spec.Files = map[string]v1alpha1.FileText{"util.py": ""}
	}, "spec.files requires spec.code"),
	Entry("with empty code", func(f *v1alpha1.Function) { f.Spec.Code = ptr.To("") }, "spec.code"),
	//security:attack tenant | stores code over the limit | admission refuses the Function
	Entry("with code over the limit", func(f *v1alpha1.Function) { f.Spec.Code = ptr.To(strings.Repeat("#", 921601)) }, "spec.code", "921600"),
	Entry("without an image", func(f *v1alpha1.Function) { f.Spec.Image = "" }, "spec.image"),
	Entry("with a registry's path for an image", func(f *v1alpha1.Function) { f.Spec.Image = "docker.io/library/python:3" },
		"spec.image must be the name of a FunctionImage", "not an image reference"),
	Entry("with a runtime without a version", func(f *v1alpha1.Function) { f.Spec.Runtime = "python" }, "spec.runtime"),
	Entry("with a name that is not a label", func(f *v1alpha1.Function) { f.Name = strings.Repeat("a", 64) },
		"metadata.name must be no more than 63 characters"),
	//security:attack tenant | asks for more GPUs than any node has | admission refuses the Function
	Entry("with more GPUs than any node has", func(f *v1alpha1.Function) { f.Spec.GPUs = ptr.To[int32](65) }, "spec.gpus"),
	Entry("with a GPU product that is not a label value", func(f *v1alpha1.Function) { f.Spec.GPUProducts = []string{"Tesla T4"} }, "spec.gpuProducts[0]"),
	Entry("with a GPU product twice", func(f *v1alpha1.Function) { f.Spec.GPUProducts = []string{"A", "A"} }, "spec.gpuProducts[1]", "Duplicate"),
	Entry("with no workers", func(f *v1alpha1.Function) { f.Spec.Workers = ptr.To[int32](0) }, "spec.workers"),
	Entry("with a time limit of zero", func(f *v1alpha1.Function) { f.Spec.TimeoutSeconds = ptr.To[int32](0) }, "spec.timeoutSeconds"),
	Entry("with a negative number of retries", func(f *v1alpha1.Function) { f.Spec.Retries = ptr.To[int32](-1) }, "spec.retries"),
	Entry("with a delay over five minutes", func(f *v1alpha1.Function) { f.Spec.RetryDelaySeconds = ptr.To[int32](301) }, "spec.retryDelaySeconds"),
	Entry("with an error that has no name", func(f *v1alpha1.Function) { f.Spec.NonRetryableErrors = []string{""} }, "spec.nonRetryableErrors[0]"),
	Entry("with a negative limit of failures", func(f *v1alpha1.Function) { f.Spec.MaxFailures = ptr.To[int32](-1) }, "spec.maxFailures"),
	Entry("with a deadline of zero", func(f *v1alpha1.Function) { f.Spec.ActiveDeadlineSeconds = ptr.To[int32](0) }, "spec.activeDeadlineSeconds"),
	Entry("with an invalid priority class", func(f *v1alpha1.Function) { f.Spec.PriorityClassName = ptr.To("High!") },
		"spec.priorityClassName must be the name of a PriorityClass"),
	Entry("with CPUs as GPU resource", func(f *v1alpha1.Function) { f.Spec.GPUResource = ptr.To("cpu") },
		"spec.gpuResource must be an extended resource that includes the domain of its device plugin, such as nvidia.com/mig-1g.10gb"),
	Entry("with a resource of Kubernetes as GPU resource", func(f *v1alpha1.Function) { f.Spec.GPUResource = ptr.To("kubernetes.io/gpu") },
		"spec.gpuResource must be an extended resource"),
	Entry("with an empty history", func(f *v1alpha1.Function) { f.Spec.RevisionHistoryLimit = ptr.To[int32](0) }, "spec.revisionHistoryLimit"),
	//security:attack tenant | sets an environment variable that the operator owns | admission refuses the Function
	Entry("with a variable of the operator's", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{Env: []v1alpha1.EnvVar{{Name: "SHAREDCLOUD_TOKEN_FILE", Value: "/x"}}}
	}, "spec.pod.env", "choose another name"),
	//security:attack tenant | names a volume as the operator names its own | admission refuses the Function
	Entry("with a volume of the operator's name", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{{Name: "sharedcloud-code", EmptyDir: &v1alpha1.EmptyDir{}}}}
	}, "sharedcloud- are reserved"),
	Entry("with a volume of two sources", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{{Name: "v", EmptyDir: &v1alpha1.EmptyDir{}, Secret: &v1alpha1.NamedSource{Name: "s"}}}}
	}, "exactly one of the fields in [configMap secret emptyDir persistentVolumeClaim] must be set"),
	Entry("with a volume without a source", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{{Name: "v"}}}
	}, "exactly one of the fields in [configMap secret emptyDir persistentVolumeClaim] must be set"),
	//security:attack tenant | mounts a volume over the operator's files in the worker | admission refuses the Function
	Entry("with a mount over the operator's files", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{VolumeMounts: []v1alpha1.VolumeMount{{Name: "v", MountPath: "/sharedcloud/code"}}}
	}, "must be outside /sharedcloud"),
	Entry("with a mount at a relative path", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{VolumeMounts: []v1alpha1.VolumeMount{{Name: "v", MountPath: "data"}}}
	}, "mountPath must be an absolute path"),
	Entry("with an unknown medium", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{{Name: "v", EmptyDir: &v1alpha1.EmptyDir{Medium: "Disk"}}}}
	}, "medium"),
)

// Pod settings are an allow-list and not a PodSpec: other fields do not exist.
var _ = DescribeTable("A Function cannot set", func(ctx SpecContext, path ...string) {
	function := builders.Function("default", "strict")
	function.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Function"))
	raw, err := json.Marshal(function)
	Expect(err).NotTo(HaveOccurred())
	object := &unstructured.Unstructured{}
	Expect(json.Unmarshal(raw, object)).To(Succeed())
	unstructured.RemoveNestedField(object.Object, "status")
	Expect(unstructured.SetNestedField(object.Object, map[string]any{}, append([]string{"spec", "pod"}, path...)...)).To(Succeed())
	err = k8s.Create(ctx, object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
	Expect(err).To(MatchError(ContainSubstring("unknown field")))
},
	//security:attack tenant | sets hostNetwork in the pod settings | the field is unknown: admission refuses it under strict validation and drops it otherwise
	Entry("hostNetwork", "hostNetwork"),
	//security:attack tenant | sets a security context in the pod settings | the field is unknown and never reaches a pod
	Entry("securityContext", "securityContext"),
	Entry("containers", "containers"),
	//security:attack tenant | adds an init container in the pod settings | the field is unknown and never reaches a pod
	Entry("initContainers", "initContainers"),
	//security:attack tenant | chooses a service account in the pod settings | the field is unknown and never reaches a pod
	Entry("serviceAccountName", "serviceAccountName"),
	Entry("affinity", "affinity"),
)

var _ = DescribeTable("A FunctionImage is refused", func(ctx SpecContext, change func(*v1alpha1.FunctionImage), words ...string) {
	image := &v1alpha1.FunctionImage{Spec: v1alpha1.FunctionImageSpec{RegistryPath: "sharedcloud/python:latest", Runtime: "python311"}}
	change(image)
	refused(ctx, image, words...)
},
	Entry("without a path", func(i *v1alpha1.FunctionImage) { i.Spec.RegistryPath = "" }, "spec.registryPath"),
	Entry("with a space in its path", func(i *v1alpha1.FunctionImage) { i.Spec.RegistryPath = "a b" }, "spec.registryPath"),
	Entry("without a runtime", func(i *v1alpha1.FunctionImage) { i.Spec.Runtime = "" }, "spec.runtime"),
	Entry("with an unknown pull policy", func(i *v1alpha1.FunctionImage) { i.Spec.ImagePullPolicy = "Sometimes" }, "spec.imagePullPolicy"),
	Entry("with a name that is not a label", func(i *v1alpha1.FunctionImage) { i.Name = strings.Repeat("a", 64) }, "metadata.name must be no more than 63 characters"),
)

var _ = DescribeTable("A FunctionRun is refused", func(ctx SpecContext, change func(*v1alpha1.FunctionRun), words ...string) {
	refused(ctx, newRun("", "", "f", 1, change), words...)
},
	Entry("without inputs", func(r *v1alpha1.FunctionRun) { r.Spec.Parameters = nil },
		"none of spec.parameters, spec.parametersLiteral and spec.parametersFrom is set: put a list of inputs such as [[1, 2], [3, 4]] into spec.parameters"),
	Entry("with both forms of inputs", func(r *v1alpha1.FunctionRun) { r.Spec.ParametersLiteral = ptr.To("((1,),)") },
		"more than one of spec.parameters, spec.parametersLiteral and spec.parametersFrom is set: set exactly one of them"),
	Entry("without a function", func(r *v1alpha1.FunctionRun) { r.Spec.FunctionRef.Name = "" }, "spec.functionRef"),
	Entry("with a name that is not a label", func(r *v1alpha1.FunctionRun) { r.Name = strings.Repeat("a", 64) }, "metadata.name must be no more than 63 characters"),
	Entry("with a literal that is too short", func(r *v1alpha1.FunctionRun) {
		r.Spec.Parameters, r.Spec.ParametersLiteral = nil, ptr.To("(")
	}, "spec.parametersLiteral"),
	Entry("with a negative TTL of its results", func(r *v1alpha1.FunctionRun) { r.Spec.ResultsTTLSecondsAfterFinished = ptr.To[int32](-1) }, "spec.resultsTTLSecondsAfterFinished"),
	Entry("with a negative TTL", func(r *v1alpha1.FunctionRun) { r.Spec.TTLSecondsAfterFinished = ptr.To[int32](-1) }, "spec.ttlSecondsAfterFinished"),
)

var _ = DescribeTable("A change of a FunctionRun is refused", func(ctx SpecContext, before, change func(*v1alpha1.FunctionRun), words ...string) {
	run := newRun(newNamespace(ctx), "r", "missing", 2, before)
	create(ctx, run)
	Eventually(func(g Gomega) { // the controllers write the status at the same time
		fresh(ctx, g, run)
		change(run)
		err := k8s.Update(ctx, run)
		g.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "want the change refused as invalid, got %v", err)
		for _, word := range words {
			g.Expect(err.Error()).To(ContainSubstring(word))
		}
	}).WithContext(ctx).Should(Succeed())
},
	Entry("of an input", none, func(r *v1alpha1.FunctionRun) { r.Spec.Parameters[1][0].Raw = []byte("2") },
		"spec.parameters is immutable: create a new FunctionRun"),
	Entry("of the number of inputs", none, func(r *v1alpha1.FunctionRun) { r.Spec.Parameters = r.Spec.Parameters[:1] },
		"spec.parameters is immutable: create a new FunctionRun"),
	Entry("from one form of inputs to the other", none, func(r *v1alpha1.FunctionRun) {
		r.Spec.Parameters, r.Spec.ParametersLiteral = nil, ptr.To("((1,),)")
	}, "spec.parametersLiteral is immutable: create a new FunctionRun"),
	Entry("that removes the inputs", none, func(r *v1alpha1.FunctionRun) { r.Spec.Parameters = nil },
		"none of spec.parameters, spec.parametersLiteral and spec.parametersFrom is set"),
	Entry("of the literal", literal, func(r *v1alpha1.FunctionRun) { r.Spec.ParametersLiteral = ptr.To("((2,),)") },
		"spec.parametersLiteral is immutable: create a new FunctionRun"),
	Entry("of the function", none, func(r *v1alpha1.FunctionRun) { r.Spec.FunctionRef.Name = "another" },
		"spec.functionRef is immutable: create a new FunctionRun"),
	Entry("of the GPUs", none, func(r *v1alpha1.FunctionRun) { r.Spec.GPUs = ptr.To[int32](1) }, "spec.gpus is immutable: create a new FunctionRun"),
	Entry("of the GPU products", none, func(r *v1alpha1.FunctionRun) { r.Spec.GPUProducts = []string{"NVIDIA-A100-SXM4-80GB"} },
		"spec.gpuProducts is immutable: create a new FunctionRun"),
	Entry("of one of the GPU products", func(r *v1alpha1.FunctionRun) { r.Spec.GPUProducts = []string{"A", "B"} },
		func(r *v1alpha1.FunctionRun) { r.Spec.GPUProducts = []string{"A", "C"} }, "spec.gpuProducts is immutable: create a new FunctionRun"),
	Entry("to no workers", none, func(r *v1alpha1.FunctionRun) { r.Spec.Workers = ptr.To[int32](0) }, "spec.workers"),
	Entry("of the time limit", none, func(r *v1alpha1.FunctionRun) { r.Spec.TimeoutSeconds = ptr.To[int32](1) }, "spec.timeoutSeconds is immutable: create a new FunctionRun"),
	Entry("of the retries", none, func(r *v1alpha1.FunctionRun) { r.Spec.Retries = ptr.To[int32](1) }, "spec.retries is immutable: create a new FunctionRun"),
	Entry("of the delay", none, func(r *v1alpha1.FunctionRun) { r.Spec.RetryDelaySeconds = ptr.To[int32](1) }, "spec.retryDelaySeconds is immutable: create a new FunctionRun"),
	Entry("of the non-retryable errors", none, func(r *v1alpha1.FunctionRun) { r.Spec.NonRetryableErrors = []string{"KeyError"} },
		"spec.nonRetryableErrors is immutable: create a new FunctionRun"),
	Entry("of the limit of failures", none, func(r *v1alpha1.FunctionRun) { r.Spec.MaxFailures = ptr.To[int32](1) }, "spec.maxFailures is immutable: create a new FunctionRun"),
	Entry("of the deadline", none, func(r *v1alpha1.FunctionRun) { r.Spec.ActiveDeadlineSeconds = ptr.To[int32](1) },
		"spec.activeDeadlineSeconds is immutable: create a new FunctionRun"),
	Entry("of the priority", none, func(r *v1alpha1.FunctionRun) { r.Spec.PriorityClassName = ptr.To("high") }, "spec.priorityClassName is immutable: create a new FunctionRun"),
	Entry("of the resource", none, func(r *v1alpha1.FunctionRun) { r.Spec.GPUResource = ptr.To("amd.com/gpu") }, "spec.gpuResource is immutable: create a new FunctionRun"),
	Entry("that reverts a cancellation", func(r *v1alpha1.FunctionRun) { r.Spec.Cancel = true },
		func(r *v1alpha1.FunctionRun) { r.Spec.Cancel = false }, "spec.cancel cannot be changed back to false: create a new FunctionRun"),
)

func none(*v1alpha1.FunctionRun) {}

func literal(r *v1alpha1.FunctionRun) {
	r.Spec.Parameters, r.Spec.ParametersLiteral = nil, ptr.To("((1,),)")
}

var _ = Describe("Admission accepts", func() {
	It("every JSON value as an input, as it is", func(ctx SpecContext) {
		run := newRun(newNamespace(ctx), "values", "missing", 0)
		for _, value := range []string{"null", "true", "-1.5e300", "12345678901234567", `"ä\u0000"`, "[]", `[1, [null]]`, `{}`, `{"a": null, "b": {"c": []}}`} {
			run.Spec.Parameters = append(run.Spec.Parameters, v1alpha1.Input{apiextensionsv1.JSON{Raw: []byte(value)}})
		}
		run.Spec.Parameters = append(run.Spec.Parameters, v1alpha1.Input{})
		want, err := json.Marshal(run.Spec.Parameters)
		Expect(err).NotTo(HaveOccurred())
		create(ctx, run)
		got, err := json.Marshal(fresh(ctx, Default, run).Spec.Parameters)
		Expect(err).NotTo(HaveOccurred())
		Expect(got).To(MatchJSON(want))
	}, SpecTimeout(90*time.Second))

	It("a literal, suspension, cancellation, workers and TTLs, and changes of all but the literal", func(ctx SpecContext) {
		run := newRun(newNamespace(ctx), "changes", "missing", 0, literal)
		create(ctx, run)
		Eventually(func(g Gomega) {
			fresh(ctx, g, run)
			run.Spec.Suspend, run.Spec.Cancel, run.Spec.TTLSecondsAfterFinished = true, true, ptr.To[int32](5)
			run.Spec.ResultsTTLSecondsAfterFinished, run.Spec.Workers = ptr.To[int32](3), ptr.To[int32](3)
			g.Expect(k8s.Update(ctx, run)).To(Succeed())
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))

	It("a change of labels of a run with many inputs", func(ctx SpecContext) {
		run := newRun(newNamespace(ctx), "large", "missing", 100_000)
		create(ctx, run)
		Eventually(func(g Gomega) {
			fresh(ctx, g, run)
			run.Labels = map[string]string{"a": "b"}
			g.Expect(k8s.Update(ctx, run)).To(Succeed())
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))
})
