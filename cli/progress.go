package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/api/meta"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// rateWindow is over which time the rate is taken.
	rateWindow = 30 * time.Second
	// lineInterval is how often a line is written where there is no terminal.
	lineInterval = 10 * time.Second
)

// standing is what is shown of a run.
type standing struct {
	name                             string
	total, running, succeeded        int
	failed, timedOut, cancelled      int
	gpuSeconds                       int64
	reason, message                  string
	started, finished, stalled, gpus bool
}

func standingOf(run *v1alpha1.FunctionRun) standing {
	s := standing{name: oneLine(run.Name), total: totalOf(run)}
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

func (s standing) done() int { return s.succeeded + s.unsuccessful() }

func (s standing) unsuccessful() int { return s.failed + s.timedOut + s.cancelled }

// waiting says why nothing goes on, where that is so.
func (s standing) waiting() string {
	if s.finished || s.reason == v1alpha1.ReasonRunning || s.message == "" {
		return ""
	}
	return s.message
}

// meter is how fast it goes.
type meter struct{ samples []sample }

type sample struct {
	at   time.Time
	done int
}

func (m *meter) add(now time.Time, done int) {
	m.samples = append(m.samples, sample{now, done})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= rateWindow {
		m.samples = m.samples[1:]
	}
}

// rate is inputs a second, 0 where nothing is known.
func (m *meter) rate() float64 {
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

// left is how long the rest takes at that rate, 0 where nothing is known.
func (m *meter) left(s standing) time.Duration {
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

// facts are the numbers beside the bar, the most important first.
func facts(s standing, m *meter) []string {
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

// barLine draws the run's line for a terminal of that width: what has no room is left out, from the end.
func barLine(s standing, m *meter, width int) string {
	if !s.started || s.total == 0 {
		text := s.name + "  " + firstOf(s.waiting(), "waiting for the run to start")
		return cutTo(oneLine(text), width)
	}
	texts := facts(s, m)
	percent := fmt.Sprintf("%3d%%", s.done()*100/s.total)
	const least, most = 10, 30
	for {
		rest := "  " + percent + "  " + strings.Join(texts, "  ")
		if room := width - utf8.RuneCountInString(s.name+" "+rest); room >= least || len(texts) == 1 {
			if room < least {
				return cutTo(s.name+rest, width)
			}
			return s.name + " " + bar(s, min(room, most)) + rest
		}
		texts = texts[:len(texts)-1]
	}
}

// bar is done as full, failures as their own part, the rest as empty.
func bar(s standing, width int) string {
	full := s.done() * width / s.total
	bad := 0
	if s.unsuccessful() > 0 {
		bad = max(1, s.unsuccessful()*width/s.total)
	}
	bad = min(bad, full)
	return strings.Repeat("█", full-bad) + strings.Repeat("▒", bad) + strings.Repeat("░", width-full)
}

// progressLine says the same as a line of a log.
func progressLine(s standing, m *meter) string {
	if !s.started || s.total == 0 {
		return s.name + ": " + oneLine(firstOf(s.waiting(), "waiting for the run to start"))
	}
	text := fmt.Sprintf("%s: %s", s.name, strings.Join(facts(s, m), ", "))
	if waiting := s.waiting(); waiting != "" {
		text += ". " + oneLine(waiting)
	}
	return text
}

// reporter shows progress.
type reporter interface {
	update(s standing)
	// aside writes to another stream so that the two do not get into each other's way.
	aside(write func() error) error
	// end shows how it stands for the last time.
	end()
}

// silent shows nothing.
type silent struct{}

func (silent) update(standing)                {}
func (silent) aside(write func() error) error { return write() }
func (silent) end()                           {}

// lineReporter writes a line now and then.
type lineReporter struct {
	out   io.Writer
	now   func() time.Time
	meter meter
	last  string
	why   string
	at    time.Time
	shown standing
}

func (l *lineReporter) update(s standing) {
	now := l.now()
	l.meter.add(now, s.done())
	// What changes the reason is told at once, numbers now and then.
	if s.waiting() == l.why && !l.at.IsZero() && now.Sub(l.at) < lineInterval {
		l.shown = s
		return
	}
	l.why, l.at, l.shown = s.waiting(), now, s
	l.write(s)
}

func (l *lineReporter) write(s standing) {
	if line := progressLine(s, &l.meter); line != l.last {
		l.last = line
		_, _ = fmt.Fprintln(l.out, line)
	}
}

func (l *lineReporter) aside(write func() error) error { return write() }

func (l *lineReporter) end() {}

// barReporter redraws one or two lines at the end of a terminal.
type barReporter struct {
	mu    sync.Mutex
	out   io.Writer
	width func() int
	now   func() time.Time
	meter meter
	lines int
	drawn time.Time
	shown *standing
}

// redrawInterval is how soon the bar is drawn again below results that come one after the other.
const redrawInterval = 100 * time.Millisecond

const (
	toLineStart = "\r"
	eraseBelow  = "\x1b[J"
	lineUp      = "\x1b[1A"
)

func (b *barReporter) update(s standing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.meter.add(b.now(), s.done())
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
	text := b.clear() + barLine(*b.shown, &b.meter, width)
	b.lines = 1
	if why := b.shown.waiting(); why != "" && b.shown.started && b.shown.total > 0 {
		text += "\n" + cutTo("  "+oneLine(why), width)
		b.lines = 2
	}
	_, _ = io.WriteString(b.out, text)
}

func (b *barReporter) aside(write func() error) error {
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

// newReporter draws a bar on a terminal and writes lines elsewhere.
func (o *options) newReporter(quiet bool) reporter {
	if quiet {
		return silent{}
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

// terminalWidth is the width of the terminal that is written to, if it is one.
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
