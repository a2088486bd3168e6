package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// flakyCode fails the first attempt of each input and returns the start time of each attempt. A worker tells attempts apart by files.
const flakyCode = `
import os, time

def handler(event):
    mark = "/tmp/seen-%d" % event[0]
    if not os.path.exists(mark):
        with open(mark, "w") as f:
            f.write(repr(time.time()))
        raise ConnectionError("not at the first time")
    with open(mark) as f:
        return time.time() - float(f.read())
`

// changeWorkers changes the number of workers of a running run.
func changeWorkers(ctx SpecContext, run *v1alpha1.FunctionRun, n int32) {
	GinkgoHelper()
	changeRun(ctx, run, func(spec *v1alpha1.FunctionRunSpec) { spec.Workers = ptr.To(n) })
}

var _ = Describe("A run", func() {
	It("gets fewer and more workers while it executes; nothing is lost and no input is charged an attempt", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "elastic", "import time\ndef handler(event):\n  time.sleep(0.2)\n  return event[0]\n")
		run := startRun(ctx, function, builders.Inputs(700, builders.Index), withWorkers(4))
		// Interpreters that are still starting cannot handle a signal: the exchange stops them.
		runningWorkers(ctx, run, 4)
		waitProgress(ctx, run, "some are done", someDone(5))
		changeWorkers(ctx, run, 1)
		Eventually(func() []corev1.Pod { return workersOf(ctx, run) }).WithContext(ctx).WithTimeout(2*time.Minute).Should(HaveLen(1), "the others leave")
		changeWorkers(ctx, run, 6)
		runningWorkers(ctx, run, 6)
		run = waitComplete(ctx, run, 4*time.Minute)
		for i, o := range results(ctx, run) {
			Expect(decode[int](o)).To(Equal(i))
			Expect(o.Attempts).To(Equal(1), "index %d", i)
		}
		Expect(run.Status.Job.Number).To(BeEquivalentTo(1), "it is the same Job throughout")
	}, SpecTimeout(8*time.Minute))

	It("keeps its workers when a queue has admitted it, with a condition", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "queued", "import time\ndef handler(event):\n  time.sleep(0.5)\n")
		run := startRun(ctx, function, builders.Inputs(80, builders.Index), withWorkers(2), func(run *v1alpha1.FunctionRun) {
			run.Labels = map[string]string{v1alpha1.LabelQueue: "team"} // no queue controller suspends the Job: it counts as admitted
		})
		runningWorkers(ctx, run, 2)
		changeWorkers(ctx, run, 4)
		Eventually(func(g Gomega) {
			g.Expect(meta.FindStatusCondition(refresh(ctx, g, run).Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring(
				"spec.workers asks for 4 workers, but the queue team has admitted the run with 2"))
		}).WithContext(ctx).Should(Succeed())
		Expect(waitComplete(ctx, run, 2*time.Minute).Status.Workers).To(BeEquivalentTo(2))
	}, SpecTimeout(4*time.Minute))

	It("waits before it retries an input that raised, and executes other inputs in that time", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "flaky", flakyCode, func(f *v1alpha1.Function) {
			f.Spec.Retries, f.Spec.RetryDelaySeconds, f.Spec.Workers = ptr.To[int32](1), ptr.To[int32](3), ptr.To[int32](1)
		})
		begun := time.Now()
		run := waitComplete(ctx, startRun(ctx, function, builders.Inputs(20, builders.Index)), time.Minute)
		for _, o := range results(ctx, run) {
			Expect(o.Attempts).To(Equal(2))
			Expect(decode[float64](o)).To(BeNumerically(">=", 3))
		}
		Expect(time.Since(begun)).To(BeNumerically("<", 40*time.Second), "they waited together, not one after the other")
	}, SpecTimeout(2*time.Minute))

	It("does not retry an input that raised a non-retryable error", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "final", "def handler(event):\n    raise (KeyError if event[0] else OSError)(event[0])\n", func(f *v1alpha1.Function) {
			f.Spec.Retries, f.Spec.RetryDelaySeconds, f.Spec.NonRetryableErrors = ptr.To[int32](2), ptr.To[int32](0), []string{"KeyError"}
		})
		all := results(ctx, waitFinished(ctx, startRun(ctx, function, builders.Inputs(2, builders.Index)), time.Minute))
		Expect([]int{all[0].Attempts, all[1].Attempts}).To(Equal([]int{3, 1}))
		Expect(all[1].Error.Type).To(Equal("KeyError"))
	}, SpecTimeout(2*time.Minute))

	It("ends when more inputs failed than maxFailures allows", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "broken", "import time\ndef handler(event):\n  time.sleep(0.3)\n  raise ValueError(event[0])\n")
		run := startRun(ctx, function, builders.Inputs(500, builders.Index), withWorkers(2), func(r *v1alpha1.FunctionRun) { r.Spec.MaxFailures = ptr.To[int32](3) })
		run = waitFinished(ctx, run, time.Minute)
		Expect(meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionFailed).Reason).To(Equal(v1alpha1.ReasonMaxFailuresExceeded))
		Expect(run.Status.Progress.Failed).To(BeNumerically(">", 3))
		Expect(run.Status.Progress.Cancelled).To(BeNumerically(">", 450))
		Expect(results(ctx, run)[499].Error.Message).To(ContainSubstring("spec.maxFailures"))
		Eventually(func() []corev1.Pod { return workersOf(ctx, run) }).WithContext(ctx).Should(BeEmpty())
	}, SpecTimeout(2*time.Minute))

	It("ends at its deadline", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "slow", "import time\ndef handler(event): time.sleep(600)\n")
		run := startRun(ctx, function, builders.Inputs(2, builders.Index), func(r *v1alpha1.FunctionRun) { r.Spec.ActiveDeadlineSeconds = ptr.To[int32](8) })
		run = waitFinished(ctx, run, time.Minute)
		Expect(meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionFailed).Reason).To(Equal(v1alpha1.ReasonDeadlineExceeded))
		Expect(run.Status.Progress.Cancelled).To(BeEquivalentTo(2))
		Eventually(func() []corev1.Pod { return workersOf(ctx, run) }).WithContext(ctx).Should(BeEmpty())
	}, SpecTimeout(2*time.Minute))
})

var _ = Describe("A function of several files", func() {
	const handler = "import json, os\nimport util\nwith open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'factor.json')) as f: FACTOR = json.load(f)\ndef handler(event): return util.times(event[0], FACTOR)\n"
	files := map[string]string{"util.py": "def times(a, b): return a * b\n", "factor.json": "3\n"}

	It("imports modules beside its code", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "files", handler, func(f *v1alpha1.Function) {
			f.Spec.Files = map[string]v1alpha1.FileText{}
			for name, text := range files {
				f.Spec.Files[name] = v1alpha1.FileText(text)
			}
		})
		for i, o := range results(ctx, waitComplete(ctx, startRun(ctx, function, builders.Inputs(20, builders.Index)), time.Minute)) {
			Expect(decode[int](o)).To(Equal(3 * i))
		}
	}, SpecTimeout(2*time.Minute))

	It("imports modules beside it in its ConfigMap", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		code := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "code", Namespace: namespace}, Data: map[string]string{"handler.py": handler}}
		for name, text := range files {
			code.Data[name] = text
		}
		Expect(k8s.Create(ctx, code)).To(Succeed())
		function := makeFunction(ctx, namespace, "files", "", func(f *v1alpha1.Function) {
			f.Spec.Code, f.Spec.CodeFrom = nil, &v1alpha1.CodeSource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: code.Name}}
		})
		for i, o := range results(ctx, waitComplete(ctx, startRun(ctx, function, builders.Inputs(20, builders.Index)), time.Minute)) {
			Expect(decode[int](o)).To(Equal(3 * i))
		}
	}, SpecTimeout(2*time.Minute))

	It("gets a new revision when a file of a kustomize configMapGenerator has changed", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		root := GinkgoT().TempDir()
		for _, folder := range []string{"config/kustomize", "config/samples/files"} {
			Expect(os.CopyFS(filepath.Join(root, folder), os.DirFS(filepath.Join(repository, folder)))).To(Succeed())
		}
		sample := filepath.Join(root, "config", "samples", "files")
		answers := func(run string) []string {
			all := results(ctx, waitComplete(ctx, &v1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Name: run, Namespace: namespace}}, time.Minute))
			return []string{decode[string](all[0]), decode[string](all[1])}
		}
		made := kubectl(ctx, "apply", "--server-side", "-n", namespace, "-k", sample)
		Expect(made).To(MatchRegexp(`configmap/demo-shout-code-[a-z0-9]{10} serverside-applied`))
		Expect(answers("demo-shout-once")).To(Equal([]string{"HELLO!", "WORLD!"}))

		Expect(os.WriteFile(filepath.Join(sample, "util.py"), []byte("def loud(text):\n    return text.upper() + '?'\n"), 0o600)).To(Succeed())
		kubectl(ctx, "apply", "--server-side", "-n", namespace, "-k", sample)
		Eventually(func(g Gomega) {
			g.Expect(strings.Fields(did(ctx, namespace, "", "revisions", "demo-shout", "-o", "name"))).To(HaveLen(2))
		}).WithContext(ctx).Should(Succeed())
		Expect(answers("demo-shout-once")).To(Equal([]string{"HELLO!", "WORLD!"}), "a run that lies in Git is not executed twice")
		got := plugin(ctx, namespace, "", "run", "demo-shout", "--params", "(('now',),)", "--follow", "-q")
		Expect(got.stdout).To(ContainSubstring(`"result":"NOW?!"`), got.stderr)
	}, SpecTimeout(2*time.Minute))
})
