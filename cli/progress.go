package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/api/meta"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// rateWindow is the time over which the rate is measured.
	rateWindow = 30 * time.Second
	// lineInterval is the interval between lines if the output is not a terminal.
	lineInterval = 10 * time.Second
)

// snapshot is the progress of a run at one time.
type snapshot struct {
	name                             string
	total, running, succeeded        int
	failed, timedOut, cancelled      int
	gpuSeconds                       int64
	reason, message                  string
	started, finished, stalled, gpus bool
}

func snapshotOf(run *v1alpha1.FunctionRun) snapshot {
	s := snapshot{name: oneLine(run.Name), total: totalOf(run)}
	if p := run.Status.Progress; p != nil {
		s.started = true
		s.total, s.running, s.succeeded = int(p.Total), int(p.Running), int(p.Succeeded)
		s.failed, s.timedOut, s.cancelled, s.gpuSeconds = int(p.Failed), int(p.TimedOut), int(p.Cancelled), p.GPUSeconds
	}
	if run.Status.Revision != nil {
		s.gpus = run.Status.Revision.GPUs > 0
	}
	if ready := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		s.reason, s.message = ready.Reason, ready.Message
	}
	s.finished = finished(run)
	s.stalled = meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionStalled)
	return s
}

func finished(run *v1alpha1.FunctionRun) bool {
	return meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionFinished)
}

func (s snapshot) done() int { return s.succeeded + s.unsuccessful() }

func (s snapshot) unsuccessful() int { return s.failed + s.timedOut + s.cancelled }

// waiting is why the run does not proceed. It is empty if it does.
func (s snapshot) waiting() string {
	if s.finished || s.reason == v1alpha1.ReasonRunning || s.message == "" {
		return ""
	}
	return s.message
}

// rateMeter measures the rate of a run.
type rateMeter struct{ samples []sample }

type sample struct {
	at   time.Time
	done int
}

func (m *rateMeter) add(now time.Time, done int) {
	m.samples = append(m.samples, sample{now, done})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= rateWindow {
		m.samples = m.samples[1:]
	}
}

// rate is the number of inputs per second, or 0 if it is unknown.
func (m *rateMeter) rate() float64 {
	if len(m.samples) < 2 {
		return 0
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	took := last.at.Sub(first.at).Seconds()
	if took <= 0 || last.done <= first.done {
		return 0
	}
	return float64(last.done-first.done) / took
}

// left is the time that the remaining inputs need at that rate, or 0 if it is unknown.
func (m *rateMeter) left(s snapshot) time.Duration {
	rate := m.rate()
	if rate <= 0 || s.total <= s.done() {
		return 0
	}
	return time.Duration(float64(s.total-s.done()) / rate * float64(time.Second))
}

func rateText(rate float64) string {
	switch {
	case rate >= 10:
		return fmt.Sprintf("%.0f/s", rate)
	case rate >= 1:
		return fmt.Sprintf("%.1f/s", rate)
	case rate*60 >= 1:
		return fmt.Sprintf("%.1f/min", rate*60)
	}
	return fmt.Sprintf("%.1f/h", rate*3600)
}

// progressFields are the numbers beside the bar, the most important first.
func progressFields(s snapshot, m *rateMeter) []string {
	all := []string{fmt.Sprintf("%d/%d", s.done(), s.total)}
	add := func(on bool, text string, args ...any) {
		if on {
			all = append(all, fmt.Sprintf(text, args...))
		}
	}
	add(s.unsuccessful() > 0, "%d failed", s.unsuccessful())
	add(!s.finished, "%d running", s.running)
	rate := m.rate()
	add(rate > 0 && !s.finished, "%s", rateText(rate))
	left := m.left(s)
	add(left > 0, "ETA %s", durationText(max(left, time.Second).Round(time.Second)))
	add(s.gpus || s.gpuSeconds > 0, "%s GPU-s", strconv.FormatInt(s.gpuSeconds, 10))
	return all
}

// barLine is the line of a run for a terminal of that width. It omits fields from the end that do not fit.
func barLine(s snapshot, m *rateMeter, width int) string {
	if !s.started || s.total == 0 {
		text := s.name + "  " + firstOf(s.waiting(), "waiting for the run to start")
		return cutTo(oneLine(text), width)
	}
	texts := progressFields(s, m)
	percent := fmt.Sprintf("%3d%%", s.done()*100/s.total)
	const minBar, maxBar = 10, 30
	for {
		rest := "  " + percent + "  " + strings.Join(texts, "  ")
		if room := width - lineWidth(s.name+" "+rest); room >= minBar || len(texts) == 1 {
			if room < minBar {
				return cutTo(s.name+rest, width)
			}
			return s.name + " " + bar(s, min(room, maxBar)) + rest
		}
		texts = texts[:len(texts)-1]
	}
}

// bar draws inputs that succeeded, inputs that did not, and the rest.
func bar(s snapshot, width int) string {
	full := s.done() * width / s.total
	failed := 0
	if s.unsuccessful() > 0 {
		failed = max(1, s.unsuccessful()*width/s.total)
	}
	failed = min(failed, full)
	return strings.Repeat("█", full-failed) + strings.Repeat("▒", failed) + strings.Repeat("░", width-full)
}

// progressLine is the progress as a line of text.
func progressLine(s snapshot, m *rateMeter) string {
	if !s.started || s.total == 0 {
		return s.name + ": " + oneLine(firstOf(s.waiting(), "waiting for the run to start"))
	}
	text := fmt.Sprintf("%s: %s", s.name, strings.Join(progressFields(s, m), ", "))
	if waiting := s.waiting(); waiting != "" {
		text += ". " + oneLine(waiting)
	}
	return text
}

// reporter shows progress.
type reporter interface {
	update(s snapshot)
	// writeAbove calls write, which may write to the same terminal, between two updates.
	writeAbove(write func() error) error
	// end completes the output.
	end()
}

// noReporter reports nothing.
type noReporter struct{}

func (noReporter) update(snapshot)                     {}
func (noReporter) writeAbove(write func() error) error { return write() }
func (noReporter) end()                                {}

// lineReporter writes lines at intervals.
type lineReporter struct {
	out       io.Writer
	now       func() time.Time
	rateMeter rateMeter
	last      string
	why       string
	at        time.Time
	shown     snapshot
}

func (l *lineReporter) update(s snapshot) {
	now := l.now()
	l.rateMeter.add(now, s.done())
	// A new reason to wait is written at once, other changes at intervals.
	if s.waiting() == l.why && !l.at.IsZero() && now.Sub(l.at) < lineInterval {
		l.shown = s
		return
	}
	l.why, l.at, l.shown = s.waiting(), now, s
	l.write(s)
}

func (l *lineReporter) write(s snapshot) {
	if line := progressLine(s, &l.rateMeter); line != l.last {
		l.last = line
		_, _ = fmt.Fprintln(l.out, line)
	}
}

func (l *lineReporter) writeAbove(write func() error) error { return write() }

func (l *lineReporter) end() {}

// barReporter redraws one or two lines at the end of a terminal.
type barReporter struct {
	mu        sync.Mutex
	out       io.Writer
	width     func() int
	now       func() time.Time
	rateMeter rateMeter
	lines     int
	drawn     time.Time
	shown     *snapshot
}

// redrawInterval is the minimum interval between two drawings of the bar below results.
const redrawInterval = 100 * time.Millisecond

const (
	toLineStart = "\r"
	eraseBelow  = "\x1b[J"
	lineUp      = "\x1b[1A"
)

func (b *barReporter) update(s snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rateMeter.add(b.now(), s.done())
	b.shown = &s
	b.draw()
}

func (b *barReporter) clear() string {
	if b.lines == 0 {
		return ""
	}
	text := toLineStart + strings.Repeat(lineUp, b.lines-1) + eraseBelow
	b.lines = 0
	return text
}

func (b *barReporter) draw() {
	b.drawn = b.now()
	width := b.width() - 1
	text := b.clear() + barLine(*b.shown, &b.rateMeter, width)
	b.lines = 1
	if why := b.shown.waiting(); why != "" && b.shown.started && b.shown.total > 0 {
		text += "\n" + cutTo("  "+oneLine(why), width)
		b.lines = 2
	}
	_, _ = io.WriteString(b.out, text)
}

func (b *barReporter) writeAbove(write func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = io.WriteString(b.out, b.clear())
	err := write()
	if b.shown != nil && b.now().Sub(b.drawn) >= redrawInterval {
		b.draw()
	}
	return err
}

func (b *barReporter) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lines > 0 {
		_, _ = io.WriteString(b.out, "\n")
		b.lines = 0
	}
	b.shown = nil
}

// newReporter draws a bar on a terminal and writes lines otherwise.
func (o *options) newReporter(quiet bool) reporter {
	if quiet {
		return noReporter{}
	}
	if width, ok := terminalWidth(o.raw.ErrOut); ok && os.Getenv("TERM") != "dumb" {
		return &barReporter{out: o.raw.ErrOut, now: time.Now, width: func() int {
			if now, ok := terminalWidth(o.raw.ErrOut); ok {
				return now
			}
			return width
		}}
	}
	return &lineReporter{out: o.streams.ErrOut, now: time.Now}
}

// terminalWidth is the width of the terminal, if out is one.
func terminalWidth(out any) (int, bool) {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	return width, true
}
