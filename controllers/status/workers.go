package status

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
)

// slowStartTimeout is how long a scheduled pod may be starting before the condition mentions it.
const slowStartTimeout = 30 * time.Second

// Workers summarizes the pods of a run's Job.
type Workers struct {
	// Running pods have a running container.
	Running int
	// Waiting pods have not started yet, with or without a problem.
	Waiting int
	// Died pods exited with an error by themselves. The exchange counts them, and ends the run when they are too many.
	Died int
	// Problem is the most useful reason why a pod waits or died; nil if there is none.
	Problem *PodProblem
	// Recheck is when time alone changes the summary; zero if it does not.
	Recheck time.Duration
}

// PodProblem is why a pod does not work. Of several, the one with the lowest rank is reported: the user can most likely fix it.
type PodProblem struct {
	rank    int
	Reason  string
	Message string
}

const (
	rankImage = iota
	rankContainer
	rankUnschedulable
	rankDied
	rankSlow
)

// WorkersOf summarizes the pods of one Job. Pods of an earlier Job of the run, and pods that are being deleted, do not count.
func WorkersOf(pods []corev1.Pod, job types.UID, now time.Time) Workers {
	var w Workers
	for i := range pods {
		pod := &pods[i]
		if jobOfPod(pod) != job || pod.DeletionTimestamp != nil {
			continue
		}
		var problem *PodProblem
		switch {
		case pod.Status.Phase == corev1.PodSucceeded:
			continue
		case pod.Status.Phase == corev1.PodFailed:
			if disrupted(pod) {
				continue
			}
			w.Died++
			problem = exitProblem(pod)
		case containerRunning(pod):
			w.Running++
			continue
		default:
			var recheck time.Duration
			w.Waiting++
			problem, recheck = startProblem(pod, now)
			w.Recheck = Soonest(w.Recheck, recheck)
		}
		if problem != nil && (w.Problem == nil || problem.rank < w.Problem.rank) {
			w.Problem = problem
		}
	}
	return w
}

// Soonest is the shorter of two intervals, where zero means none.
func Soonest(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// jobOfPod is the uid of the Job that controls the pod; "" for none. Labels prove nothing: any user who may create pods sets them.
func jobOfPod(pod *corev1.Pod) types.UID {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil || owner.Kind != "Job" || owner.APIVersion != batchv1.SchemeGroupVersion.String() {
		return ""
	}
	return owner.UID
}

// IsWorker reports whether a pod is a worker of the run's latest Job.
func IsWorker(pod *corev1.Pod, run *v1alpha1.FunctionRun) bool {
	return pod.Namespace == run.Namespace && pod.Labels[v1alpha1.LabelRunUID] == string(run.UID) &&
		run.Status.Job != nil && run.Status.Job.UID != "" && jobOfPod(pod) == run.Status.Job.UID
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
		if pod.Status.ContainerStatuses[i].Name == v1alpha1.WorkerContainer {
			return &pod.Status.ContainerStatuses[i]
		}
	}
	return nil
}

func containerRunning(pod *corev1.Pod) bool {
	status := workerStatus(pod)
	return status != nil && status.State.Running != nil
}

// startProblem is why a pod does not run yet, in the words of the component that it waits for. It is nil while the start takes its
// usual course; recheck is then when it takes too long.
func startProblem(pod *corev1.Pod, now time.Time) (problem *PodProblem, recheck time.Duration) {
	var scheduledAt time.Time
	for _, condition := range pod.Status.Conditions {
		if condition.Type != corev1.PodScheduled {
			continue
		}
		switch {
		case condition.Status == corev1.ConditionTrue:
			scheduledAt = condition.LastTransitionTime.Time
		case condition.Reason == corev1.PodReasonUnschedulable:
			return &PodProblem{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable,
				"no node has room: " + printable.Cut(condition.Message, values.MaxForeignText)}, 0
		case condition.Reason == corev1.PodReasonSchedulingGated:
			return &PodProblem{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable,
				"a scheduling gate holds the pods back: " + printable.Cut(condition.Message, values.MaxForeignText)}, 0
		}
	}
	if status := workerStatus(pod); status != nil && status.State.Waiting != nil {
		if problem := containerProblem(status, pod.Name); problem != nil {
			return problem, 0
		}
	}
	if scheduledAt.IsZero() {
		return nil, 0
	}
	if left := slowStartTimeout - now.Sub(scheduledAt); left > 0 {
		return nil, left
	}
	return &PodProblem{rankSlow, v1alpha1.ReasonStarting, fmt.Sprintf(
		"the pod %s has been starting for more than %d seconds: a large image is being pulled, or a volume is missing (see kubectl describe pod %s)",
		pod.Name, int(slowStartTimeout.Seconds()), pod.Name)}, 0
}

func containerProblem(status *corev1.ContainerStatus, pod string) *PodProblem {
	waiting := status.State.Waiting
	switch waiting.Reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed":
		return &PodProblem{rankImage, v1alpha1.ReasonImageUnavailable, fmt.Sprintf(
			"the image %q cannot be pulled: %s", status.Image, pullError(waiting))}
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError", "CrashLoopBackOff":
		return cannotStart(pod, waiting.Message, waiting.Reason)
	}
	return nil
}

func cannotStart(pod, message, reason string) *PodProblem {
	return &PodProblem{rankContainer, v1alpha1.ReasonContainerCannotStart, fmt.Sprintf(
		"the container of the pod %s cannot start: %s", pod, printable.Cut(cmp.Or(message, reason), values.MaxForeignText))}
}

// pullError is the kubelet's error without the parts that change from attempt to attempt: ErrImagePull and the ImagePullBackOff
// after it then have the same message, and the status is not written for the difference.
func pullError(waiting *corev1.ContainerStateWaiting) string {
	message := waiting.Message
	if _, cause, found := strings.Cut(message, ": ErrImagePull: "); found {
		message = cause
	}
	if strings.HasPrefix(message, "Back-off pulling image") {
		message = ""
	}
	return printable.Cut(cmp.Or(message, waiting.Reason), values.MaxForeignText)
}

// exitProblem is how a worker's pod failed.
func exitProblem(pod *corev1.Pod) *PodProblem {
	status := workerStatus(pod)
	if status == nil || status.State.Terminated == nil {
		return &PodProblem{rankDied, v1alpha1.ReasonWorkersDied, fmt.Sprintf("the pod %s failed: %s",
			pod.Name, printable.Cut(cmp.Or(pod.Status.Message, pod.Status.Reason, "no reason given"), values.MaxForeignText))}
	}
	exit := status.State.Terminated
	switch exit.Reason {
	case "StartError", "ContainerCannotRun":
		return cannotStart(pod.Name, exit.Message, exit.Reason)
	}
	how := fmt.Sprintf("exit code %d", exit.ExitCode)
	if exit.Reason != "" && exit.Reason != "Error" {
		how = exit.Reason + ", " + how
	}
	return &PodProblem{rankDied, v1alpha1.ReasonWorkersDied, fmt.Sprintf("the worker of the pod %s died (%s)", pod.Name, how)}
}
