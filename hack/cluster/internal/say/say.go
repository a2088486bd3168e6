// Package say prints what happens while it happens: one line for each
// step with the time it took, and inside a long step where it stands. On a
// terminal the line of a running step is rewritten in place; anywhere else
// (a log, a pipe) it's repeated now and then, so that a log shows progress too.
package say

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Reporter writes steps. Its methods may be called at the same time.
type Reporter struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	now      func() time.Time
	start    time.Time
	open     string // the unfinished line on a terminal
}

// repeatAfter is how often a running step is printed again in a log.
const repeatAfter = 15 * time.Second

// New returns a reporter on f, which may be a terminal.
func New(f *os.File) *Reporter {
	return newReporter(f, term.IsTerminal(int(f.Fd())), time.Now)
}

func newReporter(out io.Writer, terminal bool, now func() time.Time) *Reporter {
	return &Reporter{out: out, terminal: terminal, now: now, start: now()}
}

// Line says something that takes no time.
func (r *Reporter) Line(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.print(fmt.Sprintf(format, args...))
}

// Step begins a step. Its Done or Fail ends it.
func (r *Reporter) Step(format string, args ...any) *Step {
	now := r.now()
	s := &Step{r: r, name: fmt.Sprintf(format, args...), start: now, printed: now}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.terminal {
		r.rewrite(r.stamp() + s.name + " …")
	}
	return s
}

// Step is something that takes time.
type Step struct {
	r       *Reporter
	name    string
	start   time.Time
	printed time.Time
}

// Progress says where the step stands.
func (s *Step) Progress(format string, args ...any) {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	text := fmt.Sprintf("%s%s: %s (%s)", r.stamp(), s.name, fmt.Sprintf(format, args...), seconds(now.Sub(s.start)))
	if r.terminal {
		r.rewrite(text)
		return
	}
	if now.Sub(s.printed) >= repeatAfter {
		s.printed = now
		fmt.Fprintln(r.out, text)
	}
}

// Done ends the step, with what came of it.
func (s *Step) Done(format string, args ...any) {
	s.end(fmt.Sprintf(format, args...))
}

// Fail ends the step; the caller prints the error itself.
func (s *Step) Fail() { s.end("not done") }

func (s *Step) end(what string) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.print(fmt.Sprintf("%s%s: %s (%s)", s.r.stamp(), s.name, what, seconds(s.r.now().Sub(s.start))))
}

// stamp is the time since the reporter began.
func (r *Reporter) stamp() string {
	d := r.now().Sub(r.start).Round(time.Second)
	return fmt.Sprintf("%02d:%02d  ", int(d.Minutes()), int(d.Seconds())%60)
}

func (r *Reporter) print(line string) {
	if r.open != "" {
		fmt.Fprint(r.out, "\r\x1b[K")
		r.open = ""
	}
	fmt.Fprintln(r.out, line)
}

// rewrite replaces the unfinished line, cut so that it never wraps: a wrapped
// line can't be taken back.
func (r *Reporter) rewrite(line string) {
	if f, ok := r.out.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 1 {
			if runes := []rune(line); len(runes) >= width {
				line = string(runes[:width-1])
			}
		}
	}
	fmt.Fprint(r.out, "\r\x1b[K"+line)
	r.open = line
}

func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
}
