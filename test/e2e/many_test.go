package e2e

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// manyCode returns for each input the size of its batch; input 5 kills the process.
var manyCode = map[string]string{
	"python": `
import os
def handler(events):
    if any(event[0] == 5 for event in events):
        os._exit(3)
    return [[event[0], len(events)] for event in events]
`,
	"node": `
async function handler(events) {
  if (events.some((event) => event[0] === 5)) process.exit(3);
  return events.map((event) => [event[0], events.length]);
}
`,
}

var _ = Describe("A handler with a batch size", func() {
	for language, code := range manyCode {
		It("gets batches, and an input that kills the process fails alone, in "+language, func(ctx SpecContext) {
			function := makeFunction(ctx, newNamespace(ctx), "many", code, func(f *v1alpha1.Function) {
				f.Spec.BatchSize, f.Spec.Workers = ptr.To[int32](4), ptr.To[int32](1)
				if language == "node" {
					f.Spec.Runtime, f.Spec.Image = "node20", "node"
				}
			})
			all := results(ctx, waitFinished(ctx, startRun(ctx, function, builders.Inputs(12, builders.Index)), time.Minute))
			for i, o := range all {
				switch {
				case i == 5:
					Expect(o.Status).To(Equal(v1alpha1.OutcomeFailed))
					Expect(o.Error.Message).To(ContainSubstring("exited with status 3"))
				case i/4 == 1:
					Expect(decode[[]int](o)).To(Equal([]int{i, 1}), "its neighbours are tried one by one")
				default:
					Expect(decode[[]int](o)).To(Equal([]int{i, 4}))
				}
			}
		}, SpecTimeout(2*time.Minute))
	}
})

var _ = Describe("The pods of a run", func() {
	It("have the priority class and the GPU resource that the run sets", func(ctx SpecContext) {
		needsLocalCluster("--allowed-priority-classes=e2e-* and GPUs")
		priority := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}, Value: 100}
		Expect(k8s.Create(ctx, priority)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(k8s.Delete(ctx, priority)).To(Succeed()) }, NodeTimeout(time.Minute))
		function := makeFunction(ctx, newNamespace(ctx), "gpus", "import os, time\ndef handler(event):\n    time.sleep(6)\n    return os.environ['NVIDIA_VISIBLE_DEVICES']\n")
		run := startRun(ctx, function, builders.Inputs(1, builders.Index), func(run *v1alpha1.FunctionRun) {
			run.Spec.PriorityClassName, run.Spec.GPUs = ptr.To(priority.Name), ptr.To[int32](2)
			run.Spec.GPUResource = ptr.To("nvidia.com/gpu")
		})
		pod := runningWorkers(ctx, run, 1)[0]
		Expect(pod.Spec.Priority).To(HaveValue(BeEquivalentTo(100)))
		limit := pod.Spec.Containers[0].Resources.Limits["nvidia.com/gpu"]
		Expect(limit.Value()).To(BeEquivalentTo(2))
		all := results(ctx, waitComplete(ctx, run, time.Minute))
		Expect(strings.Split(decode[string](all[0]), ",")).To(HaveLen(2), "the handler sees both")
	}, SpecTimeout(2*time.Minute))
})

var _ = Describe("A run with a time to live", func() {
	It("is deleted after it has finished, with its outcomes", func(ctx SpecContext) {
		needsLocalCluster("the file of the outcome store")
		function := makeFunction(ctx, newNamespace(ctx), "short", "def handler(event): return event[0]\n")
		run := startRun(ctx, function, builders.Inputs(3, builders.Index), func(run *v1alpha1.FunctionRun) { run.Spec.TTLSecondsAfterFinished = ptr.To[int32](5) })
		waitComplete(ctx, run, time.Minute)
		Eventually(func() error { return k8s.Get(ctx, client.ObjectKeyFromObject(run), &v1alpha1.FunctionRun{}) }).
			WithContext(ctx).Should(MatchError(ContainSubstring("not found")))
		Eventually(func() bool { return storedRun(ctx, run) }).WithContext(ctx).WithTimeout(4 * time.Minute).Should(BeFalse())
	}, SpecTimeout(6*time.Minute))
})

var _ = Describe("The results of a run", func() {
	It("are deleted after their own time to live, and the run stays", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := makeFunction(ctx, namespace, "private", halves, func(f *v1alpha1.Function) { f.Spec.ResultsTTLSecondsAfterFinished = ptr.To[int32](3600) })
		run := startRun(ctx, function, builders.Inputs(4, builders.Index), func(run *v1alpha1.FunctionRun) { run.Name = "short" })
		run = waitFinished(ctx, run, time.Minute)
		Expect(results(ctx, run)).To(HaveLen(4))
		Expect(did(ctx, namespace, "", "describe", "short")).To(ContainSubstring("results until "))

		By("shortening it for a finished run")
		kubectl(ctx, "patch", "functionrun", "short", "-n", namespace, "--type=merge", "-p", `{"spec":{"resultsTTLSecondsAfterFinished":1}}`)
		kubectl(ctx, "wait", "--for=jsonpath={.status.progress.resultsDeleted}=true", "functionrun/short", "-n", namespace, "--timeout=60s")
		for _, what := range []string{"results", "log"} {
			Expect(refusedBy(ctx, "get", "--raw", subresource(namespace, "functionruns/short/"+what))).To(ContainSubstring("were deleted at "))
		}
		got := plugin(ctx, namespace, "", "results", "short")
		Expect(got.code).To(Equal(3))
		Expect(got.stderr).To(ContainSubstring("because resultsTTLSecondsAfterFinished has passed"))
		jobs := kubectl(ctx, "get", "--raw", "/apis/rest.sharedcloud.io/v1/jobs?namespace="+namespace+"&run="+string(run.UID))
		Expect(strings.Count(jobs, `"result":"",`)).To(Equal(4), jobs)
		Expect(strings.Count(jobs, `"stderr":"the results, errors and output of the run were deleted at `)).To(Equal(4), jobs)
		Expect(strings.Count(jobs, `"status":3`)).To(Equal(3), jobs)

		By("rerunning the failed inputs, which are still known")
		Expect(did(ctx, namespace, "", "describe", "short")).To(And(
			ContainSubstring("results deleted"), ContainSubstring("The results and the output of the inputs are deleted.")))
		got = plugin(ctx, namespace, "", "rerun", "short", "--failed", "--name", "again", "--wait")
		Expect(got.stderr).To(ContainSubstring("again: 1 of 1 input did not succeed"))
	}, SpecTimeout(3*time.Minute))
})
