package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

var began = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// measured is a rateMeter that has measured 10 inputs per second.
func measured(done int) *rateMeter {
	m := &rateMeter{}
	m.add(began, done-100)
	m.add(began.Add(10*time.Second), done)
	return m
}

func TestBarLine(t *testing.T) {
	full := snapshot{name: "sweep", started: true, total: 1000, running: 12, succeeded: 617, failed: 2, timedOut: 1, gpuSeconds: 130, gpus: true, reason: v1alpha1.ReasonRunning}
	tests := map[string]struct {
		s     snapshot
		width int
		want  string
	}{
		"all fields":             {full, 120, "sweep █████████████████▒░░░░░░░░░░░░   62%  620/1000  3 failed  12 running  10/s  ETA 38s  130 GPU-s"},
		"a narrow terminal":      {full, 60, "sweep █████▒░░░░   62%  620/1000  3 failed  12 running  10/s"},
		"a very narrow terminal": {full, 24, "sweep   62%  620/1000"},
		"before the first input": {snapshot{name: "sweep", reason: v1alpha1.ReasonPodsUnschedulable, message: "No node has room: 0/1 nodes are available.\nMore."}, 60,
			"sweep  No node has room: 0/1 nodes are available.⏎More."},
		"before the operator has processed it": {snapshot{name: "sweep"}, 60, "sweep  waiting for the run to start"},
		"at the end":                           {snapshot{name: "sweep", started: true, finished: true, total: 4, succeeded: 4}, 80, "sweep ██████████████████████████████  100%  4/4"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m := &rateMeter{}
			if tc.s.done() > 100 {
				m = measured(tc.s.done())
			}
			got := barLine(tc.s, m, tc.width)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if utf8.RuneCountInString(got) > tc.width {
				t.Errorf("the line has %d columns of %d", utf8.RuneCountInString(got), tc.width)
			}
		})
	}
}

func TestRateAndTimeLeft(t *testing.T) {
	m := &rateMeter{}
	if m.rate() != 0 || m.left(snapshot{total: 5}) != 0 {
		t.Error("an empty meter has a rate")
	}
	// Fast for a minute, then 2 a second: the rate is that of the last half minute.
	for i := range 60 {
		m.add(began.Add(time.Duration(i)*time.Second), i*100)
	}
	for i := range 40 {
		m.add(began.Add(time.Duration(60+i)*time.Second), 6000+2*i)
	}
	if rate := m.rate(); rate < 1.9 || rate > 2.1 {
		t.Errorf("the rate is %v", rate)
	}
	if left := m.left(snapshot{total: 6178, succeeded: 6078}); left < 45*time.Second || left > 55*time.Second {
		t.Errorf("%v are left", left)
	}
	for rate, want := range map[float64]string{123.4: "123/s", 2.04: "2.0/s", 0.5: "30.0/min", 0.001: "3.6/h"} {
		if got := rateText(rate); got != want {
			t.Errorf("%v is %q, want %q", rate, got, want)
		}
	}
}

func TestProgressWithoutATerminalIsWrittenAsLines(t *testing.T) {
	var out bytes.Buffer
	now := began
	l := &lineReporter{out: &out, now: func() time.Time { return now }}
	at := func(second, done int, reason, message string) {
		now = began.Add(time.Duration(second) * time.Second)
		l.update(snapshot{name: "r", started: done >= 0, total: 100, succeeded: max(done, 0), running: 4, reason: reason, message: message})
	}
	at(0, -1, v1alpha1.ReasonStarting, "The Job r-1 exists; no worker has taken an input yet.")
	at(1, 0, v1alpha1.ReasonRunning, "Workers are running.")
	for second := 2; second < 12; second++ {
		at(second, second*2, v1alpha1.ReasonRunning, "Workers are running.")
	}
	at(12, 24, v1alpha1.ReasonImageUnavailable, "The image cannot be pulled.")
	l.end()
	want := `r: The Job r-1 exists; no worker has taken an input yet.
r: 0/100, 4 running
r: 22/100, 4 running, 2.0/s, ETA 39s
r: 24/100, 4 running, 2.0/s, ETA 38s. The image cannot be pulled.
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.ContainsAny(out.String(), "\r\x1b") {
		t.Error("the lines contain control sequences")
	}
}

func TestResultsAreWrittenAboveTheBar(t *testing.T) {
	var out bytes.Buffer
	now := began
	b := &barReporter{out: &out, now: func() time.Time { return now }, width: func() int { return 40 }}
	b.update(snapshot{name: "r", started: true, total: 2, running: 1, reason: v1alpha1.ReasonRunning})
	now = now.Add(time.Second)
	if err := b.writeAbove(func() error { out.WriteString("result 0\n"); return nil }); err != nil {
		t.Fatal(err)
	}
	b.end()
	first, rest, found := strings.Cut(out.String(), toLineStart+eraseBelow)
	if !found || !strings.HasPrefix(first, "r ░") || strings.Contains(first, "\n") {
		t.Fatalf("%q", out.String())
	}
	if !strings.HasPrefix(rest, "result 0\nr ░") || !strings.HasSuffix(rest, "\n") {
		t.Errorf("after the bar was erased: %q", rest)
	}
}

func TestReasonToWaitIsWrittenBelowTheBar(t *testing.T) {
	var out bytes.Buffer
	b := &barReporter{out: &out, now: func() time.Time { return began }, width: func() int { return 60 }}
	s := snapshot{name: "r", started: true, total: 2, reason: v1alpha1.ReasonPodsUnschedulable, message: "No node has room."}
	b.update(s)
	if !strings.HasSuffix(out.String(), "\n  No node has room.") {
		t.Errorf("%q", out.String())
	}
	out.Reset()
	b.update(s)
	if !strings.HasPrefix(out.String(), toLineStart+lineUp+eraseBelow) {
		t.Errorf("the second line is not erased: %q", out.String())
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 23 * time.Microsecond: "23µs", 250 * time.Millisecond: "250ms", 1500 * time.Millisecond: "1.5s", 3 * time.Second: "3s",
		42 * time.Second: "42s", 64 * time.Second: "1m04s", 10 * time.Minute: "10m", 90 * time.Minute: "1h30m", 50 * time.Hour: "2d02h",
	} {
		if got := durationText(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestResultsTableEscapesControlSequences(t *testing.T) {
	var out bytes.Buffer
	render, err := newRenderer("table", &out, true, 60)
	if err != nil {
		t.Fatal(err)
	}
	o := &outcome{Status: "Failed", Error: &outcomeError{Type: "E", Message: "a\x1b[2Jb\r\nc\u009b1m"}, Stdout: "x\x1b]0;title\a\n", Stderr: "\xff\n"}
	if err := render.one(o); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\r\a\u009b") {
		t.Errorf("%q", out.String())
	}
}
