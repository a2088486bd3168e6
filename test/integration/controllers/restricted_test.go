package controllers

import (
	"fmt"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// rootJob is the Job of a function that runs as root, which an administrator must allow.
const rootJob = "job_root.yaml"

// newRestrictedNamespace creates a namespace that enforces the Pod Security standard restricted.
func newRestrictedNamespace(ctx SpecContext) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "restricted-", Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest",
	}}}
	Expect(k8s.Create(ctx, namespace)).To(Succeed())
	return namespace.Name
}

// podOf is the pod that the Job controller would create from a template.
func podOf(template corev1.PodTemplateSpec, namespace string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
	pod.GenerateName, pod.Namespace = "worker-", namespace
	// A policy reserves these labels, and this test is not about it.
	pod.Labels = nil
	pod.Spec.ServiceAccountName = "default"
	return pod
}

// admitted creates the objects that admission looks up for a pod, and tries to create the pod.
func admitted(ctx SpecContext, pod *corev1.Pod) error {
	if class := pod.Spec.RuntimeClassName; class != nil {
		err := k8s.Create(ctx, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: *class}, Handler: *class})
		Expect(client.IgnoreAlreadyExists(err)).To(Succeed())
	}
	if class := pod.Spec.PriorityClassName; class != "" {
		err := k8s.Create(ctx, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: class}, Value: 1})
		Expect(client.IgnoreAlreadyExists(err)).To(Succeed())
	}
	var err error
	Eventually(func() bool {
		err = k8s.Create(ctx, pod, client.DryRunAll)
		// Admission sees a new class with a delay.
		named := pod.Spec.RuntimeClassName != nil || pod.Spec.PriorityClassName != ""
		return apierrors.IsForbidden(err) && named && !podSecurityRefuses(err)
	}).WithContext(ctx).Should(BeFalse(), "%v", err)
	return err
}

func podSecurityRefuses(err error) bool {
	matches, _ := MatchError(ContainSubstring("violates PodSecurity")).Match(err)
	return err != nil && matches
}

var _ = Describe("A namespace that enforces the Pod Security standard restricted", func() {
	//security:attack tenant | a function's settings make a worker that exceeds Pod Security restricted | the pod of every kind of Job is admitted where restricted is enforced; one that runs as root is refused
	It("admits the pod of every kind of Job, and refuses root", func(ctx SpecContext) {
		namespace := newRestrictedNamespace(ctx)
		files, err := filepath.Glob(filepath.Join("..", "..", "..", "controllers", "workload", "testdata", "job_*.yaml"))
		Expect(err).NotTo(HaveOccurred())
		Expect(len(files)).To(BeNumerically(">=", 9), "the golden Jobs are elsewhere")
		for _, file := range files {
			objects, err := readObjects(file)
			Expect(err).NotTo(HaveOccurred())
			job := &batchv1.Job{}
			Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(objects[0].Object, job)).To(Succeed())
			err = admitted(ctx, podOf(job.Spec.Template, namespace))
			if filepath.Base(file) == rootJob {
				Expect(err).To(MatchError(SatisfyAll(ContainSubstring("violates PodSecurity"), ContainSubstring("runAsNonRoot"))))
				continue
			}
			Expect(err).NotTo(HaveOccurred(), "%s", file)
		}

		By("trying a pod that is not a worker")
		bare := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "bare", Namespace: namespace},
			Spec: corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "c", Image: "c"}}}}
		Expect(podSecurityRefuses(admitted(ctx, bare))).To(BeTrue(), "the standard is not enforced")
	}, SpecTimeout(90*time.Second))

	//security:attack tenant | a run is started in a namespace that enforces Pod Security restricted | the pods of its Job are admitted
	It("admits the pod of the Job that the manager created", func(ctx SpecContext) {
		namespace := newRestrictedNamespace(ctx)
		create(ctx, builders.Function(namespace, "f"), newRun(namespace, "r", "f", 3))
		job := waitJob(ctx, &v1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: namespace}})
		Expect(admitted(ctx, podOf(job.Spec.Template, namespace))).To(Succeed(), fmt.Sprint(job.Spec.Template))
	}, SpecTimeout(90*time.Second))
})
