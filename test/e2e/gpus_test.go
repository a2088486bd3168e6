package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// devicesCode returns the devices of the worker, and takes long enough that all workers execute an input.
const devicesCode = `
import os, time
def handler(event):
    time.sleep(8)
    return os.environ.get("NVIDIA_VISIBLE_DEVICES")
`

var _ = Describe("The workers of a run", func() {
	// The local cluster's node has eight whole GPUs, one GPU shared by time-slicing among four, and two MIG devices.
	DescribeTable("get GPUs of the resource name that the run sets", func(ctx SpecContext, resource string, want []string) {
		needsLocalCluster("the GPUs that the local node simulates")
		function := makeFunction(ctx, newNamespace(ctx), "gpus", devicesCode)
		workers := int32(len(want))
		run := startRun(ctx, function, builders.Inputs(len(want), builders.Index), withWorkers(workers), func(run *v1alpha1.FunctionRun) {
			run.Spec.GPUs, run.Spec.GPUResource = ptr.To[int32](1), ptr.To(resource)
		})
		for _, pod := range runningWorkers(ctx, run, len(want)) {
			Expect(pod.Spec.Containers[0].Resources.Limits).To(HaveKey(corev1.ResourceName(resource)))
			Expect(pod.Spec.Containers[0].Resources.Limits).NotTo(HaveKey(corev1.ResourceName("nvidia.com/gpu")))
		}
		var got []string
		for _, o := range results(ctx, waitComplete(ctx, run, 2*time.Minute)) {
			got = append(got, decode[string](o))
		}
		Expect(got).To(ConsistOf(want))
	},
		Entry("one time-sliced GPU", SpecTimeout(4*time.Minute), "nvidia.com/gpu.shared", []string{"GPU-shared", "GPU-shared", "GPU-shared", "GPU-shared"}),
		Entry("MIG devices, one each", SpecTimeout(4*time.Minute), "nvidia.com/mig-1g.5gb", []string{"MIG-0", "MIG-1"}),
	)

	It("run on the GPU product that the run requests, and wait with a condition while no node has it", Serial, func(ctx SpecContext) {
		needsLocalCluster("the GPUs that the local node simulates")
		const label, wanted = v1alpha1.DefaultGPUProductLabel, "NVIDIA-H100-80GB-HBM3"
		nodes := &corev1.NodeList{}
		Expect(k8s.List(ctx, nodes)).To(Succeed())
		Expect(nodes.Items).To(HaveLen(1))
		node := &nodes.Items[0]
		has := node.Labels[label]
		Expect(has).NotTo(BeEmpty())
		relabel := func(ctx SpecContext, product string) {
			Expect(k8s.Patch(ctx, node, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, label, product)))).To(Succeed())
		}

		function := makeFunction(ctx, newNamespace(ctx), "products", devicesCode)
		of := func(product string) func(*v1alpha1.FunctionRun) {
			return func(run *v1alpha1.FunctionRun) {
				run.Spec.GPUs, run.Spec.GPUProducts = ptr.To[int32](1), []string{product, "NVIDIA-Of-Tomorrow"}
			}
		}
		Expect(results(ctx, waitComplete(ctx, startRun(ctx, function, builders.Inputs(1, builders.Index), of(has)), time.Minute))).To(HaveLen(1))

		run := startRun(ctx, function, builders.Inputs(1, builders.Index), of(wanted))
		message := waitReadyReason(ctx, run, v1alpha1.ReasonPodsUnschedulable, 20*time.Second)
		Expect(message).To(ContainSubstring("affinity"))
		Expect(did(ctx, run.Namespace, "", "describe", run.Name)).To(ContainSubstring(wanted))

		By("adding the product to the node")
		DeferCleanup(func(ctx SpecContext) { relabel(ctx, has) }, NodeTimeout(time.Minute))
		relabel(ctx, wanted)
		all := results(ctx, waitComplete(ctx, run, 2*time.Minute))
		Expect(decode[string](all[0])).To(MatchRegexp(`^GPU-[0-7]$`))
	}, SpecTimeout(6*time.Minute))
})
