package workers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/work"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// podBuilder builds pods.
type podBuilder struct{ pod corev1.Pod }

func makePod() *podBuilder {
	b := &podBuilder{}
	b.pod.Namespace, b.pod.Name, b.pod.UID = "space", "pod", "pod-uid"
	b.pod.Status.Phase = corev1.PodRunning
	return b
}

func (b *podBuilder) phase(phase corev1.PodPhase, reason string) *podBuilder {
	b.pod.Status.Phase, b.pod.Status.Reason = phase, reason
	return b
}

func (b *podBuilder) container(name string, state corev1.ContainerState) *podBuilder {
	b.pod.Status.ContainerStatuses = append(b.pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: name, State: state})
	return b
}

func (b *podBuilder) ended(code int32, reason string, at time.Time) *podBuilder {
	return b.container(core.WorkerContainer, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: "m", FinishedAt: metav1.NewTime(at),
	}})
}

func (b *podBuilder) running() *podBuilder {
	return b.container(core.WorkerContainer, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
}

// deleted sets the pod's deletion, requested at a time with a grace period.
func (b *podBuilder) deleted(asked time.Time, grace int64) *podBuilder {
	b.pod.DeletionTimestamp = ptr.To(metav1.NewTime(asked.Add(time.Duration(grace) * time.Second)))
	b.pod.DeletionGracePeriodSeconds = ptr.To(grace)
	return b
}

func (b *podBuilder) disrupted(reason string, at time.Time) *podBuilder {
	b.pod.Status.Conditions = append(b.pod.Status.Conditions, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason, LastTransitionTime: metav1.NewTime(at),
	})
	return b
}

func (b *podBuilder) obj() *corev1.Pod { return &b.pod }

func TestPodExitOf(t *testing.T) {
	disrupted := work.PodExit{State: work.PodExitDisrupted, Terminating: true}
	for name, tc := range map[string]struct {
		pod  *podBuilder
		want work.PodExit
	}{
		"a pod that waits for a node has not ended":                                {makePod().phase(corev1.PodPending, ""), work.PodExit{State: work.PodExitRunning}},
		"a pod whose container runs has not ended":                                 {makePod().running(), work.PodExit{State: work.PodExitRunning}},
		"a container that exited with 0 has ended":                                 {makePod().ended(0, "Completed", noon), work.PodExit{State: work.PodExitEnded, Reason: "Completed", Message: "m"}},
		"a container that was killed for memory has ended":                         {makePod().ended(137, "OOMKilled", noon), work.PodExit{State: work.PodExitEnded, ExitCode: 137, Reason: "OOMKilled", Message: "m"}},
		"the end of another container is not the worker's":                         {makePod().container("sidecar", corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}).running(), work.PodExit{State: work.PodExitRunning}},
		"a pod that is being deleted is disrupted":                                 {makePod().running().deleted(noon, 30), disrupted},
		"a container that ended within the grace period was disrupted":             {makePod().ended(143, "Error", noon.Add(2*time.Second)).deleted(noon, 30), disrupted},
		"a container that ended in the second of the deletion was disrupted":       {makePod().ended(137, "Error", noon).deleted(noon, 30), disrupted},
		"a container that ended before the deletion was not disrupted":             {makePod().ended(137, "OOMKilled", noon.Add(-time.Second)).deleted(noon, 30), work.PodExit{State: work.PodExitEnded, ExitCode: 137, Reason: "OOMKilled", Message: "m"}},
		"a preempted pod is disrupted":                                             {makePod().running().disrupted("PreemptionByScheduler", noon), disrupted},
		"a container that ended before the preemption was not disrupted":           {makePod().ended(1, "Error", noon.Add(-time.Second)).disrupted("PreemptionByScheduler", noon), work.PodExit{State: work.PodExitEnded, ExitCode: 1, Reason: "Error", Message: "m"}},
		"a termination by the kubelet is a disruption, whatever the times":         {makePod().ended(137, "Error", noon.Add(-time.Minute)).disrupted("TerminationByKubelet", noon), disrupted},
		"an evicted pod is disrupted":                                              {makePod().phase(corev1.PodFailed, "Evicted"), disrupted},
		"a pod that the node did not admit is disrupted":                           {makePod().phase(corev1.PodFailed, "OutOfnvidia.com/gpu"), disrupted},
		"a failed pod without a container status has ended":                        {makePod().phase(corev1.PodFailed, "DeadlineExceeded"), work.PodExit{State: work.PodExitEnded, ExitCode: 137, Reason: "DeadlineExceeded"}},
		"a succeeded pod without a container status has ended with 0":              {makePod().phase(corev1.PodSucceeded, ""), work.PodExit{State: work.PodExitEnded, Reason: "Completed"}},
		"a container that ended at an unknown time in a deleted pod was disrupted": {makePod().ended(1, "Error", time.Time{}).deleted(noon, 30), disrupted},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, PodExitOf(tc.pod.obj())); diff != "" {
				t.Errorf("pod exit (-want +got):\n%s", diff)
			}
		})
	}
}
