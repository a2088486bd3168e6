package workers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/apiserver/core"
)

const (
	// maxLogLines and maxLineBytes are the maximum size of a startup log.
	maxLogLines  = 50
	maxLineBytes = 1 << 10
	// logTime is the format of dates in the REST contract, UTC.
	logTime = "02-01-2006 15:04:05"
)

// startupReasons are the reasons of events in a startup log, in the order of a successful start: most events have times in whole seconds,
// and a pod can start within one.
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

// startupLog returns the startup log of a pod from its events: one line each, in the order of time, such as
// "24-11-2026 20:31:07 Pulled: Container image \"python\" already present on machine". started reports whether the start of the worker's
// container is among them: until then, events are missing.
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
		// The last events explain the result.
		lines = append([]string{fmt.Sprintf("… %d earlier events", missing)}, lines[missing:]...)
	}
	return strings.Join(lines, "\n"), started
}

func startOfWorker(event *corev1.Event) bool {
	return event.Reason == reasonStarted && event.InvolvedObject.FieldPath == "spec.containers{"+core.WorkerContainer+"}"
}

// startupLine returns the line of an event. A repeated event has the time of its first occurrence and a count.
func startupLine(event *corev1.Event) string {
	times := event.Count
	if event.Series != nil {
		times = event.Series.Count
	}
	line := eventTime(event).UTC().Format(logTime) + " " + event.Reason + ": " + event.Message
	if times > 1 {
		// Before the message, which may be cut.
		line = fmt.Sprintf("%s %s (%d times): %s", eventTime(event).UTC().Format(logTime), event.Reason, times, event.Message)
	}
	return cutLine(line)
}

// eventTime returns the time of an event's first occurrence. The scheduler uses another field than the kubelet.
func eventTime(event *corev1.Event) time.Time {
	for _, t := range []time.Time{event.EventTime.Time, event.FirstTimestamp.Time, event.LastTimestamp.Time} {
		if !t.IsZero() {
			return t
		}
	}
	return event.CreationTimestamp.Time
}

// cutLine returns text as one line of at most maxLineBytes visible characters.
func cutLine(text string) string {
	// A message can be of any length. No character shrinks to less than a quarter when it is replaced.
	if len(text) > 4*maxLineBytes {
		text = text[:4*maxLineBytes]
	}
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return ' '
	}, text))
	return printable.Cut(text, maxLineBytes)
}
