package workers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/work"
)

// PodExits finds out why pods of workers ended.
type PodExits struct{ pods *core.Pods }

var _ work.PodExits = (*PodExits)(nil)

// NewPodExits returns a PodExits that reads pods from the core.
func NewPodExits(pods *core.Pods) *PodExits { return &PodExits{pods: pods} }

// PodExit implements work.PodExits. If the pod has ended in the cache, that is final. If it runs there, the cache may be behind, so the pod is
// read from the Kubernetes API: a worker asks within milliseconds of its SIGTERM.
func (p *PodExits) PodExit(ctx context.Context, namespace, podName string, podUID types.UID) work.PodExit {
	cached, ok := p.pods.Cached(namespace, podName, podUID)
	if ok && core.PodEnded(cached) {
		return PodExitOf(cached)
	}
	live, err := p.pods.Live(ctx, namespace, podName, podUID)
	switch {
	case err == nil:
		return PodExitOf(live)
	case apierrors.IsNotFound(err):
		return p.gone(podUID, cached)
	case ok && terminating(cached):
		// The Kubernetes API is unavailable, but a termination in the cache is final.
		return PodExitOf(cached)
	default:
		return work.PodExit{State: work.PodExitUnknown}
	}
}

// Ending reports whether the pod is being terminated in the cache. That is final; the opposite may be out of date.
func (p *PodExits) Ending(namespace, podName string, podUID types.UID) bool {
	pod, ok := p.pods.Cached(namespace, podName, podUID)
	return ok && terminating(pod)
}

// gone returns the exit of a pod that does not exist any more.
func (p *PodExits) gone(podUID types.UID, cached *corev1.Pod) work.PodExit {
	pod, seen := p.pods.Deleted(podUID)
	if !seen {
		// The deletion event may not have arrived; until then the cache has an earlier state.
		pod = cached
	}
	if pod == nil {
		return work.PodExit{State: work.PodExitGone}
	}
	podExit := PodExitOf(pod)
	if podExit.State == work.PodExitRunning {
		// The deletion ended the running pod. Without a grace period no later state is visible.
		return work.PodExit{State: work.PodExitDisrupted, Terminating: true}
	}
	return podExit
}

// ended returns the exit of a pod that has ended, from the caches alone; false if it has not ended or was never a worker.
func (p *PodExits) ended(namespace, podName string, podUID types.UID) (*corev1.Pod, work.PodExit, bool) {
	if pod, ok := p.pods.Cached(namespace, podName, podUID); ok {
		return pod, PodExitOf(pod), core.PodEnded(pod)
	}
	pod, ok := p.pods.Deleted(podUID)
	if !ok {
		return nil, work.PodExit{State: work.PodExitGone}, false
	}
	return pod, p.gone(podUID, nil), true
}

// PodExitOf returns why a pod ended, from its status.
func PodExitOf(pod *corev1.Pod) work.PodExit {
	ended := core.Terminated(pod)
	switch {
	case disruptedBefore(pod, ended):
		return work.PodExit{State: work.PodExitDisrupted, Terminating: true}
	case ended != nil:
		// Later actions of Kubernetes on the pod do not matter.
		return work.PodExit{State: work.PodExitEnded, ExitCode: ended.ExitCode, Reason: ended.Reason, Message: ended.Message}
	case pod.Status.Phase == corev1.PodFailed && noFault(pod.Status.Reason):
		return work.PodExit{State: work.PodExitDisrupted, Terminating: true}
	case pod.Status.Phase == corev1.PodFailed:
		// The exit code was not observed: the kubelet itself uses 137 for that.
		return work.PodExit{State: work.PodExitEnded, ExitCode: 137, Reason: pod.Status.Reason, Message: pod.Status.Message}
	case pod.Status.Phase == corev1.PodSucceeded:
		return work.PodExit{State: work.PodExitEnded, Reason: "Completed"}
	default:
		return work.PodExit{State: work.PodExitRunning}
	}
}

// disruptedBefore reports whether Kubernetes was terminating the pod when its container ended, or is terminating it now. A pod whose container
// had ended before the pod was deleted (by the Job's deletion or garbage collection) was not disrupted by that. The times have a resolution
// of one second; in doubt, no input is charged.
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
			// The timestamp is the end of the grace period.
			asked = asked.Add(-seconds(*grace))
		}
		if ended == nil || ended.FinishedAt.IsZero() || !ended.FinishedAt.Time.Before(asked) {
			return true
		}
	}
	return false
}

// terminating reports whether a SIGTERM in the pod comes from Kubernetes.
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

// noFault reports whether a pod's reason is one that the kubelet or a controller sets when it ends, or does not start, a pod because of the
// node.
func noFault(reason string) bool {
	switch reason {
	case "Evicted", "Preempting", "NodeShutdown", "Terminated", "NodeLost", "Shutdown", "NodeAffinity",
		"UnexpectedAdmissionError", "OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage", "OutOfnvidia.com/gpu":
		return true
	default:
		return false
	}
}
