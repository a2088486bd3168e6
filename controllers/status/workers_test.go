package status

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
	"sharedcloud.io/function-operator/test/builders"
)

func TestWorkersOf(t *testing.T) {
	image := func(message string) *PodProblem {
		return &PodProblem{rankImage, v1alpha1.ReasonImageUnavailable, `the image "sharedcloud/python:latest" cannot be pulled: ` + message}
	}
	tests := []struct {
		name string
		pods []corev1.Pod
		want Workers
	}{
		{name: "without pods there are no workers"},
		{
			name: "running and waiting pods count, completed pods do not",
			pods: []corev1.Pod{
				builders.MakePod("a").Running().Obj(),
				builders.MakePod("b").Obj(),
				builders.MakePod("c").With(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }).Obj(),
			},
			want: Workers{Running: 1, Waiting: 1},
		},
		{
			name: "pods of an earlier Job and pods that are being deleted do not count",
			pods: []corev1.Pod{
				builders.MakePod("old").Running().With(func(p *corev1.Pod) { p.OwnerReferences[0].UID = "other" }).Obj(),
				builders.MakePod("deleted").Running().With(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: builders.Now} }).Obj(),
			},
		},
		{
			name: "an unschedulable pod reports the scheduler's message",
			pods: []corev1.Pod{builders.MakePod("a").Unschedulable("0/1 nodes are available").Obj()},
			want: Workers{Waiting: 1, Problem: &PodProblem{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable, "no node has room: 0/1 nodes are available"}},
		},
		{
			name: "a long message of the scheduler is cut",
			pods: []corev1.Pod{builders.MakePod("a").Unschedulable(strings.Repeat("x", 5000)).Obj()},
			want: Workers{Waiting: 1, Problem: &PodProblem{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable, "no node has room: " + strings.Repeat("x", values.MaxForeignText-3) + "…"}},
		},
		{
			name: "a gated pod reports its scheduling gate",
			pods: []corev1.Pod{builders.MakePod("a").With(func(p *corev1.Pod) {
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated, Message: "kueue"}}
			}).Obj()},
			want: Workers{Waiting: 1, Problem: &PodProblem{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable, "a scheduling gate holds the pods back: kueue"}},
		},
		{
			name: "an image pull error is reported",
			pods: []corev1.Pod{builders.MakePod("a").Waiting("ErrImagePull", "not found").Obj()},
			want: Workers{Waiting: 1, Problem: image("not found")},
		},
		{
			name: "the back-off after it has the same message",
			pods: []corev1.Pod{builders.MakePod("a").Waiting("ImagePullBackOff", `Back-off pulling image "sharedcloud/python:latest": ErrImagePull: not found`).Obj()},
			want: Workers{Waiting: 1, Problem: image("not found")},
		},
		{
			name: "a back-off without a cause has its reason as message",
			pods: []corev1.Pod{builders.MakePod("a").Waiting("ImagePullBackOff", `Back-off pulling image "sharedcloud/python:latest"`).Obj()},
			want: Workers{Waiting: 1, Problem: image("ImagePullBackOff")},
		},
		{
			name: "a container creation error is reported",
			pods: []corev1.Pod{builders.MakePod("a").Waiting("CreateContainerConfigError", `secret "x" not found`).Obj()},
			want: Workers{Waiting: 1, Problem: &PodProblem{rankContainer, v1alpha1.ReasonContainerCannotStart, `the container of the pod a cannot start: secret "x" not found`}},
		},
		{
			name: "an image without the interpreter is a container that cannot start",
			pods: []corev1.Pod{builders.MakePod("a").Died("StartError", 128, `exec: "python3": executable file not found in $PATH`).Obj()},
			want: Workers{Died: 1, Problem: &PodProblem{rankContainer, v1alpha1.ReasonContainerCannotStart, `the container of the pod a cannot start: exec: "python3": executable file not found in $PATH`}},
		},
		{
			name: "a worker killed for its memory is reported",
			pods: []corev1.Pod{builders.MakePod("a").Died("OOMKilled", 137, "").Obj()},
			want: Workers{Died: 1, Problem: &PodProblem{rankDied, v1alpha1.ReasonWorkersDied, "the worker of the pod a died (OOMKilled, exit code 137)"}},
		},
		{
			name: "a worker that exited is reported with its exit code",
			pods: []corev1.Pod{builders.MakePod("a").Died("Error", 1, "").Obj()},
			want: Workers{Died: 1, Problem: &PodProblem{rankDied, v1alpha1.ReasonWorkersDied, "the worker of the pod a died (exit code 1)"}},
		},
		{
			name: "a pod that the node refused has the node's message",
			pods: []corev1.Pod{builders.MakePod("a").With(func(p *corev1.Pod) {
				p.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "UnexpectedAdmissionError", Message: "no devices left"}
			}).Obj()},
			want: Workers{Died: 1, Problem: &PodProblem{rankDied, v1alpha1.ReasonWorkersDied, "the pod a failed: no devices left"}},
		},
		{
			name: "a disrupted pod did not die",
			pods: []corev1.Pod{builders.MakePod("a").Died("Error", 143, "").With(func(p *corev1.Pod) {
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}
			}).Obj()},
		},
		{
			name: "of several problems the one that the user can fix is reported",
			pods: []corev1.Pod{
				builders.MakePod("a").Died("Error", 1, "").Obj(),
				builders.MakePod("b").Unschedulable("no room").Obj(),
				builders.MakePod("c").Waiting("ErrImagePull", "not found").Obj(),
				builders.MakePod("d").Waiting("CreateContainerConfigError", "no secret").Obj(),
			},
			want: Workers{Waiting: 3, Died: 1, Problem: image("not found")},
		},
		{
			name: "a starting pod is checked again at its timeout",
			pods: []corev1.Pod{
				builders.MakePod("a").Scheduled(builders.Now.Add(-10 * time.Second)).Obj(),
				builders.MakePod("b").Scheduled(builders.Now.Add(-20 * time.Second)).Obj(),
			},
			want: Workers{Waiting: 2, Recheck: 10 * time.Second},
		},
		{
			name: "a slow start is reported",
			pods: []corev1.Pod{builders.MakePod("a").Scheduled(builders.Now.Add(-31 * time.Second)).Obj()},
			want: Workers{Waiting: 1, Problem: &PodProblem{rankSlow, v1alpha1.ReasonStarting,
				"the pod a has been starting for more than 30 seconds: a large image is being pulled, or a volume is missing (see kubectl describe pod a)"}},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := WorkersOf(tc.pods, "job", builders.Now)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(PodProblem{})); diff != "" {
				t.Errorf("WorkersOf (-want +got):\n%s", diff)
			}
		})
	}
}
