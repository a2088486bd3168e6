package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// nodeManifest is a Function for Node: input 2 fails, input 3 never settles.
const nodeManifest = `
apiVersion: sharedcloud.io/v1alpha1
kind: Function
metadata:
  name: squares
spec:
  runtime: node18
  image: node
  code: |
    const later = (value) => new Promise((resolve) => setTimeout(resolve, 20, value));

    async function handler(event) {
      console.log('for', event[0]);
      console.error('careful', event[0]);
      if (event[0] === 2) throw new RangeError('not two');
      if (event[0] === 3) return new Promise(() => {});
      return { square: await later(event[0] ** 2), of: event };
    }
---
apiVersion: sharedcloud.io/v1alpha1
kind: FunctionRun
metadata:
  name: squares
spec:
  functionRef:
    name: squares
  parameters: [[0], [1, [true, null]], [2], [3], [3000000]]
`

var _ = Describe("A function in Node", func() {
	It("that was applied with kubectl returns the values of its promises", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		apply := exec.CommandContext(ctx, "kubectl", "apply", "-n", namespace, "-f", "-")
		apply.Env, apply.Stdin = os.Environ(), strings.NewReader(nodeManifest)
		out, err := apply.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)

		run := &v1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Name: "squares", Namespace: namespace}}
		run = waitFinished(ctx, run, time.Minute)
		all := results(ctx, run)
		for i, want := range map[int]string{0: `{"square":0,"of":[0]}`, 1: `{"square":1,"of":[1,[true,null]]}`, 4: `{"square":9000000000000,"of":[3000000]}`} {
			Expect(all[i].Status).To(Equal(v1alpha1.OutcomeSucceeded), "%+v", all[i].Error)
			Expect(string(all[i].Result)).To(Equal(want))
		}
		Expect(all[2].Error).To(HaveValue(And(HaveField("Type", "RangeError"), HaveField("Message", "not two"), HaveField("Traceback", ContainSubstring("handler.js:6:")))))
		Expect(all[3].Error).To(HaveValue(And(HaveField("Type", "NeverSettled"), HaveField("Message", ContainSubstring("can never settle")))))

		By("reading its output")
		out, err = exec.CommandContext(ctx, "kubectl", "get", "--raw",
			"/apis/subresources.sharedcloud.io/v1alpha1/namespaces/"+namespace+"/functionruns/squares/results?output=true").Output()
		Expect(err).NotTo(HaveOccurred())
		var printed []struct{ Stdout, Stderr string }
		Expect(json.Unmarshal(out, &printed)).To(Succeed())
		Expect(printed[1].Stdout).To(Equal("for 1\n"))
		Expect(printed[1].Stderr).To(Equal("careful 1\n"))
		Expect(printed[2].Stderr).To(ContainSubstring("careful 2\nRangeError: not two\n    at handler (handler.js:6:"))
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(run), run)).To(Succeed())
		Expect(run.Status.Progress.Failed).To(BeEquivalentTo(2))
	}, SpecTimeout(2*time.Minute))

	It("runs through REST on the image of 2018", func(ctx SpecContext) {
		needsLocalCluster("the address of the REST API, and the images of 2018")
		p := newProgram(ctx, newNamespace(ctx))

		By("greeting")
		jobs := p.called(ctx, imageNode, "async function handler(event) { console.log('for ' + event[0]); await new Promise((resolve) => setTimeout(resolve, 1100)); return 'Hello ' + event[0] }",
			"(('Michael',), ('Grüße',))")
		Expect(jobs).To(HaveLen(2))
		for i, name := range []string{"Michael", "Grüße"} {
			Expect(jobs[i].Status).To(Equal(3), jobs[i].Stderr)
			Expect(jobs[i].Result).To(Equal("Hello " + name))
			Expect(jobs[i].Stdout).To(Equal("for " + name + "\n"))
			Expect(jobs[i].Stderr).To(BeEmpty())
			Expect(jobs[i].Duration).To(HaveValue(BeNumerically(">=", 1)))
		}

		By("returning all kinds of values")
		jobs = p.called(ctx, imageNode, "function handler(event) { return event[0] }", "((42,), (0.9755,), (None,), ((1, 'a'),), ({'a': True},), (1234567890123456789012345678901234567890,))")
		for i, want := range []string{"42", "0.9755", "null", `[1,"a"]`, `{"a":true}`, "1234567890123456789012345678901234567890"} {
			Expect(jobs[i].Result).To(Equal(want))
		}

		By("throwing")
		jobs = p.called(ctx, imageNode, "function handler(event) { console.log('before'); throw new Error('This is a test Exception') }", "((1,),)")
		Expect(jobs[0]).To(And(HaveField("Status", 4), HaveField("Result", ""), HaveField("Stdout", "before\n"),
			HaveField("Stderr", ContainSubstring("Error: This is a test Exception\n    at handler (handler.js:1:"))))

		By("failing on code that is not JavaScript")
		jobs = p.called(ctx, imageNode, "function handler(event) { return (", "((1,),)")
		Expect(jobs[0]).To(And(HaveField("Status", 4), HaveField("Result", ""), HaveField("Stderr", ContainSubstring("SyntaxError"))))
	}, SpecTimeout(2*time.Minute))
})
