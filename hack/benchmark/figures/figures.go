// Package figures prints what the benchmarks measure: two durations from the same run on the same machine, and their
// ratio beside the one that is aimed at. A benchmark never fails for being slow: machines are noisy.
package figures

import (
	"fmt"
	"io"
	"time"
)

// Figure is one comparison.
type Figure struct {
	// Name says what is compared: "ours / theirs".
	Name string
	// Ours and Theirs are what was measured.
	Ours, Theirs time.Duration
	// AtMost is the ratio that is aimed at.
	AtMost float64
}

// Ratio is ours as a share of theirs.
func (f Figure) Ratio() float64 { return f.Ours.Seconds() / f.Theirs.Seconds() }

// Print writes the comparison as one line.
func (f Figure) Print(out io.Writer) {
	verdict := "met"
	if f.Ratio() > f.AtMost {
		verdict = "MISSED"
	}
	fmt.Fprintf(out, "%-6s %7.3f (aim ≤ %g)  %s: %s / %s\n", verdict, f.Ratio(), f.AtMost, f.Name, round(f.Ours), round(f.Theirs))
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(10 * time.Millisecond)
}
