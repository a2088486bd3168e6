package controllers

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// withShared is a Function whose spec.pod.sharedMemory has the value: JSON can represent a quantity as a string or as a number.
func withShared(value any, mountPaths ...string) *unstructured.Unstructured {
	GinkgoHelper()
	function := builders.Function("default", "shared", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{{Name: "v", EmptyDir: &v1alpha1.EmptyDir{}}}}
		for _, path := range mountPaths {
			f.Spec.Pod.VolumeMounts = append(f.Spec.Pod.VolumeMounts, v1alpha1.VolumeMount{Name: "v", MountPath: path})
		}
	})
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(function)
	Expect(err).NotTo(HaveOccurred())
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Function"))
	unstructured.RemoveNestedField(object.Object, "status")
	Expect(unstructured.SetNestedField(object.Object, value, "spec", "pod", "sharedMemory")).To(Succeed())
	return object
}

var _ = DescribeTable("A Function may set the shared memory", func(ctx SpecContext, value any, mountPaths ...string) {
	Expect(k8s.Create(ctx, withShared(value, mountPaths...), client.DryRunAll)).To(Succeed())
},
	Entry("to a size", "2Gi"), Entry("to a size in decimal units", "64M"), Entry("to a number of bytes", int64(2<<30)), Entry("to a fraction", "1.5Gi"),
	Entry("to the smallest size", "1Mi"), Entry("to the greatest size", "1Pi"), Entry("to the greatest size by another unit", "1024Ti"),
	Entry("to 0", "0"), Entry("to the number 0", int64(0)), Entry("to 0 with a unit", "0Gi"),
	Entry("beside a volume elsewhere", "2Gi", "/data", "/device/shm"),
	Entry("beside a volume below it", "2Gi", "/dev/shm/models"),
)

var _ = DescribeTable("A Function may not set the shared memory", func(ctx SpecContext, value any, words string, mountPaths ...string) {
	refused(ctx, withShared(value, mountPaths...), words)
},
	//security:attack tenant | shared memory of a negative size, or of more than any node has | refused at admission
	Entry("to a negative size", "-1Gi", "spec.pod.sharedMemory must be 0"),
	Entry("to a negative number", int64(-1), "spec.pod.sharedMemory must be 0"),
	Entry("to a size without a unit", "2", "between 1Mi and 1Pi, such as 2Gi"),
	Entry("to a number that is no size", int64(2), "between 1Mi and 1Pi, such as 2Gi"),
	Entry("to a part of a byte", "500m", "between 1Mi and 1Pi"),
	Entry("to less than the smallest size", "1023Ki", "between 1Mi and 1Pi"),
	Entry("to more than the greatest size", "2Pi", "between 1Mi and 1Pi"),
	//security:attack tenant | shared memory whose power of ten the API server computes when it evaluates the rule on its size | refused: the rule checks the text before it computes
	Entry("to a giant size", "1e2147483646", "spec.pod.sharedMemory"),
	Entry("to a text", "much", "spec.pod.sharedMemory"),
	Entry("with a volume of its own", "2Gi", "spec.pod.sharedMemory cannot be combined with a volume that spec.pod.volumeMounts mounts at /dev/shm: remove one of the two", "/data", "/dev/shm"),
	Entry("with a volume of its own by '//'", "2Gi", "cannot be combined", "//dev//shm//"),
	Entry("with a volume of its own by '/.'", "2Gi", "cannot be combined", "/./dev/./shm/."),
	Entry("to 0 with a volume of its own", "0", "cannot be combined", "/dev/shm"),
)

var _ = Describe("The shared memory of a run", func() {
	It("is a volume of its Job, and more than the memory limit is a problem of the Function", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := builders.Function(namespace, "shared", func(f *v1alpha1.Function) {
			f.Spec.Pod = &v1alpha1.PodSettings{
				SharedMemory: ptr.To(v1alpha1.MustParseQuantity("3Gi")),
				Resources:    &v1alpha1.Resources{Limits: v1alpha1.ResourceList{corev1.ResourceMemory: v1alpha1.MustParseQuantity("2Gi")}},
			}
		})
		Expect(k8s.Create(ctx, function)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(fresh(ctx, g, function).Status.Conditions).To(ContainElement(SatisfyAll(
				HaveField("Type", v1alpha1.ConditionReady), HaveField("Reason", v1alpha1.ReasonInvalid),
				HaveField("Message", ContainSubstring("spec.pod.sharedMemory is 3Gi, more than the memory limit 2Gi")))))
		}).WithContext(ctx).Should(Succeed())

		Expect(k8s.Patch(ctx, function, merge(`{"spec":{"pod":{"sharedMemory":"1Gi"}}}`))).To(Succeed())
		run := newRun(namespace, "run", "shared", 1)
		Expect(k8s.Create(ctx, run)).To(Succeed())
		Eventually(func(g Gomega) {
			jobs := &batchv1.JobList{}
			g.Expect(k8s.List(ctx, jobs, client.InNamespace(namespace))).To(Succeed())
			g.Expect(jobs.Items).To(HaveLen(1))
			pod := jobs.Items[0].Spec.Template.Spec
			g.Expect(pod.Containers[0].VolumeMounts).To(ContainElement(SatisfyAll(HaveField("Name", "sharedcloud-shm"), HaveField("MountPath", "/dev/shm"))))
			g.Expect(pod.Volumes).To(ContainElement(SatisfyAll(HaveField("Name", "sharedcloud-shm"),
				HaveField("EmptyDir.Medium", corev1.StorageMediumMemory), HaveField("EmptyDir.SizeLimit.String()", "1Gi"))))
		}).WithContext(ctx).Should(Succeed())
	})
})
