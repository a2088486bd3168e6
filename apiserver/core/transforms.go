package core

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/parameters"
)

// WorkerContainer is the name of the container that runs the supervisor in a worker's pod.
const WorkerContainer = "worker"

// slimRun drops the inputs and the managed fields of a FunctionRun. Informers do not recover panics of a transform, and an error would stop
// the cache: after any failure the object is kept without its inputs.
func slimRun(obj any) (kept any, err error) {
	run, ok := obj.(*v1alpha1.FunctionRun)
	if !ok {
		return obj, nil
	}
	recordUpdated(run)
	defer func() {
		problem := err
		if p := recover(); p != nil {
			problem = fmt.Errorf("panic: %v", p)
		}
		if problem != nil {
			klog.Background().Error(problem, "Dropping a run's inputs failed", "run", klog.KObj(run))
			run.Spec.Parameters, run.Spec.ParametersLiteral = nil, nil
			kept, err = run, nil
		}
	}()
	return parameters.DropInputs(run)
}

// slimFunction keeps a Function with its code, which REST returns in lists too, and drops its files.
func slimFunction(obj any) (any, error) {
	if function, ok := obj.(*v1alpha1.Function); ok {
		slimMetadata(function)
		function.Spec.Files = nil
	}
	return obj, nil
}

// slimMetadata drops large unused metadata, and keeps the time of the last write.
func slimMetadata(object metav1.Object) {
	recordUpdated(object)
	delete(object.GetAnnotations(), corev1.LastAppliedConfigAnnotation)
}

func slimImage(obj any) (any, error) {
	if image, ok := obj.(*v1alpha1.FunctionImage); ok {
		slimMetadata(image)
	}
	return obj, nil
}

// slimPod keeps the identity of a worker's pod and how it ended.
func slimPod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	return slim(pod), nil
}

func slim(pod *corev1.Pod) *corev1.Pod {
	kept := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:                       pod.Name,
			Namespace:                  pod.Namespace,
			UID:                        pod.UID,
			ResourceVersion:            pod.ResourceVersion,
			CreationTimestamp:          pod.CreationTimestamp,
			DeletionTimestamp:          pod.DeletionTimestamp,
			DeletionGracePeriodSeconds: pod.DeletionGracePeriodSeconds,
			OwnerReferences:            pod.OwnerReferences,
			Labels: pick(pod.Labels, v1alpha1.LabelRun, v1alpha1.LabelRunUID,
				batchv1.JobCompletionIndexAnnotation),
			Annotations: pick(pod.Annotations, batchv1.JobCompletionIndexAnnotation),
		},
		Spec: corev1.PodSpec{NodeName: pod.Spec.NodeName},
		Status: corev1.PodStatus{
			Phase:   pod.Status.Phase,
			Reason:  pod.Status.Reason,
			Message: pod.Status.Message,
		},
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.DisruptionTarget {
			kept.Status.Conditions = []corev1.PodCondition{condition}
		}
	}
	for i := range pod.Status.ContainerStatuses {
		if status := &pod.Status.ContainerStatuses[i]; status.Name == WorkerContainer {
			kept.Status.ContainerStatuses = []corev1.ContainerStatus{{
				Name:         status.Name,
				State:        status.State,
				RestartCount: status.RestartCount,
			}}
		}
	}
	return kept
}

func pick(from map[string]string, keys ...string) map[string]string {
	var picked map[string]string
	for _, key := range keys {
		if value, ok := from[key]; ok {
			if picked == nil {
				picked = make(map[string]string, len(keys))
			}
			picked[key] = value
		}
	}
	return picked
}
