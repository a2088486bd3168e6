package controllers

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

var _ = Describe("A Function", func() {
	It("is ready with a revision that holds code, runner and settings and cannot change", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := builders.Function(namespace, "f")
		create(ctx, function)
		waitCondition(ctx, function, v1alpha1.ConditionReady)
		Expect(kstatus(ctx, function)).To(Equal(status.CurrentStatus))

		revisions := revisionsOf(ctx, Default, function)
		Expect(revisions).To(HaveLen(1))
		revision := revisions[0]
		Expect(revision.Name).To(Equal(function.Status.Revision.Name))
		Expect(revision.Name).To(MatchRegexp(`^f-[0-9a-f]{10}$`))
		Expect(revision.Data).To(HaveKeyWithValue("handler.py", *function.Spec.Code))
		Expect(revision.Data).To(HaveKey("runner.py"))
		Expect(revision.Data["revision.json"]).To(ContainSubstring(`"registryPath":"sharedcloud/python:latest"`))
		Expect(revision.OwnerReferences).To(BeEmpty(), "a revision exists longer than its function while a run needs it")
		revision.Data["handler.py"] = "def handler(event): return 'evil'\n"
		Expect(k8s.Update(ctx, &revision)).To(MatchError(ContainSubstring("immutable")))
	}, SpecTimeout(90*time.Second))

	It("reports a missing image, and recovers when it is created, in its namespace or in the catalogue", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		near := builders.Function(namespace, "near", func(f *v1alpha1.Function) { f.Spec.Image = "nearby" })
		far := builders.Function(namespace, "far", func(f *v1alpha1.Function) { f.Spec.Image = "late-" + namespace })
		create(ctx, near, far)
		Expect(waitReason(ctx, near, v1alpha1.ReasonImageMissing)).To(SatisfyAll(
			ContainSubstring(`no FunctionImage "nearby"`), ContainSubstring(namespace), ContainSubstring(options.CatalogueNamespace), ContainSubstring("create it")))
		Expect(kstatus(ctx, near)).To(Equal(status.InProgressStatus), "the image may be part of the same sync")
		waitReason(ctx, far, v1alpha1.ReasonImageMissing)

		create(ctx, builders.Image(namespace, "nearby"))
		waitCondition(ctx, near, v1alpha1.ConditionReady)
		Expect(condition(fresh(ctx, Default, far), v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonImageMissing))
		create(ctx, builders.Image(options.CatalogueNamespace, "late-"+namespace))
		waitCondition(ctx, far, v1alpha1.ConditionReady)
	}, SpecTimeout(90*time.Second))

	It("uses the image of its namespace before the catalogue's", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		shadow := builders.Image(namespace, "python", func(i *v1alpha1.FunctionImage) { i.Spec.RegistryPath = "near/python:1" })
		function := builders.Function(namespace, "f")
		create(ctx, shadow, function)
		waitCondition(ctx, function, v1alpha1.ConditionReady)
		Expect(function.Status.Revision.RegistryPath).To(Equal("near/python:1"))
		Expect(k8s.Delete(ctx, shadow)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(fresh(ctx, g, function).Status.Revision.RegistryPath).To(Equal("sharedcloud/python:latest"))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))

	It("reports a missing ConfigMap or key, recovers, and gets a new revision when the text changes", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := builders.Function(namespace, "f", func(f *v1alpha1.Function) {
			f.Spec.Code = nil
			f.Spec.CodeFrom = &v1alpha1.CodeSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "code", Key: "handler.py"}}
		})
		create(ctx, function)
		Expect(waitReason(ctx, function, v1alpha1.ReasonConfigMapMissing)).To(ContainSubstring(`no ConfigMap "code"`))
		code := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "code", Namespace: namespace}, Data: map[string]string{"main.py": "x"}}
		create(ctx, code)
		Expect(waitReason(ctx, function, v1alpha1.ReasonConfigMapKeyMissing)).To(ContainSubstring(`has no key "handler.py"`))
		code.Data["handler.py"] = "def handler(event): return 1\n"
		Expect(k8s.Update(ctx, code)).To(Succeed())
		waitCondition(ctx, function, v1alpha1.ConditionReady)
		first := function.Status.Revision.Name

		code.Data["handler.py"] = "def handler(event): return 2\n"
		Expect(k8s.Update(ctx, code)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(fresh(ctx, g, function).Status.Revision.Name).NotTo(Equal(first))
		}).WithContext(ctx).Should(Succeed())
		code.Data["handler.py"] = "def handler(event): return 1\n"
		Expect(k8s.Update(ctx, code)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(fresh(ctx, g, function).Status.Revision.Name).To(Equal(first), "the same content is the same revision")
			g.Expect(function.Status.Revision.Number).To(BeEquivalentTo(3), "and a restored revision gets a new number")
		}).WithContext(ctx).Should(Succeed())
		numbers := map[string]string{}
		for _, revision := range revisionsOf(ctx, Default, function) {
			numbers[revision.Name] = revision.Annotations[v1alpha1.AnnotationRevisionNumber]
			Expect(revision.Annotations).To(HaveKey(v1alpha1.AnnotationRevisionCurrentSince))
		}
		Expect(numbers).To(SatisfyAll(HaveLen(2), HaveKeyWithValue(first, "3"), ContainElement("2")))
	}, SpecTimeout(90*time.Second))

	It("with several files has the whole ConfigMap in its revision, and gets a new one when any file changes", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := builders.Function(namespace, "f", func(f *v1alpha1.Function) {
			f.Spec.Code = nil
			f.Spec.CodeFrom = &v1alpha1.CodeSource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "code"}}
		})
		code := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "code", Namespace: namespace}, Data: map[string]string{"util.py": "A = 1\n"}}
		create(ctx, function)
		Expect(waitReason(ctx, function, v1alpha1.ReasonConfigMapMissing)).To(ContainSubstring("correct spec.codeFrom.configMapRef.name"))
		create(ctx, code)
		Expect(waitReason(ctx, function, v1alpha1.ReasonConfigMapKeyMissing)).To(ContainSubstring(`has no key "handler.py", the file that defines handler(event)`))
		code.Data["handler.py"] = "import util\ndef handler(event): return util.A\n"
		Expect(k8s.Update(ctx, code)).To(Succeed())
		waitCondition(ctx, function, v1alpha1.ConditionReady)
		first := function.Status.Revision.Name
		run := newRun(namespace, "r", "f", 1)
		create(ctx, run)
		job := waitJob(ctx, run)
		Expect(job.Spec.Template.Spec.Volumes[0].Projected.Sources[0].ConfigMap.Items).To(ContainElement(
			corev1.KeyToPath{Key: "util.py", Path: "code/util.py"}))

		code.Data["util.py"] = "A = 2\n"
		Expect(k8s.Update(ctx, code)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(fresh(ctx, g, function).Status.Revision.Name).NotTo(Equal(first))
		}).WithContext(ctx).Should(Succeed())
		code.Data["runner.py"] = "# mine\n"
		Expect(k8s.Update(ctx, code)).To(Succeed())
		Expect(waitReason(ctx, function, v1alpha1.ReasonInvalid)).To(ContainSubstring(`The ConfigMap "code" has runner.py, a name that is reserved for the operator`))
	}, SpecTimeout(90*time.Second))

	It("with files beside its code has them in its revision", func(ctx SpecContext) {
		function := builders.Function(newNamespace(ctx), "f", func(f *v1alpha1.Function) {
			f.Spec.Files = map[string]v1alpha1.FileText{"util.py": "A = 1\n"}
		})
		create(ctx, function)
		waitCondition(ctx, function, v1alpha1.ConditionReady)
		Expect(revisionsOf(ctx, Default, function)[0].Data).To(HaveKeyWithValue("util.py", "A = 1\n"))
	}, SpecTimeout(90*time.Second))

	It("keeps code that is not UTF-8 byte for byte", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		text := []byte("# -*- coding: latin-1 -*-\ndef handler(event): return '\xe9'\n")
		function := builders.Function(namespace, "f", func(f *v1alpha1.Function) {
			f.Spec.Code = nil
			f.Spec.CodeFrom = &v1alpha1.CodeSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "code", Key: "handler.py"}}
		})
		create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "code", Namespace: namespace}, BinaryData: map[string][]byte{"handler.py": text}}, function)
		waitCondition(ctx, function, v1alpha1.ConditionReady)
		revisions := revisionsOf(ctx, Default, function)
		Expect(revisions).To(HaveLen(1))
		Expect(revisions[0].BinaryData).To(HaveKeyWithValue("handler.py", text))
	}, SpecTimeout(90*time.Second))

	It("in another language than its image is stalled until one of them is corrected", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := builders.Function(namespace, "f", func(f *v1alpha1.Function) { f.Spec.Runtime = "cobol85" })
		create(ctx, function)
		Expect(waitReason(ctx, function, v1alpha1.ReasonRuntimeUnknown)).To(ContainSubstring(`"cobol85"`))
		Expect(kstatus(ctx, function)).To(Equal(status.FailedStatus))
		Eventually(func(g Gomega) {
			fresh(ctx, g, function)
			function.Spec.Runtime = "python311"
			g.Expect(k8s.Update(ctx, function)).To(Succeed())
		}).WithContext(ctx).Should(Succeed())
		waitCondition(ctx, function, v1alpha1.ConditionReady)
		Expect(kstatus(ctx, function)).To(Equal(status.CurrentStatus))
	}, SpecTimeout(90*time.Second))

	It("gets its revision again after its deletion", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := builders.Function(namespace, "f")
		create(ctx, function)
		waitCondition(ctx, function, v1alpha1.ConditionReady)
		revision := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: function.Status.Revision.Name, Namespace: namespace}}
		Expect(k8s.Delete(ctx, revision)).To(Succeed())
		Eventually(func(g Gomega) { fresh(ctx, g, revision) }).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))

	It("keeps its current revision, its history, and the revisions of unfinished runs", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := builders.Function(namespace, "f", func(f *v1alpha1.Function) { f.Spec.RevisionHistoryLimit = ptr.To[int32](1) })
		run := newRun(namespace, "r", "f", 1)
		create(ctx, function, run)
		waitJob(ctx, run)
		pinned := run.Status.Revision.Name
		last := pinned
		for _, text := range []string{"# 2\n", "# 3\n", "# 4\n"} {
			Eventually(func(g Gomega) {
				fresh(ctx, g, function)
				function.Spec.Code = ptr.To(text)
				g.Expect(k8s.Update(ctx, function)).To(Succeed())
			}).WithContext(ctx).Should(Succeed())
			Eventually(func(g Gomega) {
				g.Expect(fresh(ctx, g, function).Status.Revision.Name).NotTo(Equal(last))
			}).WithContext(ctx).Should(Succeed())
			last = function.Status.Revision.Name
		}
		names := func(g Gomega) []string {
			var all []string
			for _, revision := range revisionsOf(ctx, g, function) {
				all = append(all, revision.Name)
			}
			return all
		}
		Eventually(func(g Gomega) {
			g.Expect(names(g)).To(SatisfyAll(HaveLen(3), ContainElements(pinned, last)), "the current one, the one before it, and the run's")
		}).WithContext(ctx).Should(Succeed())
		Consistently(func(g Gomega) { g.Expect(names(g)).To(ContainElement(pinned)) }).WithContext(ctx).Should(Succeed())

		report(ctx, run, progress(1, 1, 0, 0).WithClosed(true))
		Eventually(func(g Gomega) { g.Expect(names(g)).To(HaveLen(2)) }).WithContext(ctx).Should(Succeed())
		Expect(k8s.Delete(ctx, function)).To(Succeed())
		Eventually(func(g Gomega) { g.Expect(names(g)).To(BeEmpty()) }).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("A FunctionImage", func() {
	It("is ready, and records the digest from a pod that runs it", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		image := builders.Image(namespace, "python")
		function, run := builders.Function(namespace, "f"), newRun(namespace, "r", "f", 1)
		create(ctx, image, function, run)
		waitCondition(ctx, image, v1alpha1.ConditionReady)
		Expect(kstatus(ctx, image)).To(Equal(status.CurrentStatus))
		job := waitJob(ctx, run)
		pod := newPod(ctx, job, 0)
		runPod(ctx, pod, "docker.io/sharedcloud/python@sha256:0123")
		Eventually(func(g Gomega) {
			g.Expect(fresh(ctx, g, image).Status.Digest).To(Equal("docker.io/sharedcloud/python@sha256:0123"))
			g.Expect(fresh(ctx, g, run).Status.ImageDigest).To(Equal("docker.io/sharedcloud/python@sha256:0123"))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))

	It("with an invalid reference is stalled", func(ctx SpecContext) {
		image := builders.Image(newNamespace(ctx), "bad", func(i *v1alpha1.FunctionImage) { i.Spec.RegistryPath = "python@sha256:" + strings.Repeat("0", 40) })
		create(ctx, image)
		Expect(waitReason(ctx, image, v1alpha1.ReasonInvalid)).To(ContainSubstring("python@sha256:0000"))
		Expect(kstatus(ctx, image)).To(Equal(status.FailedStatus))
	}, SpecTimeout(90*time.Second))
})
