package status

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Kind is the combined meaning of the conditions Ready, Reconciling and Stalled.
type Kind int

const (
	// KindReady: usable, or complete. kstatus: Current.
	KindReady Kind = iota
	// KindProgressing: the controllers or workers are active, or something is missing that is probably still being applied: the
	// image or the ConfigMap that a Function names often comes in the same sync. kstatus: InProgress.
	KindProgressing
	// KindWaiting: neither ready nor active, as intended (a suspended run). kstatus: InProgress.
	KindWaiting
	// KindStalled: blocked until the user intervenes. kstatus: Failed.
	KindStalled
)

// ConditionState is the state of an object as its conditions report it.
type ConditionState struct {
	Kind            Kind
	Reason, Message string
}

// Ready is the state of an object that is usable.
func Ready(reason, message string) ConditionState {
	return ConditionState{Kind: KindReady, Reason: reason, Message: message}
}

// Progressing is the state of an object that becomes ready without help.
func Progressing(reason, message string) ConditionState {
	return ConditionState{Kind: KindProgressing, Reason: reason, Message: message}
}

// Waiting is the state of an object that is not ready, as intended.
func Waiting(reason, message string) ConditionState {
	return ConditionState{Kind: KindWaiting, Reason: reason, Message: message}
}

// Stalled is the state of an object that needs help.
func Stalled(reason, message string) ConditionState {
	return ConditionState{Kind: KindStalled, Reason: reason, Message: message}
}

// maxConditionMessage is the API server's limit on the message of a condition.
const maxConditionMessage = 32768

// Writer sets conditions of one generation at one time.
type Writer struct {
	Conditions *[]metav1.Condition
	Generation int64
	Now        time.Time
}

// set writes one condition and reports whether it changed. The message may repeat text from elsewhere, and plain kubectl prints
// it: it becomes one line without terminal control sequences.
func (w Writer) set(conditionType string, isTrue bool, reason, message string) bool {
	value := metav1.ConditionFalse
	if isTrue {
		value = metav1.ConditionTrue
	}
	return meta.SetStatusCondition(w.Conditions, metav1.Condition{
		Type:               conditionType,
		Status:             value,
		ObservedGeneration: w.Generation,
		LastTransitionTime: metav1.NewTime(w.Now),
		Reason:             reason,
		Message:            printable.Cut(printable.Line(message), maxConditionMessage),
	})
}

// Write sets Ready, Reconciling and Stalled so that kstatus reads them as intended. It reports whether the status or the reason
// of Ready changed, which calls for an event.
func (w Writer) Write(state ConditionState) (changed bool) {
	var before metav1.Condition
	if ready := meta.FindStatusCondition(*w.Conditions, v1alpha1.ConditionReady); ready != nil {
		before = *ready
	}
	w.set(v1alpha1.ConditionReady, state.Kind == KindReady, state.Reason, state.Message)
	w.set(v1alpha1.ConditionReconciling, state.Kind == KindProgressing, state.Reason, onlyIf(state.Kind == KindProgressing, state.Message))
	w.set(v1alpha1.ConditionStalled, state.Kind == KindStalled, state.Reason, onlyIf(state.Kind == KindStalled, state.Message))
	after := meta.FindStatusCondition(*w.Conditions, v1alpha1.ConditionReady)
	return before.Status != after.Status || before.Reason != after.Reason
}

func onlyIf(condition bool, message string) string {
	if condition {
		return message
	}
	return ""
}
