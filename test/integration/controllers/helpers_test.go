package controllers

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	ac "sharedcloud.io/function-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

func decodeObjects(data []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// newNamespace creates a namespace for one spec. It is never emptied: there is no namespace controller here.
func newNamespace(ctx SpecContext) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-"}}
	Expect(k8s.Create(ctx, namespace)).To(Succeed())
	return namespace.Name
}

func newRun(namespace, name, function string, inputs int, change ...func(*v1alpha1.FunctionRun)) *v1alpha1.FunctionRun {
	return builders.Run(namespace, name, function, builders.Inputs(inputs, func(int) int { return 1 }), change...)
}

// create makes the objects, in order.
func create(ctx SpecContext, objects ...client.Object) {
	GinkgoHelper()
	for _, object := range objects {
		Expect(k8s.Create(ctx, object)).To(Succeed())
	}
}

// fresh reads an object again.
func fresh[T client.Object](ctx SpecContext, g Gomega, object T) T {
	g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
	return object
}

func condition(object client.Object, conditionType string) metav1.Condition {
	var conditions []metav1.Condition
	switch o := object.(type) {
	case *v1alpha1.Function:
		conditions = o.Status.Conditions
	case *v1alpha1.FunctionImage:
		conditions = o.Status.Conditions
	case *v1alpha1.FunctionRun:
		conditions = o.Status.Conditions
	}
	return ptr.Deref(meta.FindStatusCondition(conditions, conditionType), metav1.Condition{})
}

// waitReason waits until Ready has the reason, and returns the message.
func waitReason[T client.Object](ctx SpecContext, object T, reason string) string {
	GinkgoHelper()
	message := ""
	Eventually(func(g Gomega) {
		ready := condition(fresh(ctx, g, object), v1alpha1.ConditionReady)
		g.Expect(ready.Reason).To(Equal(reason), "%s", ready.Message)
		message = ready.Message
	}).WithContext(ctx).Should(Succeed())
	return message
}

// waitCondition waits until a condition is True, and returns it.
func waitCondition[T client.Object](ctx SpecContext, object T, conditionType string) metav1.Condition {
	GinkgoHelper()
	var found metav1.Condition
	Eventually(func(g Gomega) {
		found = condition(fresh(ctx, g, object), conditionType)
		g.Expect(found.Status).To(Equal(metav1.ConditionTrue), "%+v", found)
	}).WithContext(ctx).Should(Succeed())
	return found
}

// jobsOf lists the Jobs of a run.
func jobsOf(ctx SpecContext, g Gomega, run *v1alpha1.FunctionRun) []batchv1.Job {
	list := &batchv1.JobList{}
	g.Expect(k8s.List(ctx, list, client.InNamespace(run.Namespace), client.MatchingLabels{v1alpha1.LabelRunUID: string(run.UID)})).To(Succeed())
	return list.Items
}

// waitJob waits until the run has exactly one Job, recorded in its status, and returns it.
func waitJob(ctx SpecContext, run *v1alpha1.FunctionRun) *batchv1.Job {
	GinkgoHelper()
	job := &batchv1.Job{}
	Eventually(func(g Gomega) {
		fresh(ctx, g, run)
		jobs := jobsOf(ctx, g, run)
		g.Expect(jobs).To(HaveLen(1))
		g.Expect(run.Status.Job).NotTo(BeNil())
		g.Expect(run.Status.Job.UID).To(Equal(jobs[0].UID))
		*job = jobs[0]
	}).WithContext(ctx).Should(Succeed())
	return job
}

// report writes status.progress as the API server.
func report(ctx SpecContext, run *v1alpha1.FunctionRun, progress *ac.RunProgressApplyConfiguration) {
	GinkgoHelper()
	Expect(k8s.Status().Apply(ctx, ac.FunctionRun(run.Name, run.Namespace).WithUID(run.UID).WithStatus(ac.FunctionRunStatus().WithProgress(progress)),
		client.FieldOwner(v1alpha1.FieldManagerAPIServer), client.ForceOwnership)).To(Succeed())
}

func progress(total, succeeded, failed, cancelled int32) *ac.RunProgressApplyConfiguration {
	return ac.RunProgress().WithTotal(total).WithPending(total - succeeded - failed - cancelled).WithRunning(0).
		WithSucceeded(succeeded).WithFailed(failed).WithTimedOut(0).WithCancelled(cancelled)
}

// kstatus is the status that tools compute from the live object.
func kstatus(ctx SpecContext, object client.Object) status.Status {
	GinkgoHelper()
	gvk, err := k8s.GroupVersionKindFor(object)
	Expect(err).NotTo(HaveOccurred())
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(gvk)
	Expect(k8s.Get(ctx, client.ObjectKeyFromObject(object), live)).To(Succeed())
	result, err := status.Compute(live)
	Expect(err).NotTo(HaveOccurred())
	return result.Status
}

// revisionsOf lists the revisions of a function.
func revisionsOf(ctx SpecContext, g Gomega, function *v1alpha1.Function) []corev1.ConfigMap {
	list := &corev1.ConfigMapList{}
	g.Expect(k8s.List(ctx, list, client.InNamespace(function.Namespace), client.MatchingLabels{v1alpha1.LabelFunctionUID: string(function.UID)})).To(Succeed())
	return list.Items
}

// newPod creates the pod of an index from the Job's template in place of the Job controller.
func newPod(ctx SpecContext, job *batchv1.Job, index int) *corev1.Pod {
	GinkgoHelper()
	pod := &corev1.Pod{ObjectMeta: *job.Spec.Template.ObjectMeta.DeepCopy(), Spec: *job.Spec.Template.Spec.DeepCopy()}
	pod.Name, pod.Namespace = fmt.Sprintf("%s-%d-xxxxx", job.Name, index), job.Namespace
	pod.Labels[batchv1.ControllerUidLabel] = string(job.UID)
	pod.Labels[batchv1.JobNameLabel] = job.Name
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}
	pod.Spec.ServiceAccountName = "default" // as admission would
	Expect(k8s.Create(ctx, pod)).To(Succeed())
	return pod
}

// podStatus changes a status in place of scheduler and kubelet.
func podStatus(ctx SpecContext, pod *corev1.Pod, change func(*corev1.PodStatus)) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		fresh(ctx, g, pod)
		change(&pod.Status)
		g.Expect(k8s.Status().Update(ctx, pod)).To(Succeed())
	}).WithContext(ctx).Should(Succeed())
}

func runPod(ctx SpecContext, pod *corev1.Pod, digest string) {
	GinkgoHelper()
	podStatus(ctx, pod, func(s *corev1.PodStatus) {
		s.Phase = corev1.PodRunning
		s.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
		s.ContainerStatuses = []corev1.ContainerStatus{{Name: "worker", Image: pod.Spec.Containers[0].Image, ImageID: digest,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	})
}

func podWaits(ctx SpecContext, pod *corev1.Pod, reason, message string) {
	GinkgoHelper()
	podStatus(ctx, pod, func(s *corev1.PodStatus) {
		s.Phase = corev1.PodPending
		s.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
		s.ContainerStatuses = []corev1.ContainerStatus{{Name: "worker", Image: pod.Spec.Containers[0].Image,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
	})
}

func podUnschedulable(ctx SpecContext, pod *corev1.Pod, message string) {
	GinkgoHelper()
	podStatus(ctx, pod, func(s *corev1.PodStatus) {
		s.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message}}
	})
}
