package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// outcome is one element of functionruns/results.
type outcome struct {
	Index    int             `json:"index"`
	Status   string          `json:"status"`
	Result   json.RawMessage `json:"result"`
	Error    *outcomeError   `json:"error"`
	Attempts int             `json:"attempts"`
	Start    time.Time       `json:"startTime"`
	End      time.Time       `json:"completionTime"`
	Worker   string          `json:"worker"`
	Node     string          `json:"node"`
}

type outcomeError struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Traceback string `json:"traceback"`
}

// makeFunction creates a Function of Python code on the catalogue's image.
func makeFunction(ctx SpecContext, namespace, name, code string, change ...func(*v1alpha1.Function)) *v1alpha1.Function {
	GinkgoHelper()
	function := builders.Function(namespace, name, append([]func(*v1alpha1.Function){func(f *v1alpha1.Function) { f.Spec.Code = &code }}, change...)...)
	Expect(k8s.Create(ctx, function)).To(Succeed())
	return function
}

// startRun creates a run of the function over the inputs.
func startRun(ctx SpecContext, function *v1alpha1.Function, parameters []v1alpha1.Input, change ...func(*v1alpha1.FunctionRun)) *v1alpha1.FunctionRun {
	GinkgoHelper()
	run := builders.Run(function.Namespace, function.Name+"-", function.Name, parameters, change...)
	Expect(k8s.Create(ctx, run)).To(Succeed())
	return run
}

func withWorkers(n int32) func(*v1alpha1.FunctionRun) {
	return func(run *v1alpha1.FunctionRun) { run.Spec.Workers = ptr.To(n) }
}

// refresh gets the current state of the run.
func refresh(ctx SpecContext, g Gomega, run *v1alpha1.FunctionRun) *v1alpha1.FunctionRun {
	fresh := &v1alpha1.FunctionRun{}
	g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(run), fresh)).To(Succeed())
	return fresh
}

// changeRun updates the spec of a run, with retries: controllers write to it concurrently.
func changeRun(ctx SpecContext, run *v1alpha1.FunctionRun, change func(spec *v1alpha1.FunctionRunSpec)) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		fresh := refresh(ctx, g, run)
		change(&fresh.Spec)
		g.Expect(k8s.Update(ctx, fresh)).To(Succeed())
	}).WithContext(ctx).Should(Succeed())
}

// waitFinished waits until the run has finished and checks that its counts add up.
func waitFinished(ctx SpecContext, run *v1alpha1.FunctionRun, within time.Duration) *v1alpha1.FunctionRun {
	GinkgoHelper()
	var fresh *v1alpha1.FunctionRun
	Eventually(func(g Gomega) {
		fresh = refresh(ctx, g, run)
		g.Expect(meta.IsStatusConditionTrue(fresh.Status.Conditions, v1alpha1.ConditionFinished)).To(BeTrue(), "%s", statusText(fresh))
	}).WithContext(ctx).WithTimeout(within).Should(Succeed())
	p := fresh.Status.Progress
	Expect(p).NotTo(BeNil())
	Expect(p.Pending+p.Running).To(BeZero(), "a finished run has nothing to do: %+v", p)
	Expect(p.Succeeded+p.Failed+p.TimedOut+p.Cancelled).To(Equal(p.Total), "the counts add up: %+v", p)
	return fresh
}

// waitComplete waits until the run has finished with every input succeeded.
func waitComplete(ctx SpecContext, run *v1alpha1.FunctionRun, within time.Duration) *v1alpha1.FunctionRun {
	GinkgoHelper()
	fresh := waitFinished(ctx, run, within)
	Expect(meta.IsStatusConditionTrue(fresh.Status.Conditions, v1alpha1.ConditionComplete)).To(BeTrue(), "%s", statusText(fresh))
	return fresh
}

// waitProgress waits until the condition on the run's counts holds.
func waitProgress(ctx SpecContext, run *v1alpha1.FunctionRun, what string, holds func(p *v1alpha1.RunProgress) bool) *v1alpha1.FunctionRun {
	GinkgoHelper()
	var fresh *v1alpha1.FunctionRun
	Eventually(func(g Gomega) {
		fresh = refresh(ctx, g, run)
		g.Expect(fresh.Status.Progress).NotTo(BeNil(), "%s", statusText(fresh))
		g.Expect(holds(fresh.Status.Progress)).To(BeTrue(), "%s: %s", what, statusText(fresh))
	}).WithContext(ctx).WithTimeout(5 * time.Minute).Should(Succeed())
	return fresh
}

func someDone(n int32) func(p *v1alpha1.RunProgress) bool {
	return func(p *v1alpha1.RunProgress) bool { return p.Succeeded >= n }
}

// waitReadyReason waits until the object's Ready condition has the reason, and returns its message.
func waitReadyReason(ctx SpecContext, run *v1alpha1.FunctionRun, reason string, within time.Duration) string {
	GinkgoHelper()
	message := ""
	Eventually(func(g Gomega) {
		fresh := refresh(ctx, g, run)
		ready := meta.FindStatusCondition(fresh.Status.Conditions, v1alpha1.ConditionReady)
		g.Expect(ready).NotTo(BeNil())
		g.Expect(ready.Reason).To(Equal(reason), "%s", statusText(fresh))
		message = ready.Message
	}).WithContext(ctx).WithTimeout(within).Should(Succeed())
	return message
}

func statusText(run *v1alpha1.FunctionRun) string {
	text, err := json.MarshalIndent(run.Status, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// results reads every outcome of a run and checks that each index has exactly one, in order.
func results(ctx SpecContext, run *v1alpha1.FunctionRun) []outcome {
	GinkgoHelper()
	all := partialResults(ctx, run)
	Expect(all).To(HaveLen(int(run.Status.Progress.Total)))
	for i := range all {
		Expect(all[i].Index).To(Equal(i), "results are in order, one an index")
	}
	return all
}

// partialResults reads the outcomes stored so far.
func partialResults(ctx SpecContext, run *v1alpha1.FunctionRun) []outcome {
	GinkgoHelper()
	config := rest.CopyConfig(restConfig)
	config.GroupVersion = &v1alpha1.GroupVersion
	config.APIPath = "/apis"
	config.NegotiatedSerializer = clientgoscheme.Codecs.WithoutConversion()
	c, err := rest.RESTClientFor(config)
	Expect(err).NotTo(HaveOccurred())
	var raw []byte
	// The aggregator returns an error for a short time after an API server has stopped.
	Eventually(func() (err error) {
		raw, err = c.Get().AbsPath("/apis/subresources.sharedcloud.io/v1alpha1/namespaces", run.Namespace, "functionruns", run.Name, "results").DoRaw(ctx)
		return err
	}).WithContext(ctx).Should(Succeed())
	var all []outcome
	Expect(json.Unmarshal(raw, &all)).To(Succeed())
	return all
}

// decode reads a result as a value of type T.
func decode[T any](o outcome) T {
	GinkgoHelper()
	var value T
	Expect(o.Status).To(Equal(v1alpha1.OutcomeSucceeded), "index %d: %+v", o.Index, o.Error)
	Expect(json.Unmarshal(o.Result, &value)).To(Succeed(), "index %d: %s", o.Index, o.Result)
	return value
}

// workersOf lists the pods of a run.
func workersOf(ctx SpecContext, run *v1alpha1.FunctionRun) []corev1.Pod {
	GinkgoHelper()
	pods := &corev1.PodList{}
	Expect(k8s.List(ctx, pods, client.InNamespace(run.Namespace), client.MatchingLabels{v1alpha1.LabelRunUID: string(run.UID)})).To(Succeed())
	return pods.Items
}

// runningWorkers waits until at least n workers of the run are running.
func runningWorkers(ctx SpecContext, run *v1alpha1.FunctionRun, n int) []corev1.Pod {
	GinkgoHelper()
	var running []corev1.Pod
	Eventually(func(g Gomega) {
		running = nil
		for _, pod := range workersOf(ctx, run) {
			if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
				running = append(running, pod)
			}
		}
		g.Expect(len(running)).To(BeNumerically(">=", n))
	}).WithContext(ctx).Should(Succeed())
	return running
}

// onNode runs a command inside the cluster's namespaces, as root on its node.
func onNode(ctx SpecContext, command ...string) string {
	GinkgoHelper()
	driver := filepath.Join(repository, "bin", "cluster-driver")
	args := append([]string{"exec", "--name", cluster, "--"}, command...)
	cmd := exec.CommandContext(ctx, driver, args...)
	cmd.Dir = repository
	out, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s %s: %s", driver, strings.Join(args, " "), out)
	return string(out)
}

// killContainer sends SIGKILL from the node to the first process of each of the pod's containers, the pause process
// apart.
func killContainer(ctx SpecContext, pod corev1.Pod) {
	GinkgoHelper()
	script := fmt.Sprintf(`killed=0
for p in /proc/[0-9]*; do
  grep -q 'pod%s' $p/cgroup 2>/dev/null || continue
  [ "$(awk '/^NSpid/ {print $NF}' $p/status 2>/dev/null)" = 1 ] || continue
  tr '\0' ' ' <$p/cmdline | grep -q pause && continue
  kill -9 ${p#/proc/} && killed=$((killed+1))
done
echo killed $killed`, pod.UID)
	Expect(onNode(ctx, "sh", "-c", script)).To(MatchRegexp(`killed [1-9]`), "a process of pod %s", pod.Name)
}

// kubectl runs kubectl and returns what it prints.
func kubectl(ctx SpecContext, args ...string) string {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	Expect(err).NotTo(HaveOccurred(), "kubectl %s: %s%s", strings.Join(args, " "), out, &stderr)
	return string(out)
}

// served waits until the rollout of the API server is complete and the aggregator has observed it. A terminating pod still
// answers on connections that exist.
func served(ctx SpecContext) {
	GinkgoHelper()
	kubectl(ctx, "rollout", "status", "-n", "sharedcloud-system", "deployment/sharedcloud-apiserver", "--timeout=120s")
	Eventually(func(g Gomega) {
		pods := &corev1.PodList{}
		g.Expect(k8s.List(ctx, pods, client.InNamespace("sharedcloud-system"), client.MatchingLabels{"app.kubernetes.io/component": "apiserver"})).To(Succeed())
		g.Expect(pods.Items).To(HaveEach(HaveField("DeletionTimestamp", BeNil())))
	}).WithContext(ctx).Should(Succeed())
	kubectl(ctx, "wait", "--for=condition=Available", "--timeout=120s", "apiservice/v1alpha1.subresources.sharedcloud.io", "apiservice/v1.rest.sharedcloud.io")
}

// cutter returns the address of a proxy on loopback that closes each connection after the given number of bytes, and counts
// them.
func cutter(ctx SpecContext, to string, most int64, cut func()) string {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(listener.Close)
	serve := func(from net.Conn) {
		defer GinkgoRecover()
		defer func() { _ = from.Close() }()
		target, err := net.Dial("tcp", to)
		Expect(err).NotTo(HaveOccurred())
		defer func() { _ = target.Close() }()
		go func() { _, _ = io.Copy(from, target) }()
		if sent, _ := io.CopyN(target, from, most); sent == most {
			cut()
		}
	}
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(from)
		}
	}()
	return listener.Addr().String()
}

// operatorPod is the running pod of one of the operator's Deployments.
func operatorPod(ctx SpecContext, component string) corev1.Pod {
	GinkgoHelper()
	var found corev1.Pod
	Eventually(func(g Gomega) {
		pods := &corev1.PodList{}
		g.Expect(k8s.List(ctx, pods, client.InNamespace("sharedcloud-system"), client.MatchingLabels{"app.kubernetes.io/component": component})).To(Succeed())
		g.Expect(pods.Items).To(ContainElement(HaveField("Status.Phase", corev1.PodRunning), &[]corev1.Pod{}))
		for _, pod := range pods.Items {
			if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
				found = pod
			}
		}
		g.Expect(found.Name).NotTo(BeEmpty())
	}).WithContext(ctx).Should(Succeed())
	return found
}

// describeNamespace prints the objects to look at after a failure.
func describeNamespace(ctx SpecContext, namespace string) {
	for _, args := range [][]string{
		{"get", "functions,functionruns,jobs,pods", "-o", "wide", "-n", namespace},
		{"get", "functionruns", "-o", "jsonpath={range .items[*]}{.metadata.name}{\"\\t\"}{.status}{\"\\n\"}{end}", "-n", namespace},
		{"get", "events", "-n", namespace, "--sort-by=.lastTimestamp"},
		{"logs", "-n", namespace, "-l", v1alpha1.LabelRunUID, "--tail=15", "--prefix"},
		{"logs", "-n", "sharedcloud-system", "deployment/sharedcloud-apiserver", "--tail=40"},
		{"logs", "-n", "sharedcloud-system", "deployment/sharedcloud-controller-manager", "--tail=40"},
	} {
		out, err := exec.CommandContext(ctx, "kubectl", args...).CombinedOutput()
		fmt.Fprintf(GinkgoWriter, "$ kubectl %s\n%s%v\n", strings.Join(args, " "), out, err)
	}
}
