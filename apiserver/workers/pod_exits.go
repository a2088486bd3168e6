package workers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/work"
)

// PodExits tells the exchange why pods of workers ended.
type PodExits struct{ pods *core.Pods }

var _ work.PodExits = (*PodExits)(nil)

// NewPodExits reads pods from the core.
func NewPodExits(pods *core.Pods) *PodExits { return &PodExits{pods: pods} }

// PodExit of the pod. What the cache says of a pod that is over, or being ended, is final. That a pod is well may be old
// news, so that is asked live: a worker that asks about its SIGTERM got it milliseconds ago.
func (f *PodExits) PodExit(ctx context.Context, namespace, podName string, podUID types.UID) work.PodExit {
	cached, ok := f.pods.Cached(namespace, podName, podUID)
	if ok && core.PodEnded(cached) {
		return PodExitOf(cached)
	}
	live, err := f.pods.Live(ctx, namespace, podName, podUID)
	switch {
	case err == nil:
		return PodExitOf(live)
	case apierrors.IsNotFound(err):
		return f.gone(podUID, cached)
	case ok && terminating(cached):
		// The API does not answer, but that much is sure.
		return PodExitOf(cached)
	default:
		return work.PodExit{State: work.PodExitUnknown}
	}
}

// Ending says whether the cache knows that Kubernetes is ending the pod. That is final; the opposite may be old news.
func (f *PodExits) Ending(namespace, podName string, podUID types.UID) bool {
	pod, ok := f.pods.Cached(namespace, podName, podUID)
	return ok && terminating(pod)
}

// gone is the exit of a pod that no longer exists.
func (f *PodExits) gone(podUID types.UID, cached *corev1.Pod) work.PodExit {
	pod, seen := f.pods.Deleted(podUID)
	if !seen {
		// The event of its deletion may be on its way; until then the cache has the last state but one.
		pod = cached
	}
	if pod == nil {
		return work.PodExit{State: work.PodExitGone}
	}
	podExit := PodExitOf(pod)
	if podExit.State == work.PodExitRunning {
		// Whoever deletes a pod that has not ended ends it. Without a grace period nothing else is ever seen of it.
		return work.PodExit{State: work.PodExitDisrupted, Terminating: true}
	}
	return podExit
}

// over is the exit of a pod that has ended, from the caches alone. false: it has not ended, or was never a worker.
func (f *PodExits) over(namespace, podName string, podUID types.UID) (*corev1.Pod, work.PodExit, bool) {
	if pod, ok := f.pods.Cached(namespace, podName, podUID); ok {
		return pod, PodExitOf(pod), core.PodEnded(pod)
	}
	pod, ok := f.pods.Deleted(podUID)
	if !ok {
		return nil, work.PodExit{State: work.PodExitGone}, false
	}
	return pod, f.gone(podUID, nil), true
}

// PodExitOf returns why a pod ended, from its status.
func PodExitOf(pod *corev1.Pod) work.PodExit {
	ended := core.Terminated(pod)
	switch {
	case disruptedBefore(pod, ended):
		return work.PodExit{State: work.PodExitDisrupted, Terminating: true}
	case ended != nil:
		// What Kubernetes did to the pod after that does not matter.
		return work.PodExit{State: work.PodExitEnded, ExitCode: ended.ExitCode, Reason: ended.Reason, Message: ended.Message}
	case pod.Status.Phase == corev1.PodFailed && noFault(pod.Status.Reason):
		return work.PodExit{State: work.PodExitDisrupted, Terminating: true}
	case pod.Status.Phase == corev1.PodFailed:
		// Nobody saw its container's exit code: 137 is what the kubelet itself writes for that.
		return work.PodExit{State: work.PodExitEnded, ExitCode: 137, Reason: pod.Status.Reason, Message: pod.Status.Message}
	case pod.Status.Phase == corev1.PodSucceeded:
		return work.PodExit{State: work.PodExitEnded, Reason: "Completed"}
	default:
		return work.PodExit{State: work.PodExitRunning}
	}
}

// disruptedBefore says whether Kubernetes was ending the pod when its container ended, or is ending it now. A pod whose
// container had ended by itself before somebody deleted it (the Job's deletion, garbage collection) was not disrupted by
// that. The times have a resolution of a second; when in doubt, nobody is charged.
func disruptedBefore(pod *corev1.Pod, ended *corev1.ContainerStateTerminated) bool {
	if noFault(pod.Status.Reason) && (pod.Status.Phase == corev1.PodFailed || terminating(pod)) {
		return true
	}
	if condition := disruption(pod); condition != nil {
		if ended == nil || ended.FinishedAt.IsZero() || condition.Reason == corev1.PodReasonTerminationByKubelet ||
			!ended.FinishedAt.Time.Before(condition.LastTransitionTime.Time) {
			return true
		}
	}
	if pod.DeletionTimestamp != nil {
		asked := pod.DeletionTimestamp.Time
		if grace := pod.DeletionGracePeriodSeconds; grace != nil {
			// The timestamp is when the grace period is over.
			asked = asked.Add(-seconds(*grace))
		}
		if ended == nil || ended.FinishedAt.IsZero() || !ended.FinishedAt.Time.Before(asked) {
			return true
		}
	}
	return false
}

// terminating says whether a SIGTERM in the pod is Kubernetes' own.
func terminating(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || disruption(pod) != nil
}

func disruption(pod *corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// noFault says whether a pod's reason is one that the kubelet or a controller gives to pods that it ends, or does not
// start, for the node's sake.
func noFault(reason string) bool {
	switch reason {
	case "Evicted", "Preempting", "NodeShutdown", "Terminated", "NodeLost", "Shutdown", "NodeAffinity",
		"UnexpectedAdmissionError", "OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage", "OutOfnvidia.com/gpu":
		return true
	default:
		return false
	}
}
