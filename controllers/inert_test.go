package controllers

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// evil is what an image's registry, the kubelet or a module may say.
const evil = "no\x1b[2J\x1b]0;owned\x07\u009b1m\u202e\u200b\r\nsecond\tthird"

//security:attack tenant | a module's error, an image or a kubelet's message holds control sequences, and plain kubectl prints the condition | the condition is one line without them
func TestConditionsAreInert(t *testing.T) {
	var conditions []metav1.Condition
	w := conditionWriter{conditions: &conditions, now: time.Unix(0, 0)}
	w.stand(standingStalled, v1alpha1.ReasonInvalid, evil)
	w.set(v1alpha1.ConditionEnding, true, v1alpha1.ReasonCancelled, strings.Repeat(evil, 5000))
	for _, c := range conditions {
		if len(c.Message) > conditionLimit {
			t.Errorf("%s has %d bytes", c.Type, len(c.Message))
		}
		checkInert(t, c.Message)
	}
	if want := `no\x1b[2J\x1b]0;owned\x07\u009b1m\u202e\u200b⏎second third`; conditions[0].Message != want {
		t.Errorf("%q, want %q", conditions[0].Message, want)
	}
	if w.set(v1alpha1.ConditionReady, false, v1alpha1.ReasonInvalid, evil) {
		t.Error("the same message counts as another one: the status would be written without end")
	}
}

type keptEvents []string

func (k *keptEvents) Eventf(_, _ runtime.Object, _, _, _, note string, args ...any) {
	*k = append(*k, note)
	for _, arg := range args {
		*k = append(*k, arg.(string))
	}
}

//security:attack tenant | what a pod or a module says goes into an event, and plain kubectl prints it | the event is one line without control sequences
func TestEventsAreInert(t *testing.T) {
	var kept keptEvents
	a := announcer{&kept}
	a.normal(&corev1.Pod{}, "R", "A", evil)
	a.warning(&corev1.Pod{}, "R", "A", strings.Repeat(evil, 100))
	for _, text := range kept {
		if len(text) > eventLimit {
			t.Errorf("%d bytes", len(text))
		}
		checkInert(t, text)
	}
}

//security:attack tenant with pods | the kubelet's report of an image holds control sequences, and a printer column shows the digest | the digest is without them
func TestDigestsAreInert(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: workerContainer, ImageID: evil}}}}
	checkInert(t, digestOf(pod))
}

func checkInert(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if printable.Unsafe(r) {
			t.Fatalf("%U in %q", r, text)
		}
	}
}
