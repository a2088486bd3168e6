package workers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/work"
)

// Fates tells the exchange what became of a worker's pod.
type Fates struct{ pods *core.Pods }

var _ work.Fates = (*Fates)(nil)

// NewFates reads pods from the core.
func NewFates(pods *core.Pods) *Fates { return &Fates{pods: pods} }

// Fate of the pod. What the cache says of a pod that is over, or being ended, is final. That a pod is well may be old
// news, so that is asked live: a worker that asks about its SIGTERM got it milliseconds ago.
func (f *Fates) Fate(ctx context.Context, namespace, podName string, podUID types.UID) work.Fate {
	cached, ok := f.pods.Cached(namespace, podName, podUID)
	if ok && core.PodOver(cached) {
		return FateOf(cached)
	}
	live, err := f.pods.Live(ctx, namespace, podName, podUID)
	switch {
	case err == nil:
		return FateOf(live)
	case apierrors.IsNotFound(err):
		return f.gone(podUID, cached)
	case ok && terminating(cached):
		// The API does not answer, but that much is sure.
		return FateOf(cached)
	default:
		return work.Fate{State: work.FateUnknown}
	}
}

// Ending says whether the cache knows that Kubernetes is ending the pod. That is final; the opposite may be old news.
func (f *Fates) Ending(namespace, podName string, podUID types.UID) bool {
	pod, ok := f.pods.Cached(namespace, podName, podUID)
	return ok && terminating(pod)
}

// gone is the fate of a pod that is not in the API any more.
func (f *Fates) gone(podUID types.UID, cached *corev1.Pod) work.Fate {
	pod, seen := f.pods.Deleted(podUID)
	if !seen {
		// The event of its deletion may be on its way; until then the cache has the last state but one.
		pod = cached
	}
	if pod == nil {
		return work.Fate{State: work.FateGone}
	}
	fate := FateOf(pod)
	if fate.State == work.FateRunning {
		// Whoever deletes a pod that has not ended ends it. Without a grace period nothing else is ever seen of it.
		return work.Fate{State: work.FateDisrupted, Terminating: true}
	}
	return fate
}

// over is the fate of a pod that is over, by the caches alone. false: it is not over, or never was one of ours.
func (f *Fates) over(namespace, podName string, podUID types.UID) (*corev1.Pod, work.Fate, bool) {
	if pod, ok := f.pods.Cached(namespace, podName, podUID); ok {
		return pod, FateOf(pod), core.PodOver(pod)
	}
	pod, ok := f.pods.Deleted(podUID)
	if !ok {
		return nil, work.Fate{State: work.FateGone}, false
	}
	return pod, f.gone(podUID, nil), true
}

// FateOf says what became of a pod by what is stored of it.
func FateOf(pod *corev1.Pod) work.Fate {
	ended := core.Terminated(pod)
	switch {
	case disruptedBefore(pod, ended):
		return work.Fate{State: work.FateDisrupted, Terminating: true}
	case ended != nil:
		// What Kubernetes did to the pod after that does not matter.
		return work.Fate{State: work.FateEnded, ExitCode: ended.ExitCode, Reason: ended.Reason, Message: ended.Message}
	case pod.Status.Phase == corev1.PodFailed && noFault(pod.Status.Reason):
		return work.Fate{State: work.FateDisrupted, Terminating: true}
	case pod.Status.Phase == corev1.PodFailed:
		// Nobody saw its container's exit code: 137 is what the kubelet itself writes for that.
		return work.Fate{State: work.FateEnded, ExitCode: 137, Reason: pod.Status.Reason, Message: pod.Status.Message}
	case pod.Status.Phase == corev1.PodSucceeded:
		return work.Fate{State: work.FateEnded, Reason: "Completed"}
	default:
		return work.Fate{State: work.FateRunning}
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
