package controllers

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

func fromConfigMap(name, key string) func(*v1alpha1.FunctionRun) {
	return func(run *v1alpha1.FunctionRun) {
		run.Spec.Parameters = nil
		run.Spec.ParametersFrom = &v1alpha1.ParametersSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: name, Key: key}}
	}
}

func newConfigMap(namespace, name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data}
}

var _ = Describe("A run whose inputs are in a ConfigMap", func() {
	It("reports that it waits for them, copies them, and is pinned with the copy even if the source is deleted", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(namespace, "r", "f", 0, fromConfigMap("source", "inputs.ndjson"))
		create(ctx, builders.Function(namespace, "f"), run)
		Expect(waitReason(ctx, run, v1alpha1.ReasonInputsMissing)).To(ContainSubstring("no ConfigMap source in the namespace " + namespace))
		Expect(kstatus(ctx, run)).To(Equal(status.InProgressStatus))

		source := newConfigMap(namespace, "source", map[string]string{"other": "x"})
		create(ctx, source)
		Eventually(func(g Gomega) {
			g.Expect(condition(fresh(ctx, g, run), v1alpha1.ConditionReady).Message).To(ContainSubstring("has no key inputs.ndjson"))
		}).WithContext(ctx).Should(Succeed())

		source.Data["inputs.ndjson"] = "[1]\n[2]\n[3]\n"
		Expect(k8s.Update(ctx, source)).To(Succeed())
		job := waitJob(ctx, run)
		Expect(job.Spec.Completions).To(HaveValue(BeEquivalentTo(3)))
		run = fresh(ctx, Default, run)
		Expect(run.Status.Revision.InputCount).To(BeEquivalentTo(3))
		Expect(run.Status.Revision.InputsConfigMap).To(Equal("r-inputs"))

		Expect(k8s.Delete(ctx, source)).To(Succeed())
		copied := fresh(ctx, Default, newConfigMap(namespace, "r-inputs", nil))
		Expect(copied.Data).To(Equal(map[string]string{"inputs": "[1]\n[2]\n[3]\n", "format": "NDJSON"}))
		Expect(copied.Immutable).To(HaveValue(BeTrue()))
		Expect(metav1.IsControlledBy(copied, run)).To(BeTrue(), "it is deleted with the run")
	}, SpecTimeout(90*time.Second))

	It("fails at once when they cannot be read, and names the line", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(namespace, "r", "f", 0, fromConfigMap("source", "inputs"), func(r *v1alpha1.FunctionRun) { r.Spec.ParametersFrom.Format = v1alpha1.FormatNDJSON })
		create(ctx, builders.Function(namespace, "f"), newConfigMap(namespace, "source", map[string]string{"inputs": "[1]\noops\n"}), run)
		failed := waitCondition(ctx, run, v1alpha1.ConditionFailed)
		Expect(failed.Reason).To(Equal(v1alpha1.ReasonParametersInvalid))
		Expect(failed.Message).To(SatisfyAll(ContainSubstring("The key inputs of the ConfigMap source cannot be read as NDJSON: line 2: it is not JSON"), ContainSubstring("Create a new FunctionRun")))
	}, SpecTimeout(90*time.Second))

	It("reports that the name of its copy is taken, and continues when that ConfigMap is deleted", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		taken := newConfigMap(namespace, "r-inputs", map[string]string{"inputs": "[[7]]"})
		run := newRun(namespace, "r", "f", 0, fromConfigMap("source", "inputs.json"))
		create(ctx, builders.Function(namespace, "f"), taken, newConfigMap(namespace, "source", map[string]string{"inputs.json": "[[1],[2]]"}), run)
		Expect(waitReason(ctx, run, v1alpha1.ReasonInputsMissing)).To(ContainSubstring("another one of this name exists"))
		Expect(k8s.Delete(ctx, taken)).To(Succeed())
		waitJob(ctx, run)
		Expect(fresh(ctx, Default, run).Status.Revision.InputCount).To(BeEquivalentTo(2))
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("A run whose inputs were uploaded", func() {
	It("is pinned with their number", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(namespace, "r", "f", 0, func(r *v1alpha1.FunctionRun) {
			r.Spec.Parameters = nil
			r.Spec.ParametersFrom = &v1alpha1.ParametersSource{Upload: &v1alpha1.UploadReference{Digest: "sha256:" + strings.Repeat("0", 64), Count: 1_000_000}}
		})
		create(ctx, builders.Function(namespace, "f"), run)
		Expect(waitJob(ctx, run).Spec.Completions).To(HaveValue(BeEquivalentTo(v1alpha1.DefaultWorkers)))
		Expect(fresh(ctx, Default, run).Status.Revision.InputCount).To(BeEquivalentTo(1_000_000))
	}, SpecTimeout(90*time.Second))

	DescribeTable("is refused", func(ctx SpecContext, source *v1alpha1.ParametersSource, says string) {
		run := newRun(newNamespace(ctx), "r", "f", 0, func(r *v1alpha1.FunctionRun) { r.Spec.Parameters, r.Spec.ParametersFrom = nil, source })
		Expect(k8s.Create(ctx, run)).To(MatchError(ContainSubstring(says)))
	},
		Entry("with an invalid digest", &v1alpha1.ParametersSource{Upload: &v1alpha1.UploadReference{Digest: "sha256:" + strings.Repeat("x", 64), Count: 1}}, "spec.parametersFrom.upload.digest"),
		Entry("without inputs", &v1alpha1.ParametersSource{Upload: &v1alpha1.UploadReference{Digest: "sha256:" + strings.Repeat("0", 64), Count: -1}}, "spec.parametersFrom.upload.count"),
		Entry("that names nothing", &v1alpha1.ParametersSource{}, "configMapKeyRef"),
		Entry("that names two sources", &v1alpha1.ParametersSource{
			Upload:          &v1alpha1.UploadReference{Digest: "sha256:" + strings.Repeat("0", 64), Count: 1},
			ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "a", Key: "b"},
		}, "configMapKeyRef"))

	It("cannot change them", func(ctx SpecContext) {
		run := newRun(newNamespace(ctx), "r", "f", 0, fromConfigMap("source", "k"))
		create(ctx, run)
		Eventually(func(g Gomega) {
			fresh(ctx, g, run)
			run.Spec.ParametersFrom.ConfigMapKeyRef.Key = "other"
			g.Expect(k8s.Update(ctx, run)).To(MatchError(ContainSubstring("spec.parametersFrom is immutable: create a new FunctionRun")))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))
})
