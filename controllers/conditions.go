package controllers

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// standing is what the three conditions of kstatus say together.
type standing int

const (
	// standingReady: usable, or complete. kstatus: Current.
	standingReady standing = iota
	// standingProgressing: somebody is at it, or something is awaited that is likely still being applied: the image or
	// the ConfigMap that a Function names often comes in the same sync. kstatus: InProgress.
	standingProgressing
	// standingWaiting: not ready, nobody is at it, and that is as it should be (a suspended run). kstatus: InProgress.
	standingWaiting
	// standingStalled: nothing goes on without help. kstatus: Failed.
	standingStalled
)

// The most that a condition's message repeats of what others said (the scheduler, the kubelet, an exception).
const foreignTextLimit = 512

// conditionLimit is what the API server takes as a condition's message.
const conditionLimit = 32768

// conditionWriter sets conditions of one generation at one time.
type conditionWriter struct {
	conditions *[]metav1.Condition
	generation int64
	now        time.Time
}

// set writes one condition and says whether it changed. The message may repeat what others wrote, and plain kubectl prints it: it is
// one line, without anything that steers a terminal.
func (w conditionWriter) set(conditionType string, status bool, reason, message string) bool {
	value := metav1.ConditionFalse
	if status {
		value = metav1.ConditionTrue
	}
	return meta.SetStatusCondition(w.conditions, metav1.Condition{
		Type:               conditionType,
		Status:             value,
		ObservedGeneration: w.generation,
		LastTransitionTime: metav1.NewTime(w.now),
		Reason:             reason,
		Message:            cut(printable.Line(message), conditionLimit),
	})
}

// stand writes Ready, Reconciling and Stalled so that kstatus reads them as meant. It says whether Ready changed its
// status or its reason, which is when people are told.
func (w conditionWriter) stand(at standing, reason, message string) bool {
	before := meta.FindStatusCondition(*w.conditions, v1alpha1.ConditionReady)
	var was metav1.Condition
	if before != nil {
		was = *before
	}
	w.set(v1alpha1.ConditionReady, at == standingReady, reason, message)
	w.set(v1alpha1.ConditionReconciling, at == standingProgressing, reason, only(at == standingProgressing, message))
	w.set(v1alpha1.ConditionStalled, at == standingStalled, reason, only(at == standingStalled, message))
	is := meta.FindStatusCondition(*w.conditions, v1alpha1.ConditionReady)
	return was.Status != is.Status || was.Reason != is.Reason
}

func only(condition bool, message string) string {
	if condition {
		return message
	}
	return ""
}
