package core

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	testclock "k8s.io/utils/clock/testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func makePod(phase corev1.PodPhase) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name, pod.UID = "space", "pod", "uid"
	pod.Status.Phase = phase
	return pod
}

func TestPodsRememberHowDeletedPodsEnded(t *testing.T) {
	for name, tc := range map[string]struct {
		event any
		after time.Duration
		want  bool
	}{
		"an observed deletion":                      {makePod(corev1.PodRunning), 0, true},
		"a missed deletion of a pod that had ended": {toolscache.DeletedFinalStateUnknown{Obj: makePod(corev1.PodFailed)}, 0, true},
		"a missed deletion of a running pod":        {toolscache.DeletedFinalStateUnknown{Obj: makePod(corev1.PodRunning)}, 0, false},
		"an expired deletion":                       {makePod(corev1.PodFailed), deletedTTL + time.Second, false},
		"a tombstone without an object":             {toolscache.DeletedFinalStateUnknown{}, 0, false},
		"something else":                            {(*corev1.Pod)(nil), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			clock := testclock.NewFakeClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
			pods, err := NewPods(idle(&corev1.Pod{}), newGets(t), clock)
			if err != nil {
				t.Fatal(err)
			}
			pods.Remember(tc.event)
			clock.Step(tc.after)
			if _, got := pods.Deleted("uid"); got != tc.want {
				t.Errorf("remembered: %v, want %v", got, tc.want)
			}
		})
	}
}

func TestPodsWithAnotherUIDAreNotFound(t *testing.T) {
	pods, err := NewPods(idle(&corev1.Pod{}), newGets(t, makePod(corev1.PodRunning)), testclock.NewFakeClock(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	add(t, pods.informer, makePod(corev1.PodRunning))
	if _, ok := pods.Cached("space", "pod", "other"); ok {
		t.Error("the cache gave a pod of another uid")
	}
	if _, err := pods.Live(t.Context(), "space", "pod", "other"); !apierrors.IsNotFound(err) {
		t.Errorf("the API gave a pod of another uid: %v", err)
	}
	if _, err := pods.Live(t.Context(), "space", "pod", "uid"); err != nil {
		t.Error(err)
	}
}

func TestSlimPodKeepsIdentityAndEnd(t *testing.T) {
	full := makePod(corev1.PodRunning)
	full.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
	full.Labels = map[string]string{
		v1alpha1.LabelRun: "run", v1alpha1.LabelRunUID: "run-uid",
		batchv1.JobCompletionIndexAnnotation: "3", "app": "mine",
	}
	full.Annotations = map[string]string{"large": "text"}
	full.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", UID: "job"}}
	full.Spec = corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "worker", Env: []corev1.EnvVar{{Name: "SECRET", Value: "x"}}}}}
	full.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady}, {Type: corev1.DisruptionTarget, Reason: "r"}}
	full.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "sidecar"}, {Name: "worker", Image: "image", RestartCount: 1}}

	want := makePod(corev1.PodRunning)
	want.Labels = map[string]string{
		v1alpha1.LabelRun: "run", v1alpha1.LabelRunUID: "run-uid", batchv1.JobCompletionIndexAnnotation: "3",
	}
	want.OwnerReferences = full.OwnerReferences
	want.Spec.NodeName = "node"
	want.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Reason: "r"}}
	want.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "worker", RestartCount: 1}}
	got, err := slimPod(full)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
}
