package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
)

// EventRecorder is the part of client-go's events.EventRecorder that these controllers use.
type EventRecorder interface {
	Eventf(regarding runtime.Object, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Reasons and actions of events, in addition to the reasons of conditions.
const (
	eventRevisionCreated  = "RevisionCreated"
	eventRevisionReplaced = "RevisionReplaced"
	eventJobCreated       = "JobCreated"
	eventResized          = "Resized"
	eventEnding           = "Ending"
	eventComplete         = "Complete"
	eventFailed           = "Failed"

	actionCreate    = "Create"
	actionReconcile = "Reconcile"
	actionResize    = "Resize"
	actionEnd       = "End"
	actionFinish    = "Finish"
)

// maxEventNote is the API server's limit on the note of an event.
const maxEventNote = 1024

// eventWriter writes events. The text is an argument and never the format, since it may contain text from elsewhere, and it is cleaned
// of terminal control sequences.
type eventWriter struct {
	recorder EventRecorder
}

func (e eventWriter) normal(object runtime.Object, reason, action, text string) {
	e.recorder.Eventf(object, nil, corev1.EventTypeNormal, reason, action, "%s", noteOf(text))
}

func (e eventWriter) warning(object runtime.Object, reason, action, text string) {
	e.recorder.Eventf(object, nil, corev1.EventTypeWarning, reason, action, "%s", noteOf(text))
}

func noteOf(text string) string { return printable.Cut(printable.Line(text), maxEventNote) }

// normalReasons are reasons of conditions that need no warning. A run is often created together with its Function, which is then not
// ready yet; if that persists, the Function itself warns.
var normalReasons = sets.New(
	v1alpha1.ReasonFunctionNotReady,
	v1alpha1.ReasonReady, v1alpha1.ReasonPinned, v1alpha1.ReasonStarting, v1alpha1.ReasonRunning,
	v1alpha1.ReasonSuspended, v1alpha1.ReasonSucceeded, v1alpha1.ReasonCancelled,
)

// state writes an event about the new state of an object.
func (e eventWriter) state(object runtime.Object, state status.ConditionState) {
	if normalReasons.Has(state.Reason) {
		e.normal(object, state.Reason, actionReconcile, state.Message)
		return
	}
	e.warning(object, state.Reason, actionReconcile, state.Message)
}
