package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// steadyCode sleeps and returns its input, so that a run lasts long enough to be disturbed.
const steadyCode = "import time\ndef handler(event):\n  time.sleep(0.05)\n  return event[0]\n"

// disturb starts a run of n inputs on 4 workers, calls the disturbance when some have an outcome, and checks every result.
func disturb(ctx SpecContext, n int, how func(run *v1alpha1.FunctionRun)) *v1alpha1.FunctionRun {
	GinkgoHelper()
	function := makeFunction(ctx, newNamespace(ctx), "steady", steadyCode)
	run := startRun(ctx, function, builders.Inputs(n, builders.Index), withWorkers(4))
	waitProgress(ctx, run, "some are done", someDone(20))
	acknowledged := partialResults(ctx, run)
	how(run)
	run = waitComplete(ctx, run, 3*time.Minute)
	served(ctx)
	all := results(ctx, run)
	for i, o := range all {
		Expect(decode[int](o)).To(Equal(i))
	}
	for _, o := range acknowledged {
		Expect(all[o.Index]).To(Equal(o), "what was acknowledged is not executed again")
	}
	jobs := &batchv1.JobList{}
	Expect(k8s.List(ctx, jobs, client.InNamespace(run.Namespace))).To(Succeed())
	Expect(len(jobs.Items)).To(BeNumerically("<=", 1), "one run, one Job")
	Expect(run.Status.Job.Number).To(BeEquivalentTo(1))
	return run
}

var _ = Describe("Every input has its result", Serial, func() {
	It("when a worker's pod is deleted while it executes", func(ctx SpecContext) {
		disturb(ctx, 600, func(run *v1alpha1.FunctionRun) {
			victim := runningWorkers(ctx, run, 1)[0]
			Expect(k8s.Delete(ctx, &victim)).To(Succeed())
		})
	}, SpecTimeout(4*time.Minute))

	It("when a supervisor that holds a batch is killed", func(ctx SpecContext) {
		needsLocalCluster("the node, to kill a process on it")
		disturb(ctx, 600, func(run *v1alpha1.FunctionRun) {
			killContainer(ctx, runningWorkers(ctx, run, 1)[0])
		})
	}, SpecTimeout(4*time.Minute))

	It("when the manager is killed", func(ctx SpecContext) {
		needsLocalCluster("the node, to kill a process on it")
		disturb(ctx, 400, func(*v1alpha1.FunctionRun) {
			killContainer(ctx, operatorPod(ctx, "controller-manager"))
		})
	}, SpecTimeout(4*time.Minute))

	It("when the API server is killed and started again", func(ctx SpecContext) {
		needsLocalCluster("the node, to kill a process on it")
		disturb(ctx, 600, func(*v1alpha1.FunctionRun) {
			killContainer(ctx, operatorPod(ctx, "apiserver"))
		})
	}, SpecTimeout(4*time.Minute))

	It("when the manager and the API server are killed at once", func(ctx SpecContext) {
		needsLocalCluster("the node, to kill a process on it")
		disturb(ctx, 600, func(*v1alpha1.FunctionRun) {
			killContainer(ctx, operatorPod(ctx, "controller-manager"))
			killContainer(ctx, operatorPod(ctx, "apiserver"))
		})
	}, SpecTimeout(4*time.Minute))

	It("when the node is drained, then uncordoned", func(ctx SpecContext) {
		needsLocalCluster("a node that may be drained")
		disturb(ctx, 600, func(run *v1alpha1.FunctionRun) {
			nodes := &corev1.NodeList{}
			Expect(k8s.List(ctx, nodes)).To(Succeed())
			Expect(nodes.Items).To(HaveLen(1))
			node := nodes.Items[0].Name
			DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "uncordon", node) })
			kubectl(ctx, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s")
			kubectl(ctx, "uncordon", node)
			served(ctx)
		})
	}, SpecTimeout(5*time.Minute))
})

var _ = Describe("A run that cannot execute reports the reason within seconds", func() {
	It("when the image cannot be pulled, and continues when the image becomes available", func(ctx SpecContext) {
		needsLocalCluster("the node, to give it an image")
		namespace := newNamespace(ctx)
		image := &v1alpha1.FunctionImage{ObjectMeta: metav1.ObjectMeta{Name: "absent", Namespace: namespace},
			Spec: v1alpha1.FunctionImageSpec{RegistryPath: "registry.invalid/nobody/absent:latest", Runtime: "python311", ImagePullPolicy: corev1.PullNever}}
		Expect(k8s.Create(ctx, image)).To(Succeed())
		function := makeFunction(ctx, namespace, "absent", steadyCode, func(f *v1alpha1.Function) { f.Spec.Image = "absent" })
		run := startRun(ctx, function, builders.Inputs(3, builders.Index))
		message := waitReadyReason(ctx, run, v1alpha1.ReasonImageUnavailable, 20*time.Second)
		Expect(message).To(ContainSubstring("registry.invalid/nobody/absent:latest"))
		// The image appears on the node: as a second name of an image that exists.
		onNode(ctx, "ctr", "-n", "k8s.io", "images", "tag", "--force", "docker.io/sharedcloud/python:latest", "registry.invalid/nobody/absent:latest")
		DeferCleanup(func(ctx SpecContext) {
			onNode(ctx, "ctr", "-n", "k8s.io", "images", "rm", "registry.invalid/nobody/absent:latest")
		})
		waitComplete(ctx, run, 90*time.Second)
	}, SpecTimeout(3*time.Minute))

	It("when the code has a syntax error: every input fails with it", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "syntax", "def handler(event):\n  print 'Python 2'\n")
		run := waitFinished(ctx, startRun(ctx, function, builders.Inputs(5, builders.Index)), 60*time.Second)
		Expect(waitReadyReason(ctx, run, v1alpha1.ReasonModuleNotLoaded, time.Second)).To(ContainSubstring("SyntaxError"))
		for _, o := range results(ctx, run) {
			Expect(o.Status).To(Equal(v1alpha1.OutcomeFailed))
			Expect(o.Error.Type).To(Equal("SyntaxError"))
			Expect(o.Error.Traceback).To(ContainSubstring("print 'Python 2'"))
		}
	}, SpecTimeout(2*time.Minute))

	It("when the module has no handler", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "nohandler", "def main(event): pass\n")
		run := waitFinished(ctx, startRun(ctx, function, builders.Inputs(2, builders.Index), withWorkers(1)), 60*time.Second)
		Expect(waitReadyReason(ctx, run, v1alpha1.ReasonModuleNotLoaded, time.Second)).To(ContainSubstring("def handler(event)"))
	}, SpecTimeout(2*time.Minute))

	It("when no node has the GPUs", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "toomany", steadyCode, func(f *v1alpha1.Function) { f.Spec.GPUs = ptr.To[int32](64) })
		run := startRun(ctx, function, builders.Inputs(2, builders.Index))
		message := waitReadyReason(ctx, run, v1alpha1.ReasonPodsUnschedulable, 20*time.Second)
		Expect(message).To(ContainSubstring("nvidia.com/gpu"))
	}, SpecTimeout(2*time.Minute))

	It("when its Function is missing, and starts when the Function appears", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := startRun(ctx, &v1alpha1.Function{ObjectMeta: metav1.ObjectMeta{Name: "late", Namespace: namespace}}, builders.Inputs(3, builders.Index))
		Expect(waitReadyReason(ctx, run, v1alpha1.ReasonFunctionMissing, 20*time.Second)).To(ContainSubstring("late"))
		makeFunction(ctx, namespace, "late", steadyCode)
		waitComplete(ctx, run, 60*time.Second)
	}, SpecTimeout(2*time.Minute))
})

// storedRuns lists the uids of the runs that the outcome store holds, read from the store's file.
func storedRuns(ctx SpecContext) string {
	GinkgoHelper()
	uids, err := readStore(repository, cluster)
	Expect(err).NotTo(HaveOccurred())
	return fmt.Sprint(uids)
}
