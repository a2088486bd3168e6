package e2e

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// subresource is the path of a subresource for kubectl's --raw.
func subresource(namespace, rest string) string {
	return "/apis/subresources.sharedcloud.io/v1alpha1/namespaces/" + namespace + "/" + rest
}

// upload creates a run with the inputs in a file, through functions/run.
func upload(ctx SpecContext, function *v1alpha1.Function, query, text string) *v1alpha1.FunctionRun {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "inputs")
	Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	return uploadFile(ctx, function, query, file)
}

func uploadFile(ctx SpecContext, function *v1alpha1.Function, query, file string) *v1alpha1.FunctionRun {
	GinkgoHelper()
	made := kubectl(ctx, "create", "--raw", subresource(function.Namespace, "functions/"+function.Name+"/run?"+query), "-f", file)
	run := &v1alpha1.FunctionRun{}
	Expect(json.Unmarshal([]byte(made), run)).To(Succeed(), made)
	return run
}

// refusedBy runs kubectl, which must fail, and returns its error output.
func refusedBy(ctx SpecContext, args ...string) string {
	GinkgoHelper()
	out, err := exec.CommandContext(ctx, "kubectl", args...).CombinedOutput()
	Expect(err).To(HaveOccurred(), "%s", out)
	return string(out)
}

const echoCode = `
def handler(event):
    if event[0] == 'bad':
        raise ValueError('this one is bad')
    print('saw', event[0])
    return event[0]
`

var _ = Describe("Inputs", func() {
	It("that are uploaded as lines, an array, a table or a Python tuple reach the handler in order", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "echo", "def handler(event): return list(event)\n")
		waitFunctionReady(ctx, function)
		for query, tc := range map[string]struct{ text, want string }{
			"format=ndjson&name=lines":                       {"[1, \"a\"]\n\n{\"b\": 2}\n", `[[1,"a"],[{"b":2}]]`},
			"name=array":                                     {`[[1], [2], []]`, `[[1],[2],[]]`},
			"format=csv&name=table":                          {"x,1\ny,2\n", `[["x","1"],["y","2"]]`},
			"format=csv&header=true&cells=json&name=columns": {"k,n\nx,1\n", `[[{"k":"x","n":1}]]`},
			"format=python&name=inputs&spec={\"workers\":1}": {"((1, 'é'), (2,))", `[[1,"é"],[2]]`},
		} {
			run := waitComplete(ctx, upload(ctx, function, strings.ReplaceAll(query, `"`, "%22"), tc.text), time.Minute)
			var all []json.RawMessage
			for _, o := range results(ctx, run) {
				all = append(all, o.Result)
			}
			got, err := json.Marshal(all)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(got)).To(MatchJSON(tc.want), query)
		}
	}, SpecTimeout(2*time.Minute))

	It("that cannot be read create no run", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "echo", echoCode)
		waitFunctionReady(ctx, function)
		file := filepath.Join(GinkgoT().TempDir(), "inputs")
		Expect(os.WriteFile(file, []byte("[1]\n[2\n"), 0o600)).To(Succeed())
		Expect(refusedBy(ctx, "create", "--raw", subresource(function.Namespace, "functions/echo/run?format=ndjson"), "-f", file)).
			To(ContainSubstring("the inputs cannot be read: line 2: it is not JSON"))
		Expect(refusedBy(ctx, "create", "--raw", subresource(function.Namespace, "functions/none/run?format=ndjson"), "-f", file)).
			To(ContainSubstring(`functions.sharedcloud.io "none" not found`))
		runs := &v1alpha1.FunctionRunList{}
		Expect(k8s.List(ctx, runs, client.InNamespace(function.Namespace))).To(Succeed())
		Expect(runs.Items).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("in a ConfigMap are those it held when the run was pinned", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := makeFunction(ctx, namespace, "echo", "import time\ndef handler(event):\n    time.sleep(0.2)\n    return repr(event[0])\n")
		source := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "sweep", Namespace: namespace}, Data: map[string]string{"inputs.py": "(\n(b'\\xff',),\n" + strings.Repeat("((1, 2),),\n", 20) + ")"}}
		Expect(k8s.Create(ctx, source)).To(Succeed())
		run := startRun(ctx, function, nil, withWorkers(1), func(run *v1alpha1.FunctionRun) {
			run.Spec.ParametersFrom = &v1alpha1.ParametersSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "sweep", Key: "inputs.py"}}
		})
		waitProgress(ctx, run, "one is done", someDone(1))
		Expect(k8s.Delete(ctx, source)).To(Succeed())
		all := results(ctx, waitComplete(ctx, run, time.Minute))
		Expect(all).To(HaveLen(21))
		Expect(decode[string](all[0])).To(Equal(`b'\xff'`))
		Expect(decode[string](all[20])).To(Equal("(1, 2)"))
	}, SpecTimeout(2*time.Minute))

	It("that no longer exist end the run with a reason", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "echo", echoCode)
		run := startRun(ctx, function, nil, func(run *v1alpha1.FunctionRun) {
			run.Spec.ParametersFrom = &v1alpha1.ParametersSource{Upload: &v1alpha1.UploadReference{Digest: "sha256:" + strings.Repeat("0", 64), Count: 3}}
		})
		failed := waitFinished(ctx, run, time.Minute)
		Expect(statusText(failed)).To(SatisfyAll(ContainSubstring(v1alpha1.ReasonInputsUnavailable), ContainSubstring("upload them again")))
		Expect(failed.Status.Progress.Failed).To(BeEquivalentTo(3))
	}, SpecTimeout(2*time.Minute))

	// No process may use memory that grows with the number of inputs: the report has it, and the bounds are far below the 100 MB
	// of inputs and the 100 MB of outcomes.
	It("of a million inputs of 100 bytes are uploaded, executed and read back", func(ctx SpecContext) {
		needsLocalCluster("the node, to measure memory on it")
		function := makeFunction(ctx, newNamespace(ctx), "million", "def handler(event): return event[0] * 2\n")
		waitFunctionReady(ctx, function)
		const n = 1_000_000
		file := filepath.Join(GinkgoT().TempDir(), "million.ndjson")
		out, err := os.Create(file)
		Expect(err).NotTo(HaveOccurred())
		lines := bufio.NewWriterSize(out, 1<<20)
		for i := range n {
			index := strconv.Itoa(i)
			fmt.Fprintf(lines, "[%s,%q]\n", index, strings.Repeat("x", 100-len(index)-5))
		}
		Expect(lines.Flush()).To(Succeed())
		Expect(out.Close()).To(Succeed())

		run := uploadFile(ctx, function, "format=ndjson&name=million", file)
		waitProgress(ctx, run, "half of it is done", someDone(n/2))
		reportMemory(ctx, "python3", 100) // a worker
		run = waitComplete(ctx, run, 8*time.Minute)
		Expect(run.Status.Progress.Succeeded).To(BeEquivalentTo(n))

		// Through the aggregator a response ends after 50 seconds at the latest, at the end of a line: the next one continues there.
		index := 0
		for began := -1; index > began && index < n; {
			began = index
			stream := exec.CommandContext(ctx, "kubectl", "get", "--raw", subresource(run.Namespace, fmt.Sprintf("functionruns/million/results?format=ndjson&from=%d", index)))
			answers, err := stream.StdoutPipe()
			Expect(err).NotTo(HaveOccurred())
			Expect(stream.Start()).To(Succeed())
			for scanner := bufio.NewScanner(answers); scanner.Scan(); index++ {
				if want := fmt.Sprintf(`{"index":%d,"status":"Succeeded","result":%d,`, index, 2*index); !bytes.HasPrefix(scanner.Bytes(), []byte(want)) {
					Fail(fmt.Sprintf("line %d is %s", index, scanner.Bytes()))
				}
			}
			Expect(stream.Wait()).To(Succeed())
		}
		Expect(index).To(Equal(n))

		reportMemory(ctx, "apiserver", 600)
		reportMemory(ctx, "manager", 150)
	}, SpecTimeout(12*time.Minute))
})

// reportMemory reports the peak resident memory of the processes of that name on the node, which must be below the given
// number of MiB.
func reportMemory(ctx SpecContext, name string, most int) {
	GinkgoHelper()
	highest := onNode(ctx, "sh", "-c", fmt.Sprintf(
		`for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = %s ] && awk '/VmHWM/ {print int($2/1024)}' $p/status; done | sort -n | tail -n 1`, name))
	mib, err := strconv.Atoi(strings.TrimSpace(highest))
	Expect(err).NotTo(HaveOccurred(), highest)
	AddReportEntry("highest resident memory of "+name, fmt.Sprintf("%d MiB", mib))
	Expect(mib).To(BeNumerically("<", most), "MiB of %s", name)
}

// waitFunctionReady waits until runs of the function can start.
func waitFunctionReady(ctx SpecContext, function *v1alpha1.Function) {
	GinkgoHelper()
	kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=60s", "-n", function.Namespace, "function/"+function.Name)
}

var _ = Describe("Outputs", func() {
	It("are served as a table, by index and failed only, and a rerun executes the failed inputs", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "echo", echoCode)
		waitFunctionReady(ctx, function)
		run := waitFinished(ctx, upload(ctx, function, "format=ndjson&name=first", "\"a\"\n\"bad\"\n\"c, d\"\n\"bad\"\n"), time.Minute)
		raw := func(query string) string {
			return kubectl(ctx, "get", "--raw", subresource(run.Namespace, "functionruns/first/"+query))
		}
		rows, err := csv.NewReader(strings.NewReader(raw("results?format=csv"))).ReadAll()
		Expect(err).NotTo(HaveOccurred())
		Expect(rows).To(HaveLen(5))
		Expect(rows[0][:5]).To(Equal([]string{"index", "status", "result", "error_type", "error_message"}))
		Expect(rows[3][:5]).To(Equal([]string{"2", "Succeeded", "c, d", "", ""}))
		Expect(rows[4][:5]).To(Equal([]string{"3", "Failed", "", "ValueError", "this one is bad"}))
		Expect(strings.Count(raw("results?format=ndjson&failed=true"), "\n")).To(Equal(2))
		Expect(raw("results?format=ndjson&indexes=0,2")).To(MatchRegexp(`^{"index":0,.*\n{"index":2,.*\n$`))
		Expect(raw("log")).To(MatchRegexp(`(?s)^\[0\] saw a\n\[1 err\] Traceback .*\[1 err\] ValueError: this one is bad\n\[2\] saw c, d\n\[3 err\] `))

		again := &v1alpha1.FunctionRun{}
		Expect(json.Unmarshal([]byte(kubectl(ctx, "create", "--raw", subresource(run.Namespace, "functionruns/first/rerun?name=again"), "-f", os.DevNull)), again)).To(Succeed())
		Expect(again.Labels).To(HaveKeyWithValue(v1alpha1.LabelRerunOf, "first"))
		Expect(again.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRerunIndexes, "1,3"))
		Expect(results(ctx, waitFinished(ctx, again, time.Minute))).To(HaveLen(2))
	}, SpecTimeout(2*time.Minute))

	It("of one input and of all inputs are followed live, and are complete after the pods are gone", func(ctx SpecContext) {
		const steps = 30
		function := makeFunction(ctx, newNamespace(ctx), "steps", fmt.Sprintf(`
import time
def handler(event):
    for step in range(%d):
        print(event[0], 'step', step, time.time(), flush=True)
        time.sleep(0.5)
`, steps))
		run := startRun(ctx, function, builders.Inputs(2, func(i int) any { return fmt.Sprint("input-", i) }), withWorkers(2))
		waitProgress(ctx, run, "both are executed", func(p *v1alpha1.RunProgress) bool { return p.Running == 2 })
		follow := exec.CommandContext(ctx, "kubectl", "get", "--raw", subresource(run.Namespace, "functionruns/"+run.Name+"/log?follow=true"))
		output, err := follow.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(follow.Start()).To(Succeed())
		scanner := bufio.NewScanner(output)
		seen, late := map[string]int{}, []float64{}
		for scanner.Scan() {
			var index, step int
			var name string
			var at float64
			_, err := fmt.Sscanf(scanner.Text(), "[%d] %s step %d %f", &index, &name, &step, &at)
			Expect(err).NotTo(HaveOccurred(), scanner.Text())
			Expect(name).To(Equal(fmt.Sprint("input-", index)))
			Expect(step).To(Equal(seen[name]), "every line once, in order")
			seen[name]++
			late = append(late, float64(time.Now().UnixMicro())/1e6-at)
		}
		Expect(follow.Wait()).To(Succeed())
		Expect(seen).To(Equal(map[string]int{"input-0": steps, "input-1": steps}))
		// Output from before the follow is older; the last lines of each input were live.
		live := late[len(late)-steps/2:]
		AddReportEntry("latency of followed output", fmt.Sprintf("%.2f s", live))
		quick := 0
		for _, seconds := range live {
			if seconds < 1 {
				quick++
			}
		}
		Expect(quick).To(BeNumerically(">=", len(live)*3/4), "output is followed with less than a second's delay: %.2f", live)

		waitComplete(ctx, run, time.Minute)
		Eventually(func() []corev1.Pod { return workersOf(ctx, run) }).WithContext(ctx).Should(BeEmpty())
		one := kubectl(ctx, "get", "--raw", subresource(run.Namespace, "functionruns/"+run.Name+"/log?index=1"))
		Expect(strings.Count(one, "input-1 step")).To(Equal(steps))
		Expect(one).NotTo(ContainSubstring("input-0"))
	}, SpecTimeout(2*time.Minute))

	It("of a module that is loaded are kept after the pods are gone, whether it loads or not", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		loaded := makeFunction(ctx, namespace, "loaded", "import sys\nprint('loading the model')\nprint('deprecated', file=sys.stderr)\n"+
			"def handler(event):\n    print('input', event[0])\n    return event[0]\n")
		run := startRun(ctx, loaded, builders.Inputs(2, builders.Index), withWorkers(1))
		waitComplete(ctx, run, time.Minute)
		Eventually(func() []corev1.Pod { return workersOf(ctx, run) }).WithContext(ctx).Should(BeEmpty())
		log := kubectl(ctx, "get", "--raw", subresource(namespace, "functionruns/"+run.Name+"/log"))
		Expect(log).To(MatchRegexp(`\[load \S+\] loading the model\n`))
		Expect(log).To(MatchRegexp(`\[load \S+ err\] deprecated\n`))
		Expect(strings.Index(log, "loading the model")).To(BeNumerically("<", strings.Index(log, "input 0")), log)

		missing := makeFunction(ctx, namespace, "missing", "print('looking for weights')\nimport no_such_library\ndef handler(event): return 1\n")
		failed := waitFinished(ctx, startRun(ctx, missing, builders.Inputs(1, builders.Index), withWorkers(1)), time.Minute)
		Expect(failed.Status.Conditions).To(ContainElement(HaveField("Reason", v1alpha1.ReasonModuleNotLoaded)))
		Expect(kubectl(ctx, "get", "--raw", subresource(namespace, "functionruns/"+failed.Name+"/log"))).To(ContainSubstring("looking for weights"))
	}, SpecTimeout(2*time.Minute))

	It("of an input that calls sys.exit are an exception, and its process continues", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "exits", "import os, sys\ndef handler(event):\n    if event[0] == 1:\n        sys.exit('no such image: 1')\n    return os.getpid()\n")
		run := waitFinished(ctx, startRun(ctx, function, builders.Inputs(4, builders.Index), withWorkers(1)), time.Minute)
		Expect(run.Status.Progress.Failed).To(BeEquivalentTo(1))
		processes := map[string]bool{}
		for _, o := range results(ctx, run) {
			if o.Index == 1 {
				Expect(o.Error).To(HaveValue(And(HaveField("Type", "SystemExit"), HaveField("Message", "no such image: 1"))))
				continue
			}
			processes[string(o.Result)] = true
		}
		Expect(processes).To(HaveLen(1), "one process executes all other inputs")
	}, SpecTimeout(2*time.Minute))

	It("of 16 MiB are kept, and a larger one fails with a reason", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "large", "def handler(event): return 'x' * event[0]\n")
		run := waitFinished(ctx, startRun(ctx, function, builders.Inputs(2, func(i int) any { return 16<<20 - 2 + i }), withWorkers(1)), 2*time.Minute)
		all := results(ctx, run)
		Expect(all[0].Status).To(Equal(v1alpha1.OutcomeSucceeded), "%+v", all[0].Error)
		Expect(all[0].Result).To(HaveLen(16 << 20))
		Expect(all[1].Status).To(Equal(v1alpha1.OutcomeFailed))
		Expect(all[1].Error).To(HaveField("Type", "ResultTooLarge"))
	}, SpecTimeout(3*time.Minute))
})

var _ = Describe("A run's subresource cancel", func() {
	It("ends it", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "slow", "import time\ndef handler(event): time.sleep(600)\n", func(f *v1alpha1.Function) { f.Spec.Workers = ptr.To[int32](1) })
		run := startRun(ctx, function, builders.Inputs(3, builders.Index))
		waitProgress(ctx, run, "one is executed", func(p *v1alpha1.RunProgress) bool { return p.Running == 1 })
		kubectl(ctx, "create", "--raw", subresource(run.Namespace, "functionruns/"+run.Name+"/cancel"), "-f", os.DevNull)
		Expect(waitFinished(ctx, run, time.Minute).Status.Progress.Cancelled).To(BeEquivalentTo(3))
	}, SpecTimeout(2*time.Minute))
})
