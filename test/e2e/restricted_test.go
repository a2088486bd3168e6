package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/test/builders"
)

var _ = Describe("A namespace that enforces the Pod Security standard restricted", func() {
	//security:attack tenant | workers need more than Pod Security restricted allows, so that it cannot be enforced | a run is executed to its end where it is enforced
	It("runs a function until it has finished", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		labelled := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		Expect(k8s.Patch(ctx, labelled, client.RawPatch("application/merge-patch+json",
			[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`)))).To(Succeed())

		By("refusing a pod that is not restricted")
		bare := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "bare", Namespace: namespace},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "c"}}}}
		Expect(k8s.Create(ctx, bare, client.DryRunAll)).To(MatchError(ContainSubstring("violates PodSecurity")))

		function := makeFunction(ctx, namespace, "whoami", "import os\ndef handler(event): return [event[0], os.getuid()]\n")
		run := waitComplete(ctx, startRun(ctx, function, builders.Inputs(20, builders.Index), withWorkers(2)), 2*time.Minute)
		for i, o := range results(ctx, run) {
			answer := decode[[2]int](o)
			Expect(answer[0]).To(Equal(i))
			Expect(answer[1]).NotTo(BeZero(), "a worker is root")
		}
	}, SpecTimeout(3*time.Minute))
})
