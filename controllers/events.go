package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sharedcloud.io/function-operator/api/printable"
)

// EventRecorder is the part of client-go's events.EventRecorder that these controllers use.
type EventRecorder interface {
	Eventf(regarding runtime.Object, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Reasons and actions of events, beside the reasons of conditions.
const (
	eventRevisionCreated = "RevisionCreated"
	eventJobCreated      = "JobCreated"
	eventResized         = "Resized"
	eventEnding          = "Ending"
	eventComplete        = "Complete"
	eventFailed          = "Failed"

	actionCreate    = "Create"
	actionReconcile = "Reconcile"
	actionResize    = "Resize"
	actionEnd       = "End"
	actionFinish    = "Finish"
)

// eventLimit is what the API server takes as the note of an event.
const eventLimit = 1024

// announcer tells people what happened. The text is an argument, never the format: it holds what others wrote, and is cleaned of
// what steers a terminal.
type announcer struct {
	recorder EventRecorder
}

func (a announcer) normal(object runtime.Object, reason, action, text string) {
	a.recorder.Eventf(object, nil, corev1.EventTypeNormal, reason, action, "%s", noteOf(text))
}

func (a announcer) warning(object runtime.Object, reason, action, text string) {
	a.recorder.Eventf(object, nil, corev1.EventTypeWarning, reason, action, "%s", noteOf(text))
}

func noteOf(text string) string { return cut(printable.Line(text), eventLimit) }

// Reasons of conditions that are no trouble. A run that is made in the same breath as its Function finds that not ready,
// and where it stays so the Function itself warns.
var calmReasons = map[string]bool{
	"FunctionNotReady": true,
	"Ready":            true, "Pinned": true, "Starting": true, "Running": true, "Suspended": true, "Succeeded": true, "Cancelled": true,
}

// standing tells how an object stands now.
func (a announcer) standing(object runtime.Object, f finding) {
	if calmReasons[f.reason] {
		a.normal(object, f.reason, actionReconcile, f.message)
		return
	}
	a.warning(object, f.reason, actionReconcile, f.message)
}
