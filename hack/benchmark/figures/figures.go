// Package figures prints the comparisons of the benchmarks: two durations from the same run on the same machine, their
// ratio, and the target ratio. A slow result is printed as missed and never fails a benchmark: machines are noisy.
package figures

import (
	"fmt"
	"io"
	"time"
)

// Figure is one comparison.
type Figure struct {
	// Name of the comparison: "ours / theirs".
	Name string
	// Ours and Theirs are the measured durations.
	Ours, Theirs time.Duration
	// AtMost is the target: the largest ratio that meets it.
	AtMost float64
}

// Ratio is Ours divided by Theirs.
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
