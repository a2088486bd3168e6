package status

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

//security:attack tenant | a module's error, an image or a kubelet's message holds control sequences, and plain kubectl prints the condition | the condition is one line without them
func TestConditionsAreInert(t *testing.T) {
	var conditions []metav1.Condition
	w := Writer{Conditions: &conditions, Now: time.Unix(0, 0)}
	w.Write(Stalled(v1alpha1.ReasonInvalid, builders.ControlSequences))
	w.set(v1alpha1.ConditionEnding, true, v1alpha1.ReasonCancelled, strings.Repeat(builders.ControlSequences, 5000))
	for _, c := range conditions {
		if len(c.Message) > maxConditionMessage {
			t.Errorf("%s has %d bytes", c.Type, len(c.Message))
		}
		builders.CheckInert(t, c.Message)
	}
	if want := `no\x1b[2J\x1b]0;owned\x07\u009b1m\u202e\u200b⏎second third`; conditions[0].Message != want {
		t.Errorf("%q, want %q", conditions[0].Message, want)
	}
	if w.set(v1alpha1.ConditionReady, false, v1alpha1.ReasonInvalid, builders.ControlSequences) {
		t.Error("the same message counts as a change: the status would be written endlessly")
	}
}
