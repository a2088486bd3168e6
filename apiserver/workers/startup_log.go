package workers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/apiserver/core"
)

const (
	// logLines and lineBytes bound what is kept of the life of a pod before its code ran.
	maxLogLines  = 50
	maxLineBytes = 1 << 10
	// logTime is the format of dates that the REST contract has, UTC.
	logTime = "02-01-2006 15:04:05"
)

// birthReasons are the reasons of events that belong to a pod's birth, in the order in which they come when all is well:
// most events have their time in whole seconds, and a pod can be there within one.
var startupReasons = rank(
	"FailedScheduling", "NotTriggerScaleUp", "TriggeredScaleUp", "Nominated", "Scheduled",
	"FailedAttachVolume", "SuccessfulAttachVolume", "FailedMapVolume", "FailedMount",
	"NetworkNotReady", "FailedCreatePodSandBox", "SandboxChanged", "AddedInterface",
	"Pulling", "ErrImageNeverPull", "InspectFailed", "Failed", "BackOff", "Pulled", "Created", reasonStarted,
)

const reasonStarted = "Started"

func rank(reasons ...string) map[string]int {
	ranks := make(map[string]int, len(reasons))
	for i, reason := range reasons {
		ranks[reason] = i
	}
	return ranks
}

// birthLog is the life of a pod before its code ran, by its events: a line each, in the order of time, such as
// "24-11-2026 20:31:07 Pulled: Container image \"python\" already present on machine". started says whether the start of
// the worker's container is among them: until it is, events are missing.
func startupLog(events []corev1.Event) (text string, started bool) {
	events = slices.DeleteFunc(slices.Clone(events), func(e corev1.Event) bool {
		_, belongs := startupReasons[e.Reason]
		return !belongs
	})
	slices.SortFunc(events, func(a, b corev1.Event) int {
		return cmp.Or(
			cmp.Compare(eventTime(&a).Unix(), eventTime(&b).Unix()),
			cmp.Compare(startupReasons[a.Reason], startupReasons[b.Reason]),
			cmp.Compare(a.Name, b.Name))
	})
	lines := make([]string, 0, len(events))
	for i := range events {
		started = started || startOfWorker(&events[i])
		lines = append(lines, startupLine(&events[i]))
	}
	if missing := len(lines) - maxLogLines + 1; missing > 1 {
		// The end says how it went at last.
		lines = append([]string{fmt.Sprintf("… %d earlier events", missing)}, lines[missing:]...)
	}
	return strings.Join(lines, "\n"), started
}

func startOfWorker(event *corev1.Event) bool {
	return event.Reason == reasonStarted && event.InvolvedObject.FieldPath == "spec.containers{"+core.WorkerContainer+"}"
}

// birthLine is one event. One that came again and again is told with its first time, and how often.
func startupLine(event *corev1.Event) string {
	times := event.Count
	if event.Series != nil {
		times = event.Series.Count
	}
	line := eventTime(event).UTC().Format(logTime) + " " + event.Reason + ": " + event.Message
	if times > 1 {
		// Before the message: that may be cut.
		line = fmt.Sprintf("%s %s (%d times): %s", eventTime(event).UTC().Format(logTime), event.Reason, times, event.Message)
	}
	return cutLine(line)
}

// eventTime is when an event came first. The scheduler writes another field than the kubelet.
func eventTime(event *corev1.Event) time.Time {
	for _, t := range []time.Time{event.EventTime.Time, event.FirstTimestamp.Time, event.LastTimestamp.Time} {
		if !t.IsZero() {
			return t
		}
	}
	return event.CreationTimestamp.Time
}

// cutLine makes one line of a text, of at most lineBytes, in which every character can be seen.
func cutLine(text string) string {
	const mark = "…"
	// A message can be of any length. No character gets shorter than a quarter by what replaces it.
	if len(text) > 4*maxLineBytes {
		text = text[:4*maxLineBytes]
	}
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return ' '
	}, text))
	if len(text) <= maxLineBytes {
		return text
	}
	kept := maxLineBytes - len(mark)
	for !utf8.RuneStart(text[kept]) {
		kept--
	}
	return text[:kept] + mark
}
