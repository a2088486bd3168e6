package controllers

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

var _ = Describe("A run", func() {
	It("pins its revision, becomes a Job, and is complete when the API server says that all tuples succeeded", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function, run := newFunction(namespace, "f"), newRun(namespace, "r", "f", 3)
		create(ctx, function, run)
		job := waitJob(ctx, run)
		Expect(job.Name).To(Equal("r-1"))
		Expect(*job.Spec.Completions).To(BeEquivalentTo(3))
		Expect(run.Status.Revision.Workers).To(BeEquivalentTo(3))
		Expect(run.Status.Revision.Tuples).To(BeEquivalentTo(3))
		Expect(run.Status.StartTime).NotTo(BeNil())
		Expect(kstatus(ctx, run)).To(Equal(status.InProgressStatus))

		report(ctx, run, progress(3, 3, 0, 0).WithClosed(true))
		complete := waitCondition(ctx, run, v1alpha1.ConditionComplete)
		Expect(complete.Message).To(Equal("All 3 tuples succeeded."))
		Expect(kstatus(ctx, run)).To(Equal(status.CurrentStatus))
		Eventually(func(g Gomega) { g.Expect(jobsOf(ctx, g, run)).To(BeEmpty()) }).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(30*time.Second))
})
