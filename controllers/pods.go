package controllers

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// slowStart is how long a scheduled pod may be starting before that is worth a word.
const slowStart = 30 * time.Second

// crew is what the pods of a run's Job look like together.
type crew struct {
	// running pods have a running container.
	running int
	// waiting pods are not there yet, with or without a trouble.
	waiting int
	// died pods ended by themselves with an error; the exchange counts them and ends the run when they are too many.
	died int
	// trouble is the most telling reason why a pod waits or died; nil if there is none.
	trouble *trouble
	// recheck is when time alone changes the picture; zero if it doesn't.
	recheck time.Duration
}

// trouble is why a pod does not work. The lower its rank, the more it says about a mistake somebody can mend.
type trouble struct {
	rank    int
	reason  string
	message string
}

const (
	rankImage = iota
	rankContainer
	rankUnschedulable
	rankDied
	rankSlow
)

// crewOf looks at the pods of one Job. Pods of an earlier Job of the run may still be leaving: they are not counted.
func crewOf(pods []corev1.Pod, job types.UID, now time.Time) crew {
	var c crew
	for i := range pods {
		pod := &pods[i]
		if pod.Labels[batchv1.ControllerUidLabel] != string(job) || pod.DeletionTimestamp != nil {
			continue
		}
		var found *trouble
		switch {
		case pod.Status.Phase == corev1.PodSucceeded:
			continue
		case pod.Status.Phase == corev1.PodFailed:
			if disrupted(pod) {
				continue
			}
			c.died++
			found = deathOf(pod)
		case containerRunning(pod):
			c.running++
			continue
		default:
			c.waiting++
			found = waitOf(pod, now, &c.recheck)
		}
		if found != nil && (c.trouble == nil || found.rank < c.trouble.rank) {
			c.trouble = found
		}
	}
	return c
}

func disrupted(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.DisruptionTarget && condition.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

func workerStatus(pod *corev1.Pod) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == workerContainer {
			return &pod.Status.ContainerStatuses[i]
		}
	}
	return nil
}

func containerRunning(pod *corev1.Pod) bool {
	status := workerStatus(pod)
	return status != nil && status.State.Running != nil
}

// digestOf is the digest that the kubelet reports for the worker's image; empty as long as it has not.
func digestOf(pod *corev1.Pod) string {
	if status := workerStatus(pod); status != nil {
		return cut(printable.Line(status.ImageID), 1024)
	}
	return ""
}

// waitOf says why a pod does not run yet, in the words of whom it waits for. It returns nil while all is as usual.
func waitOf(pod *corev1.Pod, now time.Time, recheck *time.Duration) *trouble {
	var scheduledAt time.Time
	for _, condition := range pod.Status.Conditions {
		if condition.Type != corev1.PodScheduled {
			continue
		}
		switch {
		case condition.Status == corev1.ConditionTrue:
			scheduledAt = condition.LastTransitionTime.Time
		case condition.Reason == corev1.PodReasonUnschedulable:
			return &trouble{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable,
				"no node has room: " + cut(condition.Message, foreignTextLimit)}
		case condition.Reason == corev1.PodReasonSchedulingGated:
			return &trouble{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable,
				"something holds the pods back by a scheduling gate: " + cut(condition.Message, foreignTextLimit)}
		}
	}
	if status := workerStatus(pod); status != nil && status.State.Waiting != nil {
		if found := containerWait(status, pod.Name); found != nil {
			return found
		}
	}
	if scheduledAt.IsZero() {
		return nil
	}
	if left := slowStart - now.Sub(scheduledAt); left > 0 {
		if *recheck == 0 || left < *recheck {
			*recheck = left
		}
		return nil
	}
	return &trouble{rankSlow, v1alpha1.ReasonStarting, fmt.Sprintf(
		"the pod %s has been starting for more than %d seconds: a large image is being pulled, or a volume is missing (kubectl describe pod %s says which)",
		pod.Name, int(slowStart.Seconds()), pod.Name)}
}

func containerWait(status *corev1.ContainerStatus, pod string) *trouble {
	waiting := status.State.Waiting
	switch waiting.Reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed":
		return &trouble{rankImage, v1alpha1.ReasonImageUnavailable, fmt.Sprintf(
			"the image %q cannot be pulled: %s", status.Image, pullError(waiting))}
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError", "CrashLoopBackOff":
		return &trouble{rankContainer, v1alpha1.ReasonContainerCannotStart, fmt.Sprintf(
			"the container of the pod %s cannot start: %s", pod, cut(firstOf(waiting.Message, waiting.Reason), foreignTextLimit))}
	}
	return nil
}

// pullError is the kubelet's error without the parts that change from try to try, so that ErrImagePull and the
// ImagePullBackOff after it read the same and no status is written for the difference.
func pullError(waiting *corev1.ContainerStateWaiting) string {
	message := waiting.Message
	if _, cause, found := strings.Cut(message, ": ErrImagePull: "); found {
		message = cause
	}
	if strings.HasPrefix(message, "Back-off pulling image") {
		message = ""
	}
	return cut(firstOf(message, waiting.Reason), foreignTextLimit)
}

// deathOf says how a worker's pod ended by itself.
func deathOf(pod *corev1.Pod) *trouble {
	status := workerStatus(pod)
	if status == nil || status.State.Terminated == nil {
		return &trouble{rankDied, v1alpha1.ReasonWorkersDied, fmt.Sprintf(
			"the pod %s failed: %s", pod.Name, cut(firstOf(pod.Status.Message, pod.Status.Reason, "no reason given"), foreignTextLimit))}
	}
	end := status.State.Terminated
	switch end.Reason {
	case "StartError", "ContainerCannotRun":
		return &trouble{rankContainer, v1alpha1.ReasonContainerCannotStart, fmt.Sprintf(
			"the container of the pod %s cannot start: %s", pod.Name, cut(firstOf(end.Message, end.Reason), foreignTextLimit))}
	}
	how := fmt.Sprintf("exit code %d", end.ExitCode)
	if end.Reason != "" && end.Reason != "Error" {
		how = end.Reason + ", " + how
	}
	return &trouble{rankDied, v1alpha1.ReasonWorkersDied, fmt.Sprintf("the worker of the pod %s died (%s)", pod.Name, how)}
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
