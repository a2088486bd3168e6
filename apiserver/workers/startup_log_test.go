package workers

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// eventBuilder builds events of the pod that makePod builds.
type eventBuilder struct{ event corev1.Event }

// makeEvent returns an event as the kubelet writes it: with its time in whole seconds.
func makeEvent(reason string, after time.Duration, message string) *eventBuilder {
	b := &eventBuilder{}
	at := metav1.NewTime(noon.Add(after).Truncate(time.Second))
	b.event.Namespace, b.event.Name = "space", fmt.Sprintf("pod.%x.%s", noon.Add(after).UnixNano(), strings.ToLower(reason))
	b.event.InvolvedObject = corev1.ObjectReference{Kind: "Pod", Namespace: "space", Name: "pod", UID: "pod-uid"}
	b.event.Reason, b.event.Message, b.event.Count = reason, message, 1
	b.event.FirstTimestamp, b.event.LastTimestamp = at, at
	return b
}

// scheduler sets the time as the scheduler does: with microseconds, in another field.
func (b *eventBuilder) scheduler(after time.Duration) *eventBuilder {
	b.event.EventTime, b.event.Count = metav1.NewMicroTime(noon.Add(after)), 0
	b.event.FirstTimestamp, b.event.LastTimestamp = metav1.Time{}, metav1.Time{}
	return b
}

func (b *eventBuilder) times(n int32) *eventBuilder {
	b.event.Count = n
	b.event.LastTimestamp = metav1.NewTime(b.event.FirstTimestamp.Add(time.Hour))
	return b
}

func (b *eventBuilder) series(n int32) *eventBuilder {
	b.event.Series = &corev1.EventSeries{Count: n}
	return b
}

func (b *eventBuilder) container(name string) *eventBuilder {
	b.event.InvolvedObject.FieldPath = "spec.containers{" + name + "}"
	return b
}

func (b *eventBuilder) of(uid types.UID) *eventBuilder {
	b.event.InvolvedObject.UID = uid
	b.event.Name += "." + string(uid)
	return b
}

func (b *eventBuilder) obj() *corev1.Event { return b.event.DeepCopy() }

// ordinary returns the events of a pod that started without a problem, in no order.
func ordinary() []*eventBuilder {
	return []*eventBuilder{
		makeEvent("Started", 1200*time.Millisecond, "Started container worker").container("worker"),
		makeEvent("Created", 1100*time.Millisecond, "Created container: worker").container("worker"),
		makeEvent("Scheduled", 0, "Successfully assigned space/pod to node").scheduler(1050 * time.Millisecond),
		makeEvent("Pulled", 1080*time.Millisecond, `Container image "python" already present on machine`).container("worker"),
	}
}

const ordinaryLog = `24-11-2026 12:00:01 Scheduled: Successfully assigned space/pod to node
24-11-2026 12:00:01 Pulled: Container image "python" already present on machine
24-11-2026 12:00:01 Created: Created container: worker
24-11-2026 12:00:01 Started: Started container worker`

func TestStartupLog(t *testing.T) {
	lines := func(text ...string) string { return strings.Join(text, "\n") }
	for name, tc := range map[string]struct {
		events      []*eventBuilder
		want        string
		wantStarted bool
	}{
		"a pod without events has an empty log":            {},
		"events of one second are in the order of a start": {events: ordinary(), want: ordinaryLog, wantStarted: true},
		"later events follow, whatever their reason": {
			events: []*eventBuilder{
				makeEvent("Pulling", 2*time.Second, `Pulling image "x"`),
				makeEvent("FailedScheduling", 0, "0/1 nodes are available").scheduler(3 * time.Second),
				makeEvent("Failed", 4*time.Second, "Error: ErrImagePull"),
			},
			want: lines(`24-11-2026 12:00:02 Pulling: Pulling image "x"`, "24-11-2026 12:00:03 FailedScheduling: 0/1 nodes are available",
				"24-11-2026 12:00:04 Failed: Error: ErrImagePull"),
		},
		"a repeated event has a count and the time of the first": {
			events: []*eventBuilder{makeEvent("BackOff", time.Second, "Back-off pulling image").times(7), makeEvent("FailedScheduling", 0, "no room").series(3)},
			want:   lines("24-11-2026 12:00:00 FailedScheduling (3 times): no room", "24-11-2026 12:00:01 BackOff (7 times): Back-off pulling image"),
		},
		"later events of the pod are left out": {
			events: []*eventBuilder{makeEvent("Killing", time.Minute, "Stopping container worker"), makeEvent("Evicted", time.Minute, "low on memory"), makeEvent("Scheduled", 0, "assigned")},
			want:   "24-11-2026 12:00:00 Scheduled: assigned",
		},
		"the start of another container is not the worker's": {
			events: []*eventBuilder{makeEvent("Started", 0, "Started container sidecar").container("sidecar")},
			want:   "24-11-2026 12:00:00 Started: Started container sidecar",
		},
		"a message of several lines is one line": {
			events: []*eventBuilder{makeEvent("FailedMount", 0, "a\r\nb\x1b[31m\u2028c\x00\u202e")},
			want:   "24-11-2026 12:00:00 FailedMount: a  b [31m c",
		},
		"times are UTC": {
			events: []*eventBuilder{func() *eventBuilder {
				b := makeEvent("Scheduled", 0, "assigned")
				b.event.FirstTimestamp = metav1.NewTime(noon.In(time.FixedZone("east", 3600)))
				return b
			}()},
			want: "24-11-2026 12:00:00 Scheduled: assigned",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var events []corev1.Event
			for _, b := range tc.events {
				events = append(events, *b.obj())
			}
			text, started := startupLog(events)
			if diff := cmp.Diff(tc.want, text); diff != "" {
				t.Errorf("the log (-want +got):\n%s", diff)
			}
			if started != tc.wantStarted {
				t.Errorf("started: %v, want %v", started, tc.wantStarted)
			}
		})
	}
}

func TestStartupLogIsLimited(t *testing.T) {
	for _, n := range []int{maxLogLines - 1, maxLogLines, maxLogLines + 1, 3 * maxLogLines} {
		var events []corev1.Event
		for i := range n {
			events = append(events, *makeEvent("FailedScheduling", time.Duration(i)*time.Second, fmt.Sprintf("%d %s", i, strings.Repeat("ä", 5*maxLineBytes))).obj())
		}
		text, _ := startupLog(events)
		lines := strings.Split(text, "\n")
		if len(lines) != min(n, maxLogLines) {
			t.Errorf("%d events make %d lines", n, len(lines))
		}
		if last := fmt.Sprintf(": %d ä", n-1); !strings.Contains(lines[len(lines)-1], last) {
			t.Errorf("the last line of %d events is not the last event: %.60s", n, lines[len(lines)-1])
		}
		if marked, want := strings.HasPrefix(lines[0], "… "), n > maxLogLines; marked != want {
			t.Errorf("the first line of %d events is %.60q", n, lines[0])
		}
		if n > maxLogLines {
			if want := fmt.Sprintf("… %d earlier events", n-maxLogLines+1); lines[0] != want {
				t.Errorf("the first line is %q, want %q", lines[0], want)
			}
			lines = lines[1:]
		}
		for _, line := range lines {
			if len(line) > maxLineBytes || len(line) < maxLineBytes-4 || !strings.HasSuffix(line, "…") || !utf8.ValidString(line) {
				t.Fatalf("a line of %d bytes, cut: %.60s … %q", len(line), line, line[len(line)-8:])
			}
		}
	}
}

func FuzzCutLine(f *testing.F) {
	f.Add("plain")
	f.Add("a\nb\xff\x00")
	f.Add(strings.Repeat("\U000e0041", 2*maxLineBytes))
	f.Add("x" + strings.Repeat("ä", maxLineBytes))
	f.Fuzz(func(t *testing.T, text string) {
		got := cutLine(text)
		if len(got) > maxLineBytes || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x00") {
			t.Errorf("%q became %q", text, got)
		}
	})
}
