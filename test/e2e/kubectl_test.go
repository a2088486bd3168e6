package e2e

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"sharedcloud.io/function-operator/test/builders"
)

var _ = Describe("kubectl", func() {
	It("explains the fields", func(ctx SpecContext) {
		Expect(kubectl(ctx, "explain", "functionrun.spec")).To(And(
			ContainSubstring("functionRef\t<Object> -required-"), ContainSubstring("parametersLiteral\t<string>"), ContainSubstring("retries\t<integer>"),
			ContainSubstring("retries is the number of additional attempts of an input after an exception")))
		Expect(kubectl(ctx, "explain", "function.spec.pod")).To(SatisfyAll(
			ContainSubstring("runAsUser\t<integer>"), ContainSubstring("sharedMemory is the size of /dev/shm")))
		Expect(kubectl(ctx, "explain", "functionrun.status.progress")).To(ContainSubstring("failedIndexes\t<string>"))
	}, SpecTimeout(time.Minute))

	It("shows a run while it executes, waits for it, describes it and reads its results", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := makeFunction(ctx, namespace, "watched", "import time\ndef handler(event):\n    time.sleep(2)\n    return event[0] + 1\n")
		waitFunctionReady(ctx, function)
		watch := exec.CommandContext(ctx, "kubectl", "get", "functionruns", "-w", "-n", namespace)
		watch.Stderr = GinkgoWriter
		out, err := watch.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		lines := make(chan string, 1000)
		run := startRun(ctx, function, builders.Inputs(4, builders.Index), withWorkers(2))
		Expect(watch.Start()).To(Succeed())
		DeferCleanup(func() { _, _ = watch.Process.Kill(), watch.Wait() })
		go func() {
			defer close(lines)
			for s := bufio.NewScanner(out); s.Scan(); {
				lines <- s.Text()
			}
		}()

		Expect(kubectl(ctx, "wait", "--for=condition=Complete", "functionrun/"+run.Name, "-n", namespace, "--timeout=60s")).To(
			Equal("functionrun.sharedcloud.io/" + run.Name + " condition met\n"))
		var seen []string
		Eventually(lines).WithContext(ctx).Should(Receive(WithTransform(func(line string) string {
			fmt.Fprintln(GinkgoWriter, line)
			seen = append(seen, strings.Join(strings.Fields(line), " "))
			return seen[len(seen)-1]
		}, HavePrefix(run.Name+" True watched Succeeded 4 4 0 "))))
		Expect(seen[0]).To(Equal("NAME READY FUNCTION STATUS TOTAL SUCCEEDED FAILED AGE"))
		Expect(seen).To(ContainElement(HavePrefix(run.Name + " False watched Running 4 ")))

		Eventually(func() string { return kubectl(ctx, "describe", "functionrun", run.Name, "-n", namespace) }).WithContext(ctx).Should(And(
			MatchRegexp(`Status: +True\n +Type: +Complete\n`), MatchRegexp(`Succeeded: +4\n`), MatchRegexp(`Normal +Complete .* All 4 inputs succeeded\.`)))
		Expect(strings.Fields(kubectl(ctx, "get", "functionrun", run.Name, "-n", namespace, "-o", "wide", "--no-headers"))[:4]).To(
			Equal([]string{run.Name, "True", "watched", "Succeeded"}))
		Expect(kubectl(ctx, "get", "--raw", subresource(namespace, "functionruns/"+run.Name+"/results?format=csv&indexes=3"))).To(
			HavePrefix("index,status,result,error_type,error_message,attempts,start_time,completion_time,worker,node\n3,Succeeded,4,,,1,"))
	}, SpecTimeout(2*time.Minute))
})
