package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// said is the output of the plugin and its exit code.
type said struct {
	stdout, stderr string
	code           int
}

// plugin runs kubectl-function in the namespace.
func plugin(ctx SpecContext, namespace, stdin string, args ...string) said {
	GinkgoHelper()
	program := filepath.Join(repository, "bin", "kubectl-function")
	Expect(program).To(BeAnExistingFile(), "run `make plugin` first")
	cmd := exec.CommandContext(ctx, program, append(args, "-n", namespace)...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		Expect(err).NotTo(HaveOccurred())
	}
	fmt.Fprintf(GinkgoWriter, "$ kubectl function %s\n%s%s", strings.Join(args, " "), stdout.String(), stderr.String())
	return said{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// did runs the plugin, which must succeed, and returns its standard output.
func did(ctx SpecContext, namespace, stdin string, args ...string) string {
	GinkgoHelper()
	got := plugin(ctx, namespace, stdin, args...)
	Expect(got.code).To(BeZero(), "kubectl function %s: %s%s", strings.Join(args, " "), got.stdout, got.stderr)
	return got.stdout
}

const halves = `def handler(event):
    print("for", event[0])
    if event[0] % 4 == 3:
        raise ValueError("no half of %d" % event[0])
    return event[0] / 2
`

var _ = Describe("kubectl function", func() {
	It("runs inputs from standard input, waits, and reads their results and logs", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		makeFunction(ctx, namespace, "halves", halves)
		var lines strings.Builder
		for i := range 20 {
			_, _ = fmt.Fprintln(&lines, i)
		}
		got := plugin(ctx, namespace, lines.String(), "run", "halves", "--file", "-", "--name", "first", "--workers", "2", "--wait")
		Expect(got.code).To(Equal(1))
		Expect(got.stdout).To(ContainSubstring("functionrun.sharedcloud.io/first started over 20 inputs"))
		Expect(got.stderr).To(ContainSubstring("first: 5 of 20 inputs did not succeed (5 failed): indexes 3,7,11,15,19."))

		rows, err := csv.NewReader(strings.NewReader(did(ctx, namespace, "", "results", "first", "-o", "csv"))).ReadAll()
		Expect(err).NotTo(HaveOccurred())
		Expect(rows).To(HaveLen(21))
		Expect(rows[3][:3]).To(Equal([]string{"2", "Succeeded", "1.0"}))
		Expect(rows[4][:5]).To(Equal([]string{"3", "Failed", "", "ValueError", "no half of 3"}))
		Expect(did(ctx, namespace, "", "log", "first", "2")).To(Equal("for 2\n"))
		Expect(did(ctx, namespace, "", "log", "first", "--failed", "--stream", "stdout")).To(Equal("[3] for 3\n[7] for 7\n[11] for 11\n[15] for 15\n[19] for 19\n"))

		description := did(ctx, namespace, "", "describe", "first")
		Expect(description).To(And(ContainSubstring("What to do:"), ContainSubstring("5×  ValueError: no half of 3"), ContainSubstring("inputs 3,7,11,15,19")))

		By("rerunning the failed inputs")
		got = plugin(ctx, namespace, "", "rerun", "first", "--failed", "--name", "again", "--wait")
		Expect(got.code).To(Equal(1))
		Expect(got.stderr).To(ContainSubstring("again: 5 of 5 inputs did not succeed"))
		Expect(did(ctx, namespace, "", "list", "runs", "--function", "halves", "-o", "name")).To(Equal("functionrun.sharedcloud.io/again\nfunctionrun.sharedcloud.io/first\n"))
	}, SpecTimeout(3*time.Minute))

	It("follows a run: each result once, in order, as soon as it exists", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		makeFunction(ctx, namespace, "slow", "import time\ndef handler(event):\n    time.sleep(0.2)\n    return event[0]\n")
		inputs, err := json.Marshal(builders.Inputs(30, builders.Index))
		Expect(err).NotTo(HaveOccurred())
		got := plugin(ctx, namespace, "", "run", "slow", "--params", string(inputs), "--workers", "3", "--follow", "--quiet")
		Expect(got.code).To(BeZero(), got.stderr)
		decoder := json.NewDecoder(strings.NewReader(got.stdout))
		for i := range 30 {
			var o outcome
			Expect(decoder.Decode(&o)).To(Succeed())
			Expect(o.Index).To(Equal(i))
			Expect(decode[int](o)).To(Equal(i))
		}
		Expect(decoder.More()).To(BeFalse())
	}, SpecTimeout(2*time.Minute))

	It("uploads inputs over a connection that breaks again and again, while the API server restarts", func(ctx SpecContext) {
		needsLocalCluster("a Kubernetes API that has a certificate for 127.0.0.1")
		namespace := newNamespace(ctx)
		makeFunction(ctx, namespace, "many", "def handler(event):\n    return event[0]\n")
		var lines strings.Builder
		for i := range 60_000 {
			_, _ = fmt.Fprintf(&lines, "[%d, %q]\n", i, strings.Repeat("x", 200))
		}
		var cuts atomic.Int32
		address := cutter(ctx, strings.TrimPrefix(restConfig.Host, "https://"), 2<<20, func() {
			if cuts.Add(1) == 2 {
				pod := operatorPod(ctx, "apiserver")
				Expect(k8s.Delete(ctx, &pod)).To(Succeed())
			}
		})
		did(ctx, namespace, lines.String(), "run", "many", "--file", "-", "--name", "broken", "--spec", `{"suspend": true}`, "--server", "https://"+address)
		Expect(cuts.Load()).To(BeNumerically(">=", 5))
		served(ctx)
		did(ctx, namespace, lines.String(), "run", "many", "--file", "-", "--name", "whole", "--spec", `{"suspend": true}`)
		var digests []string
		for _, name := range []string{"broken", "whole"} {
			run := &v1alpha1.FunctionRun{}
			Expect(k8s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, run)).To(Succeed())
			Expect(run.Spec.ParametersFrom.Upload.Count).To(BeEquivalentTo(60_000))
			digests = append(digests, run.Spec.ParametersFrom.Upload.Digest)
		}
		Expect(digests[0]).To(Equal(digests[1]))
	}, SpecTimeout(6*time.Minute))

	It("suspends, resumes and cancels a run, and stops waiting at its timeout", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		makeFunction(ctx, namespace, "slow", "import time\ndef handler(event):\n    time.sleep(event[0])\n")
		got := plugin(ctx, namespace, "", "run", "slow", "--params", "((1,), (1,), (300,), (300,))", "--name", "long", "--workers", "1", "--wait", "--timeout", "2s")
		Expect(got.code).To(Equal(4))
		Expect(got.stderr).To(ContainSubstring("the run long continues"))
		run := &v1alpha1.FunctionRun{}
		Expect(k8s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "long"}, run)).To(Succeed())
		waitProgress(ctx, run, "two are done", someDone(2))
		did(ctx, namespace, "", "suspend", "long")
		waitReadyReason(ctx, run, v1alpha1.ReasonSuspended, time.Minute)
		Expect(did(ctx, namespace, "", "describe", "long")).To(ContainSubstring("Continue it with: kubectl function resume long -n " + namespace))
		did(ctx, namespace, "", "resume", "long")
		waitProgress(ctx, run, "a worker is at it again", func(p *v1alpha1.RunProgress) bool { return p.Running == 1 })
		did(ctx, namespace, "", "cancel", "long")
		got = plugin(ctx, namespace, "", "results", "long", "--follow", "-o", "table", "--quiet")
		Expect(got.code).To(Equal(1))
		Expect(strings.Count(got.stdout, "Succeeded")).To(Equal(2))
		Expect(strings.Count(got.stdout, "Cancelled")).To(BeNumerically(">=", 2))
		Expect(plugin(ctx, namespace, "", "suspend", "long").code).To(Equal(2))
	}, SpecTimeout(3*time.Minute))

	It("reports errors in a sentence, and creates nothing from invalid input", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		makeFunction(ctx, namespace, "broken", halves, func(f *v1alpha1.Function) { f.Spec.Image = "nosuch" })
		Eventually(func(g Gomega) {
			description := did(ctx, namespace, "", "describe", "function", "broken")
			g.Expect(description).To(And(ContainSubstring("What is wrong:"), ContainSubstring("nosuch"), ContainSubstring("kubectl get functionimages -A")))
		}).WithContext(ctx).Should(Succeed())
		makeFunction(ctx, namespace, "unloadable", "import nosuchmodule\n")
		got := plugin(ctx, namespace, "", "run", "unloadable", "--params", "((1,),)", "--name", "bad", "--wait", "--timeout", "2m")
		Expect(got.code).To(Equal(1))
		Expect(got.stderr).To(ContainSubstring("nosuchmodule"))

		got = plugin(ctx, namespace, "[1]\n{\n", "run", "unloadable", "--file", "-", "--name", "half")
		Expect(got.code).To(Equal(2))
		Expect(got.stderr).To(ContainSubstring("line 2"))
		Expect(plugin(ctx, namespace, "", "run", "nosuch", "--params", "((1,),)").code).To(Equal(3))
		Expect(plugin(ctx, namespace, "", "run", "unloadable", "--params", "((1,),)", "--spec", `{"workers": 0}`).code).To(Equal(2))
		Expect(did(ctx, namespace, "", "list", "runs", "-o", "name")).To(Equal("functionrun.sharedcloud.io/bad\n"))
	}, SpecTimeout(3*time.Minute))

	It("shows the difference between revisions, and rolls back", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := makeFunction(ctx, namespace, "versions", "def handler(event): return 'old'\n")
		revisions := func(g Gomega, n int) {
			g.Expect(strings.Count(did(ctx, namespace, "", "revisions", "versions", "-o", "name"), "configmap/")).To(Equal(n))
		}
		Eventually(revisions).WithArguments(1).WithContext(ctx).Should(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(function), function)).To(Succeed())
			function.Spec.Code = ptr.To("def handler(event): return 'new'\n")
			g.Expect(k8s.Update(ctx, function)).To(Succeed())
		}).WithContext(ctx).Should(Succeed())
		Eventually(revisions).WithArguments(2).WithContext(ctx).Should(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(did(ctx, namespace, "", "diff", "versions")).To(And(ContainSubstring("-def handler(event): return 'old'"), ContainSubstring("+def handler(event): return 'new'")))
		}).WithContext(ctx).Should(Succeed())
		did(ctx, namespace, "", "rollback", "versions")
		Eventually(func(g Gomega) {
			g.Expect(plugin(ctx, namespace, "", "run", "versions", "--params", "((),)", "--follow", "-q").stdout).To(ContainSubstring(`"result":"old"`))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(3*time.Minute))

	It("writes the files of a new function, which pass their local test and run on the cluster", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		folder := filepath.Join(GinkgoT().TempDir(), "hello")
		did(ctx, namespace, "", "init", folder)
		Expect(did(ctx, namespace, "", "test", folder)).To(ContainSubstring(`"Hello World"`))
		kubectl(ctx, "apply", "--server-side", "-n", namespace, "-k", folder)
		Expect(did(ctx, namespace, "", "run", "hello", "--file", filepath.Join(folder, "inputs.json"), "--follow", "-q")).To(ContainSubstring(`"result":"Hello World"`))
	}, SpecTimeout(2*time.Minute))

	It("checks an installation, and uses the API server directly with --functions-server", func(ctx SpecContext) {
		needsLocalCluster("the GPUs that the local node simulates, and the address of the REST API")
		namespace := newNamespace(ctx)
		report := did(ctx, namespace, "", "doctor", "--smoke")
		Expect(report).To(And(ContainSubstring("✓ the manager is ready"), ContainSubstring("✓ the API server is available through the cluster's API"),
			ContainSubstring("8 GPUs"), ContainSubstring("✓ a run with the image"), ContainSubstring("✓ the 9 admission policies are installed and enforced")))
		Expect(did(ctx, namespace, "", "list", "-o", "name")).To(BeEmpty(), "what --smoke made is gone")
		did(ctx, namespace, "", "token", "--serviceaccount", "default")

		makeFunction(ctx, namespace, "halves", halves)
		at := []string{"--functions-server", os.Getenv("SHAREDCLOUD_URL"), "--functions-server-ca", os.Getenv("SHAREDCLOUD_CA")}
		Eventually(func(g Gomega) {
			got := plugin(ctx, namespace, "", append([]string{"run", "halves", "--params", "((4,),)", "--follow", "-q"}, at...)...)
			g.Expect(got.stdout).To(ContainSubstring(`"result":2.0`), got.stderr)
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(3*time.Minute))

	It("works without the aggregated API if the API server is reachable", Serial, func(ctx SpecContext) {
		needsLocalCluster("a cluster whose APIServices may be deleted")
		namespace := newNamespace(ctx)
		makeFunction(ctx, namespace, "halves", halves)
		for _, name := range []string{"v1alpha1.subresources.sharedcloud.io", "v1.rest.sharedcloud.io"} {
			service := &unstructured.Unstructured{}
			service.SetAPIVersion("apiregistration.k8s.io/v1")
			service.SetKind("APIService")
			Expect(k8s.Get(ctx, client.ObjectKey{Name: name}, service)).To(Succeed())
			DeferCleanup(func(ctx SpecContext) {
				for _, field := range []string{"resourceVersion", "uid", "creationTimestamp", "managedFields"} {
					unstructured.RemoveNestedField(service.Object, "metadata", field)
				}
				Expect(k8s.Create(ctx, service)).To(Succeed())
				kubectl(ctx, "wait", "--for=condition=Available", "--timeout=60s", "apiservice/"+name)
			}, NodeTimeout(2*time.Minute))
			Expect(k8s.Delete(ctx, service.DeepCopy())).To(Succeed())
		}
		Eventually(func() string { return refusedBy(ctx, "get", "--raw", subresource(namespace, "functionruns/x/results")) }).
			WithContext(ctx).Should(ContainSubstring("could not find the requested resource"))

		Eventually(func(g Gomega) {
			got := plugin(ctx, namespace, "", "run", "halves", "--params", "((4,), (7,))", "--name", "first", "--follow", "-q", "-o", "csv")
			g.Expect(got.stdout).To(And(ContainSubstring("0,Succeeded,2.0,"), ContainSubstring("1,Failed,,ValueError,no half of 7,")), got.stderr)
			g.Expect(got.code).To(Equal(1))
		}).WithContext(ctx).Should(Succeed())
		Expect(did(ctx, namespace, "", "results", "first", "--failed", "-o", "json")).To(ContainSubstring("no half of 7"))
		Expect(did(ctx, namespace, "", "log", "first", "0")).To(Equal("for 4\n"))
		Expect(did(ctx, namespace, "", "describe", "first")).To(ContainSubstring("1×  ValueError: no half of 7"))
		Expect(did(ctx, namespace, "", "list", "runs", "-o", "name")).To(Equal("functionrun.sharedcloud.io/first\n"))
		Expect(plugin(ctx, namespace, "", "rerun", "first", "--failed", "--name", "again", "--wait").stderr).To(ContainSubstring("again: 1 of 1 input did not succeed"))
		Expect(did(ctx, namespace, "", "run", "halves", "--params", "((4,),)", "--name", "more", "--spec", `{"suspend": true}`, "-o", "name")).To(Equal("functionrun.sharedcloud.io/more\n"))
		did(ctx, namespace, "", "resume", "more")
		did(ctx, namespace, "", "cancel", "more")

		By("reporting what is missing without the address of the API server")
		GinkgoT().Setenv("SHAREDCLOUD_URL", "")
		got := plugin(ctx, namespace, "", "results", "first")
		Expect(got.code).To(Equal(3))
		Expect(got.stderr).To(And(ContainSubstring("this cluster has no aggregated API"), ContainSubstring("--functions-server https://")))
	}, SpecTimeout(3*time.Minute))
})
