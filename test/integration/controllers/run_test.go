package controllers

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// startedRun creates a function and a run of it, and waits for its Job.
func startedRun(ctx SpecContext, inputs int, change ...func(*v1alpha1.FunctionRun)) (*v1alpha1.FunctionRun, *batchv1.Job) {
	GinkgoHelper()
	namespace := newNamespace(ctx)
	run := newRun(namespace, "r", "f", inputs, change...)
	create(ctx, builders.Function(namespace, "f"), run)
	return run, waitJob(ctx, run)
}

// changeRun changes the spec of a run that the controllers write to at the same time.
func changeRun(ctx SpecContext, run *v1alpha1.FunctionRun, change func(*v1alpha1.FunctionRun)) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		fresh(ctx, g, run)
		change(run)
		g.Expect(k8s.Update(ctx, run)).To(Succeed())
	}).WithContext(ctx).Should(Succeed())
}

func noJobs(ctx SpecContext, run *v1alpha1.FunctionRun) {
	GinkgoHelper()
	Eventually(func(g Gomega) { g.Expect(jobsOf(ctx, g, run)).To(BeEmpty()) }).WithContext(ctx).Should(Succeed())
}

var _ = Describe("A run", func() {
	It("pins its revision, becomes a Job, and is complete when the API server reports that all inputs succeeded", func(ctx SpecContext) {
		run, job := startedRun(ctx, 3)
		Expect(job.Name).To(Equal("r-1"))
		Expect(*job.Spec.Completions).To(BeEquivalentTo(3))
		Eventually(func(g Gomega) {
			g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(job), job)).To(Succeed())
			g.Expect(*job.Spec.Parallelism).To(BeEquivalentTo(3), "the other workers follow the first")
		}).Should(Succeed())
		Expect(metav1.IsControlledBy(job, run)).To(BeTrue())
		Expect(*run.Status.Revision).To(SatisfyAll(
			HaveField("Workers", BeEquivalentTo(3)), HaveField("InputCount", BeEquivalentTo(3)), HaveField("GPUs", BeEquivalentTo(0)),
			HaveField("TimeoutSeconds", BeEquivalentTo(1800)), HaveField("Retries", BeEquivalentTo(0)),
			HaveField("RegistryPath", "sharedcloud/python:latest")))
		Expect(run.Status.StartTime).NotTo(BeNil())
		Expect(run.Status.ObservedGeneration).To(Equal(run.Generation))
		Expect(kstatus(ctx, run)).To(Equal(status.InProgressStatus))
		for _, end := range []string{v1alpha1.ConditionComplete, v1alpha1.ConditionFailed, v1alpha1.ConditionFinished} {
			Expect(condition(run, end)).To(SatisfyAll(HaveField("Status", metav1.ConditionFalse), HaveField("Reason", v1alpha1.ReasonNotFinished)))
		}

		report(ctx, run, progress(3, 3, 0, 0).WithClosed(true))
		complete := waitCondition(ctx, run, v1alpha1.ConditionComplete)
		Expect(complete.Message).To(Equal("All 3 inputs succeeded."))
		Expect(condition(run, v1alpha1.ConditionFinished).Status).To(Equal(metav1.ConditionTrue))
		Expect(run.Status.CompletionTime).NotTo(BeNil())
		Expect(kstatus(ctx, run)).To(Equal(status.CurrentStatus))
		noJobs(ctx, run)
	}, SpecTimeout(90*time.Second))

	It("fails when an input failed, and names the first indexes", func(ctx SpecContext) {
		run, _ := startedRun(ctx, 10)
		report(ctx, run, progress(10, 8, 2, 0).WithFailedIndexes("3,7").WithClosed(true))
		failed := waitCondition(ctx, run, v1alpha1.ConditionFailed)
		Expect(failed.Reason).To(Equal(v1alpha1.ReasonInputsFailed))
		Expect(failed.Message).To(ContainSubstring("2 of 10 inputs did not succeed (2 failed): indexes 3,7."))
		Expect(kstatus(ctx, run)).To(Equal(status.FailedStatus))
		noJobs(ctx, run)
	}, SpecTimeout(90*time.Second))

	It("overrides the settings of its function", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := builders.Function(namespace, "f", func(f *v1alpha1.Function) {
			f.Spec.RunPolicy = v1alpha1.RunPolicy{GPUs: ptr.To[int32](1), GPUProducts: []string{"A100"}, Workers: ptr.To[int32](2), TimeoutSeconds: ptr.To[int32](60), Retries: ptr.To[int32](3)}
		})
		plain := newRun(namespace, "plain", "f", 5)
		own := newRun(namespace, "own", "f", 5, func(r *v1alpha1.FunctionRun) {
			r.Spec.RunPolicy = v1alpha1.RunPolicy{GPUs: ptr.To[int32](0), GPUProducts: []string{"T4", "L4"}, Workers: ptr.To[int32](4), TimeoutSeconds: ptr.To[int32](7), Retries: ptr.To[int32](0)}
		})
		create(ctx, function, plain, own)
		waitJob(ctx, plain)
		Expect(*plain.Status.Revision).To(SatisfyAll(HaveField("GPUs", BeEquivalentTo(1)), HaveField("Workers", BeEquivalentTo(2)),
			HaveField("TimeoutSeconds", BeEquivalentTo(60)), HaveField("Retries", BeEquivalentTo(3)), HaveField("GPUProducts", Equal([]string{"A100"}))))
		job := waitJob(ctx, own)
		Expect(*own.Status.Revision).To(SatisfyAll(HaveField("GPUs", BeEquivalentTo(0)), HaveField("Workers", BeEquivalentTo(4)),
			HaveField("TimeoutSeconds", BeEquivalentTo(7)), HaveField("Retries", BeEquivalentTo(0)), HaveField("GPUProducts", Equal([]string{"L4", "T4"}))))
		required := job.Spec.Template.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
		Expect(required).To(HaveExactElements(HaveField("MatchExpressions", HaveExactElements(corev1.NodeSelectorRequirement{
			Key: v1alpha1.DefaultGPUProductLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{"L4", "T4"},
		}))))
		Expect(job.Spec.Template.Spec.Containers[0].Resources.Limits).To(BeEmpty())
	}, SpecTimeout(90*time.Second))

	It("reports that it waits for its function, and starts when that is ready", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(namespace, "r", "late", 1)
		create(ctx, run)
		Expect(waitReason(ctx, run, v1alpha1.ReasonFunctionMissing)).To(ContainSubstring(`no Function "late"`))
		Expect(kstatus(ctx, run)).To(Equal(status.InProgressStatus))
		create(ctx, builders.Function(namespace, "late", func(f *v1alpha1.Function) { f.Spec.Image = "later" }))
		Eventually(func(g Gomega) {
			ready := condition(fresh(ctx, g, run), v1alpha1.ConditionReady)
			g.Expect(ready.Reason).To(Equal(v1alpha1.ReasonFunctionNotReady))
			g.Expect(ready.Message).To(ContainSubstring(`no FunctionImage "later"`))
		}).WithContext(ctx).Should(Succeed())
		create(ctx, builders.Image(namespace, "later"))
		waitJob(ctx, run)
	}, SpecTimeout(90*time.Second))

	It("fails at once when its inputs cannot be read", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(namespace, "r", "f", 0, func(r *v1alpha1.FunctionRun) { r.Spec.ParametersLiteral = ptr.To("((1, 2), oops)") })
		create(ctx, builders.Function(namespace, "f"), run)
		failed := waitCondition(ctx, run, v1alpha1.ConditionFailed)
		Expect(failed.Reason).To(Equal(v1alpha1.ReasonParametersInvalid))
		Expect(failed.Message).To(SatisfyAll(ContainSubstring("spec.parametersLiteral"), ContainSubstring("Create a new FunctionRun")))
		Expect(kstatus(ctx, run)).To(Equal(status.FailedStatus))
		Expect(jobsOf(ctx, Default, run)).To(BeEmpty())
	}, SpecTimeout(90*time.Second))

	It("continues after its function was deleted, with what it pinned", func(ctx SpecContext) {
		run, job := startedRun(ctx, 2)
		Expect(k8s.Delete(ctx, &v1alpha1.Function{ObjectMeta: metav1.ObjectMeta{Name: "f", Namespace: run.Namespace}})).To(Succeed())
		revision := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: run.Status.Revision.Name, Namespace: run.Namespace}}
		Consistently(func(g Gomega) { fresh(ctx, g, revision) }).WithContext(ctx).WithTimeout(time.Second).Should(Succeed())
		Expect(k8s.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(waitJob(ctx, run).Name).To(Equal("r-2"))
		}).WithContext(ctx).Should(Succeed())
		report(ctx, run, progress(2, 2, 0, 0).WithClosed(true))
		waitCondition(ctx, run, v1alpha1.ConditionComplete)
		Eventually(func(g Gomega) {
			g.Expect(apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(revision), revision))).To(BeTrue())
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))

	It("continues with the next Job when its Job is deleted", func(ctx SpecContext) {
		run, job := startedRun(ctx, 2)
		Expect(k8s.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(fresh(ctx, g, run).Status.Job.Number).To(BeEquivalentTo(2))
			g.Expect(jobsOf(ctx, g, run)).To(HaveLen(1))
		}).WithContext(ctx).Should(Succeed())
		Expect(waitJob(ctx, run).Name).To(Equal("r-2"))
	}, SpecTimeout(90*time.Second))

	It("reports a Job of its name that belongs to another owner, and does not change it", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		foreign := &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: "r-1", Namespace: namespace},
			Spec: batchv1.JobSpec{Suspend: ptr.To(true), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "mine", Image: "mine"}}}}},
		}
		run := newRun(namespace, "r", "f", 1)
		create(ctx, foreign, builders.Function(namespace, "f"), run)
		Expect(waitReason(ctx, run, v1alpha1.ReasonJobNameTaken)).To(ContainSubstring("The Job r-1 exists and does not belong to this run"))
		Expect(kstatus(ctx, run)).To(Equal(status.FailedStatus))
		before := foreign.ResourceVersion
		Expect(fresh(ctx, Default, foreign).ResourceVersion).To(Equal(before))
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("The end of a run needs the API server", func() {
	It("when it is cancelled, and the Job is kept until the API server has closed the run", func(ctx SpecContext) {
		run, _ := startedRun(ctx, 4)
		report(ctx, run, progress(4, 1, 0, 0))
		changeRun(ctx, run, func(r *v1alpha1.FunctionRun) { r.Spec.Cancel = true })
		ending := waitCondition(ctx, run, v1alpha1.ConditionEnding)
		Expect(ending.Reason).To(Equal(v1alpha1.ReasonCancelled))
		Expect(kstatus(ctx, run)).To(Equal(status.InProgressStatus))
		Consistently(func(g Gomega) {
			g.Expect(jobsOf(ctx, g, run)).To(HaveLen(1))
			g.Expect(condition(fresh(ctx, g, run), v1alpha1.ConditionFinished).Status).To(Equal(metav1.ConditionFalse))
		}).WithContext(ctx).Should(Succeed())
		report(ctx, run, progress(4, 1, 0, 3).WithFailedIndexes("1-3").WithReason(v1alpha1.ReasonCancelled).WithClosed(true))
		failed := waitCondition(ctx, run, v1alpha1.ConditionFailed)
		Expect(failed.Reason).To(Equal(v1alpha1.ReasonCancelled))
		Expect(failed.Message).To(ContainSubstring("3 of 4 inputs did not succeed (3 cancelled)"))
		Expect(kstatus(ctx, run)).To(Equal(status.FailedStatus))
		noJobs(ctx, run)
	}, SpecTimeout(90*time.Second))

	It("when it is cancelled before it has a Job", func(ctx SpecContext) {
		run := newRun(newNamespace(ctx), "r", "missing", 2, func(r *v1alpha1.FunctionRun) { r.Spec.Cancel = true })
		create(ctx, run)
		waitCondition(ctx, run, v1alpha1.ConditionEnding)
		report(ctx, run, progress(2, 0, 0, 2).WithReason(v1alpha1.ReasonCancelled).WithClosed(true))
		Expect(waitCondition(ctx, run, v1alpha1.ConditionFailed).Reason).To(Equal(v1alpha1.ReasonCancelled))
	}, SpecTimeout(90*time.Second))

	It("when its Job failed", func(ctx SpecContext) {
		run, job := startedRun(ctx, 2)
		jobStatus(ctx, job, batchv1.JobFailureTarget, batchv1.JobFailed)
		ending := waitCondition(ctx, run, v1alpha1.ConditionEnding)
		Expect(ending.Reason).To(Equal(v1alpha1.ReasonJobFailed))
		Expect(ending.Message).To(ContainSubstring("The Job r-1 failed (PodFailurePolicy): the message of the Job controller."))
		report(ctx, run, progress(2, 0, 2, 0).WithReason(v1alpha1.ReasonJobFailed).WithClosed(true))
		Expect(waitCondition(ctx, run, v1alpha1.ConditionFailed).Reason).To(Equal(v1alpha1.ReasonJobFailed))
		noJobs(ctx, run)
	}, SpecTimeout(90*time.Second))

	It("at its deadline, without the time that it was suspended", func(ctx SpecContext) {
		run, _ := startedRun(ctx, 4, func(r *v1alpha1.FunctionRun) { r.Spec.ActiveDeadlineSeconds = ptr.To[int32](10) })
		changeRun(ctx, run, func(r *v1alpha1.FunctionRun) { r.Spec.Suspend = true })
		waitCondition(ctx, run, v1alpha1.ConditionSuspended)
		Consistently(func(g Gomega) {
			g.Expect(condition(fresh(ctx, g, run), v1alpha1.ConditionEnding).Status).To(Equal(metav1.ConditionFalse))
		}).WithContext(ctx).WithTimeout(11 * time.Second).Should(Succeed())
		changeRun(ctx, run, func(r *v1alpha1.FunctionRun) { r.Spec.Suspend = false })
		Expect(waitJob(ctx, run).Name).To(Equal("r-2"))
		Expect(condition(run, v1alpha1.ConditionEnding).Status).To(Equal(metav1.ConditionFalse), "the time limit starts again")
		ending := waitCondition(ctx, run, v1alpha1.ConditionEnding)
		Expect(ending.Reason).To(Equal(v1alpha1.ReasonDeadlineExceeded))
		report(ctx, run, progress(4, 1, 0, 3).WithReason(ending.Reason).WithMessage(ending.Message).WithFailedIndexes("1-3").WithClosed(true))
		failed := waitCondition(ctx, run, v1alpha1.ConditionFailed)
		Expect(failed.Reason).To(Equal(v1alpha1.ReasonDeadlineExceeded))
		Expect(failed.Message).To(HavePrefix("The run took longer than its time limit of 10 seconds (spec.activeDeadlineSeconds). 3 of 4 inputs did not succeed (3 cancelled): indexes 1-3."))
		noJobs(ctx, run)
	}, SpecTimeout(90*time.Second))

	It("when more inputs fail than spec.maxFailures allows", func(ctx SpecContext) {
		run, _ := startedRun(ctx, 9, func(r *v1alpha1.FunctionRun) { r.Spec.MaxFailures = ptr.To[int32](1) })
		Expect(*run.Status.Revision.MaxFailures).To(BeEquivalentTo(1))
		report(ctx, run, progress(9, 1, 2, 6).WithReason(v1alpha1.ReasonMaxFailuresExceeded).
			WithMessage("2 inputs failed or timed out, more than spec.maxFailures allows (1)").WithFailedIndexes("1-8").WithClosed(true))
		failed := waitCondition(ctx, run, v1alpha1.ConditionFailed)
		Expect(failed.Reason).To(Equal(v1alpha1.ReasonMaxFailuresExceeded))
		Expect(failed.Message).To(HavePrefix("2 inputs failed or timed out, more than spec.maxFailures allows (1). 8 of 9 inputs did not succeed (2 failed, 6 cancelled)"))
		noJobs(ctx, run)
	}, SpecTimeout(90*time.Second))

	It("and a complete run stays complete after a late cancellation", func(ctx SpecContext) {
		run, _ := startedRun(ctx, 1)
		report(ctx, run, progress(1, 1, 0, 0).WithClosed(true))
		waitCondition(ctx, run, v1alpha1.ConditionComplete)
		changeRun(ctx, run, func(r *v1alpha1.FunctionRun) { r.Spec.Cancel = true })
		Eventually(func(g Gomega) {
			fresh(ctx, g, run)
			g.Expect(run.Status.ObservedGeneration).To(Equal(run.Generation))
			g.Expect(condition(run, v1alpha1.ConditionComplete).Status).To(Equal(metav1.ConditionTrue))
		}).WithContext(ctx).Should(Succeed())
		Expect(kstatus(ctx, run)).To(Equal(status.CurrentStatus))
	}, SpecTimeout(90*time.Second))
})

// jobStatus sets conditions of the Job to True in place of the Job controller, in order.
func jobStatus(ctx SpecContext, job *batchv1.Job, conditions ...batchv1.JobConditionType) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		fresh(ctx, g, job)
		job.Status.StartTime = ptr.To(metav1.Now())
		job.Status.Conditions = nil
		for _, c := range conditions {
			job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: c, Status: corev1.ConditionTrue,
				Reason: "PodFailurePolicy", Message: "the message of the Job controller", LastTransitionTime: metav1.Now()})
		}
		g.Expect(k8s.Status().Update(ctx, job)).To(Succeed())
	}).WithContext(ctx).Should(Succeed())
}

// sized waits until the Job has that many workers.
func sized(ctx SpecContext, run *v1alpha1.FunctionRun, job *batchv1.Job, workers int32) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		fresh(ctx, g, job)
		g.Expect(*job.Spec.Completions).To(Equal(workers))
		g.Expect(*job.Spec.Parallelism).To(Equal(workers))
		g.Expect(fresh(ctx, g, run).Status.Workers).To(Equal(workers))
	}).WithContext(ctx).Should(Succeed())
}

var _ = Describe("The workers of a run", func() {
	It("change while it runs, with the same Job and the same pin", func(ctx SpecContext) {
		run, job := startedRun(ctx, 20, func(r *v1alpha1.FunctionRun) { r.Spec.Workers = ptr.To[int32](4) })
		sized(ctx, run, job, 4)
		for _, workers := range []int32{2, 6, 1, 20} {
			changeRun(ctx, run, func(r *v1alpha1.FunctionRun) { r.Spec.Workers = ptr.To(workers) })
			sized(ctx, run, job, workers)
		}
		changeRun(ctx, run, func(r *v1alpha1.FunctionRun) { r.Spec.Workers = ptr.To[int32](500) })
		Eventually(func(g Gomega) {
			fresh(ctx, g, run)
			g.Expect(run.Status.ObservedGeneration).To(Equal(run.Generation))
		}).WithContext(ctx).Should(Succeed())
		sized(ctx, run, job, 20)
		Expect(run.Status.Revision.Workers).To(BeEquivalentTo(4))
		Expect(run.Status.Job.Name).To(Equal("r-1"))
		Expect(jobsOf(ctx, Default, run)).To(HaveLen(1))
	}, SpecTimeout(90*time.Second))

	It("keep the number that a queue has admitted, and the run reports it", func(ctx SpecContext) {
		run, job := startedRun(ctx, 9, func(r *v1alpha1.FunctionRun) {
			r.Labels, r.Spec.Workers = map[string]string{v1alpha1.LabelQueue: "team"}, ptr.To[int32](4)
		})
		sized(ctx, run, job, 4)
		changeRun(ctx, run, func(r *v1alpha1.FunctionRun) { r.Spec.Workers = ptr.To[int32](2) })
		Eventually(func(g Gomega) {
			g.Expect(condition(fresh(ctx, g, run), v1alpha1.ConditionReady).Message).To(ContainSubstring(
				"spec.workers asks for 2 workers, but the queue team has admitted the run with 4: suspend and resume the run to change the number."))
		}).WithContext(ctx).Should(Succeed())
		sized(ctx, run, job, 4)
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("A suspended run", func() {
	It("loses its Job, keeps its outcomes, and continues with the next Job", func(ctx SpecContext) {
		run, _ := startedRun(ctx, 4)
		report(ctx, run, progress(4, 1, 0, 0))
		changeRun(ctx, run, func(r *v1alpha1.FunctionRun) { r.Spec.Suspend = true })
		waitCondition(ctx, run, v1alpha1.ConditionSuspended)
		noJobs(ctx, run)
		Expect(kstatus(ctx, run)).To(Equal(status.InProgressStatus))
		Consistently(func(g Gomega) { g.Expect(jobsOf(ctx, g, run)).To(BeEmpty()) }).WithContext(ctx).Should(Succeed())
		changeRun(ctx, run, func(r *v1alpha1.FunctionRun) { r.Spec.Suspend = false })
		Eventually(func(g Gomega) { g.Expect(jobsOf(ctx, g, run)).To(HaveLen(1)) }).WithContext(ctx).Should(Succeed())
		Expect(waitJob(ctx, run).Name).To(Equal("r-2"))
		Expect(condition(run, v1alpha1.ConditionSuspended).Status).To(Equal(metav1.ConditionFalse))
		Expect(run.Status.Progress.Succeeded).To(BeEquivalentTo(1))
	}, SpecTimeout(90*time.Second))

	It("pins nothing until it is resumed", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(namespace, "r", "f", 1, func(r *v1alpha1.FunctionRun) { r.Spec.Suspend = true })
		create(ctx, builders.Function(namespace, "f"), run)
		waitCondition(ctx, run, v1alpha1.ConditionSuspended)
		Expect(run.Status.Revision).To(BeNil())
		changeRun(ctx, run, func(r *v1alpha1.FunctionRun) { r.Spec.Suspend = false })
		waitJob(ctx, run)
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("A run reports what its workers wait for", func() {
	It("in Ready, within seconds, until the cause is gone", func(ctx SpecContext) {
		run, job := startedRun(ctx, 2)
		Expect(waitReason(ctx, run, v1alpha1.ReasonStarting)).To(ContainSubstring("no worker has taken an input yet"))
		pod := newPod(ctx, job, 0)
		podUnschedulable(ctx, pod, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
		Expect(waitReason(ctx, run, v1alpha1.ReasonPodsUnschedulable)).To(Equal("No node has room: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."))
		podWaits(ctx, pod, "ErrImagePull", "failed to resolve reference: not found")
		Expect(waitReason(ctx, run, v1alpha1.ReasonImageUnavailable)).To(SatisfyAll(
			ContainSubstring("sharedcloud/python:latest"), ContainSubstring("failed to resolve reference: not found")))
		podWaits(ctx, pod, "CreateContainerConfigError", `secret "keys" not found`)
		Expect(waitReason(ctx, run, v1alpha1.ReasonContainerCannotStart)).To(ContainSubstring(`secret "keys" not found`))
		runPod(ctx, pod, "")
		Expect(waitReason(ctx, run, v1alpha1.ReasonRunning)).To(Equal("Workers are running."))
		other := newPod(ctx, job, 1)
		podUnschedulable(ctx, other, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
		Eventually(func(g Gomega) {
			ready := condition(fresh(ctx, g, run), v1alpha1.ConditionReady)
			g.Expect(ready.Reason).To(Equal(v1alpha1.ReasonRunning))
			g.Expect(ready.Message).To(Equal("Workers are running; 1 of 2 are waiting: no node has room: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."))
		}).WithContext(ctx).Should(Succeed())
		Expect(kstatus(ctx, run)).To(Equal(status.InProgressStatus))
	}, SpecTimeout(90*time.Second))

	It("and a pod that waits for a GPU is deleted after the last outcome", func(ctx SpecContext) {
		run, job := startedRun(ctx, 2)
		Eventually(func(g Gomega) {
			fresh(ctx, g, job)
			job.Status.StartTime, job.Status.Active = ptr.To(metav1.Now()), 2
			g.Expect(k8s.Status().Update(ctx, job)).To(Succeed())
		}).WithContext(ctx).Should(Succeed())
		runPod(ctx, newPod(ctx, job, 0), "")
		podUnschedulable(ctx, newPod(ctx, job, 1), "0/1 nodes are available.")
		waitReason(ctx, run, v1alpha1.ReasonRunning)
		start := time.Now()
		report(ctx, run, progress(2, 2, 0, 0).WithClosed(true))
		noJobs(ctx, run)
		Expect(time.Since(start)).To(BeNumerically("<", 8*time.Second), "the Job is deleted at once, not after the exit timeout of workers")
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("A namespace that is deleted", func() {
	It("loses the Jobs of its runs, which would otherwise block the deletion", func(ctx SpecContext) {
		run, _ := startedRun(ctx, 2)
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: run.Namespace}}
		Expect(k8s.Delete(ctx, namespace)).To(Succeed())
		Eventually(func(g Gomega) { g.Expect(fresh(ctx, g, namespace).DeletionTimestamp).NotTo(BeNil()) }).WithContext(ctx).Should(Succeed())
		noJobs(ctx, run)
		Consistently(func(g Gomega) { g.Expect(jobsOf(ctx, g, run)).To(BeEmpty()) }).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("A finished run", func() {
	It("is kept unless it has a TTL", func(ctx SpecContext) {
		run, _ := startedRun(ctx, 1)
		report(ctx, run, progress(1, 1, 0, 0).WithClosed(true))
		waitCondition(ctx, run, v1alpha1.ConditionComplete)
		Consistently(func(g Gomega) { fresh(ctx, g, run) }).WithContext(ctx).Should(Succeed())
		changeRun(ctx, run, func(r *v1alpha1.FunctionRun) { r.Spec.TTLSecondsAfterFinished = ptr.To[int32](1) })
		Eventually(func(g Gomega) {
			g.Expect(apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(run), run))).To(BeTrue())
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))
})
