package controllers

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sharedcloud.io/function-operator/test/builders"
)

type inertEvents []string

func (k *inertEvents) Eventf(_, _ runtime.Object, _, _, _, note string, args ...any) {
	*k = append(*k, note)
	for _, arg := range args {
		*k = append(*k, arg.(string))
	}
}

//security:attack tenant | the message of a pod or a module becomes part of an event, and plain kubectl prints it | the event is one line without control sequences
func TestEventsAreInert(t *testing.T) {
	var kept inertEvents
	a := eventWriter{&kept}
	a.normal(&corev1.Pod{}, "R", "A", builders.ControlSequences)
	a.warning(&corev1.Pod{}, "R", "A", strings.Repeat(builders.ControlSequences, 100))
	for _, text := range kept {
		if len(text) > maxEventNote {
			t.Errorf("%d bytes", len(text))
		}
		builders.CheckInert(t, text)
	}
}
