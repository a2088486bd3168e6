package e2e

import (
	"fmt"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// countingCode returns its input, an id of the module load, and the number of calls of that load.
const countingCode = `
import time, uuid
LOAD, CALLS = uuid.uuid4().hex, 0

def handler(event):
    global CALLS
    CALLS += 1
    time.sleep(0.06)  # long enough for every worker to have its share
    return [event[0], LOAD, CALLS]
`

var _ = Describe("A run", func() {
	It("of 2,000 inputs on 8 workers has each result at its index, calls the handler once per input and loads the module once per worker", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "count", countingCode)
		run := waitComplete(ctx, startRun(ctx, function, builders.Inputs(2000, builders.Index)), 2*time.Minute)

		loads, workers, calls := map[string]float64{}, map[string]string{}, 0.0
		for i, o := range results(ctx, run) {
			answer := decode[[3]any](o)
			Expect(answer[0]).To(BeEquivalentTo(i))
			Expect(o.Attempts).To(Equal(1))
			Expect(o.Node).NotTo(BeEmpty())
			load, call := answer[1].(string), answer[2].(float64)
			loads[load] = max(loads[load], call)
			if worker, known := workers[load]; known {
				Expect(o.Worker).To(Equal(worker), "one load of the module belongs to one worker")
			}
			workers[load] = o.Worker
		}
		for _, n := range loads {
			calls += n
		}
		Expect(calls).To(BeEquivalentTo(2000), "every call of a handler became an answer, so none was executed twice")
		distinct := map[string]bool{}
		for _, worker := range workers {
			distinct[worker] = true
		}
		Expect(loads).To(HaveLen(len(distinct)), "the module is loaded once per worker")
		Expect(distinct).To(HaveLen(8))
		Expect(run.Status.Progress.FailedIndexes).To(BeEmpty())
		Expect(run.Status.ImageDigest).NotTo(BeEmpty())
	}, SpecTimeout(3*time.Minute))

	It("executes 100,000 trivial inputs", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "trivial", "def handler(event): return event[0] * 2\n")
		run := waitComplete(ctx, startRun(ctx, function, builders.Inputs(100_000, builders.Index)), 4*time.Minute)
		for i, o := range results(ctx, run) {
			if string(o.Result) != fmt.Sprint(2*i) {
				Fail(fmt.Sprintf("index %d: got %s, want %d", i, o.Result, 2*i))
			}
		}
	}, SpecTimeout(5*time.Minute))

	It("ends with its longest input: inputs are not striped over workers", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "lengths", "import time\ndef handler(event): time.sleep(event[0])\n")
		lengths := builders.Inputs(401, func(i int) any {
			if i == 7 {
				return 20
			}
			return 0.05
		})
		run := waitComplete(ctx, startRun(ctx, function, lengths, withWorkers(4)), 2*time.Minute)
		all := results(ctx, run)
		for _, o := range all {
			Expect(o.Start).To(BeTemporally("<=", all[7].End), "the input %d waited for the longest one", o.Index)
		}
	}, SpecTimeout(3*time.Minute))

	It("keeps Python's own types when its inputs are a literal", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "literal", "def handler(event): return [repr(event[0]), type(event).__name__]\n")
		run := startRun(ctx, function, nil, func(run *v1alpha1.FunctionRun) {
			run.Spec.ParametersLiteral = ptr.To("((b'\\xff',), ((1, 2),), (1234567890123456789012345678901234567890,), ('Grüße',))")
		})
		all := results(ctx, waitComplete(ctx, run, time.Minute))
		want := []string{`b'\xff'`, "(1, 2)", "1234567890123456789012345678901234567890", "'Grüße'"}
		for i, o := range all {
			Expect(decode[[]string](o)).To(Equal([]string{want[i], "tuple"}))
		}
	}, SpecTimeout(2*time.Minute))

	It("makes progress with fewer GPUs than its workers request, and ends with its last outcome", func(ctx SpecContext) {
		needsLocalCluster("a node with 8 GPUs")
		function := makeFunction(ctx, newNamespace(ctx), "greedy", "import time\ndef handler(event): time.sleep(0.2)\n",
			func(f *v1alpha1.Function) { f.Spec.GPUs = ptr.To[int32](4) })
		run := waitComplete(ctx, startRun(ctx, function, builders.Inputs(40, builders.Index), withWorkers(6)), time.Minute)
		all := results(ctx, run)
		distinct := map[string]bool{}
		for _, o := range all {
			distinct[o.Worker] = true
		}
		Expect(len(distinct)).To(BeNumerically("<=", 2), "8 GPUs are enough for two workers of 4")
		Eventually(func() []corev1.Pod { return workersOf(ctx, run) }).WithContext(ctx).Should(BeEmpty(), "the pending pods go")
	}, SpecTimeout(2*time.Minute))

	It("stops its pods and deletes its outcomes when it is deleted", func(ctx SpecContext) {
		needsLocalCluster("the file of the outcome store")
		function := makeFunction(ctx, newNamespace(ctx), "deleted", "import time\ndef handler(event): time.sleep(0.1)\n")
		run := startRun(ctx, function, builders.Inputs(1000, builders.Index))
		waitProgress(ctx, run, "some are done", someDone(10))
		Expect(storedRun(ctx, run)).To(BeTrue(), "the store knows the run")
		Expect(k8s.Delete(ctx, run)).To(Succeed())
		Eventually(func() []corev1.Pod { return workersOf(ctx, run) }).WithContext(ctx).Should(BeEmpty())
		Eventually(func() bool { return storedRun(ctx, run) }).WithContext(ctx).WithTimeout(4*time.Minute).Should(BeFalse(), "its rows are swept")
	}, SpecTimeout(6*time.Minute))

	It("finishes when its Function is deleted, because it pinned the revision", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "orphan", "import time\ndef handler(event):\n  time.sleep(0.1)\n  return event[0]\n")
		run := startRun(ctx, function, builders.Inputs(200, builders.Index), withWorkers(2))
		waitProgress(ctx, run, "some are done", someDone(5))
		Expect(k8s.Delete(ctx, function)).To(Succeed())
		// A restarted worker needs the revision too.
		victim := runningWorkers(ctx, run, 1)[0]
		Expect(k8s.Delete(ctx, &victim)).To(Succeed())
		run = waitComplete(ctx, run, 2*time.Minute)
		for i, o := range results(ctx, run) {
			Expect(decode[int](o)).To(Equal(i))
		}
	}, SpecTimeout(4*time.Minute))

	It("that is cancelled records Cancelled for each input without an outcome", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "cancel", "import time\ndef handler(event): time.sleep(event[0])\n")
		run := startRun(ctx, function, builders.Inputs(50, func(i int) any {
			if i < 5 {
				return 0
			}
			return 600
		}), withWorkers(2))
		waitProgress(ctx, run, "the short ones are done", someDone(5))
		changeRun(ctx, run, func(spec *v1alpha1.FunctionRunSpec) { spec.Cancel = true })
		run = waitFinished(ctx, run, time.Minute)
		Expect(run.Status.Progress.Succeeded).To(BeEquivalentTo(5))
		Expect(run.Status.Progress.Cancelled).To(BeEquivalentTo(45))
		Expect(run.Status.Progress.FailedIndexes).To(Equal("5-49"))
		failed := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionFailed)
		Expect(failed.Reason).To(Equal(v1alpha1.ReasonCancelled))
		Expect(results(ctx, run)[5].Status).To(Equal(v1alpha1.OutcomeCancelled))
		Eventually(func() []corev1.Pod { return workersOf(ctx, run) }).WithContext(ctx).Should(BeEmpty())
	}, SpecTimeout(2*time.Minute))

	It("has no workers while it is suspended, and loses nothing", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "pause", "import time\ndef handler(event):\n  time.sleep(0.1)\n  return event[0]\n")
		run := startRun(ctx, function, builders.Inputs(100, builders.Index), withWorkers(2))
		waitProgress(ctx, run, "some are done", someDone(5))
		changeRun(ctx, run, func(spec *v1alpha1.FunctionRunSpec) { spec.Suspend = true })
		Eventually(func() []corev1.Pod { return workersOf(ctx, run) }).WithContext(ctx).Should(BeEmpty())
		Expect(meta.IsStatusConditionTrue(refresh(ctx, Default, run).Status.Conditions, v1alpha1.ConditionSuspended)).To(BeTrue())
		before := partialResults(ctx, run)
		Expect(len(before)).To(BeNumerically("<", 100))
		changeRun(ctx, run, func(spec *v1alpha1.FunctionRunSpec) { spec.Suspend = false })
		run = waitComplete(ctx, run, time.Minute)
		all := results(ctx, run)
		for _, o := range before {
			Expect(all[o.Index]).To(Equal(o), "an outcome stays as it is")
		}
	}, SpecTimeout(3*time.Minute))
})

// storedRun reports whether the outcome store holds rows of the run: its file is on the node's volume.
func storedRun(ctx SpecContext, run *v1alpha1.FunctionRun) bool {
	GinkgoHelper()
	runs := storedRuns(ctx)
	return strings.Contains(runs, string(run.UID))
}

func init() {
	// A cluster with another name has its own folder: fail early with that reason.
	if name := os.Getenv("CLUSTER"); strings.ContainsAny(name, "/ ") {
		panic("CLUSTER must be the plain name of a local cluster")
	}
}
