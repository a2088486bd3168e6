package cli

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/printable"
)

// renderer writes outcomes.
type renderer interface {
	one(o *outcome) error
	// end completes the output.
	end() error
}

var resultFormats = []string{"table", "ndjson", "json", "csv"}

// resultsOut is standard output for outcomes in a format, and the width of the terminal if it is one. CSV has no escapes, so a file
// or a pipe gets it unchanged.
func (o *options) resultsOut(format string) (out io.Writer, width int) {
	width, terminal := terminalWidth(o.raw.Out)
	if format == "csv" && !terminal {
		return o.raw.Out, 0
	}
	return o.streams.Out, width
}

// rendererOf is a renderer for a selection.
func rendererOf(format string, out io.Writer, w selection, width int) (renderer, error) {
	r, err := newRenderer(format, out, w.output, width)
	if rows, ok := r.(*csvRows); ok {
		rows.raw = w.rawCSV
	}
	return r, err
}

// newRenderer is a renderer that writes to out. width is the maximum width of a line of the table; 0 means no limit.
func newRenderer(format string, out io.Writer, output bool, width int) (renderer, error) {
	switch format {
	case "ndjson":
		return ndjson{out}, nil
	case "json":
		return &jsonArray{out: out}, nil
	case "csv":
		return &csvRows{csv: csv.NewWriter(out), output: output}, nil
	case "table":
		return &table{out: out, output: output, width: width}, nil
	}
	return nil, usageError("-o is %q; it must be one of %s", format, strings.Join(resultFormats, ", "))
}

type ndjson struct{ out io.Writer }

func (n ndjson) one(o *outcome) error {
	_, err := n.out.Write(append(slices.Clip(printable.JSON(o.raw)), '\n'))
	return err
}

func (ndjson) end() error { return nil }

// jsonArray writes one array, with one outcome per line.
type jsonArray struct {
	out   io.Writer
	begun bool
}

func (j *jsonArray) one(o *outcome) error {
	before := ",\n"
	if !j.begun {
		before, j.begun = "[\n", true
	}
	_, err := fmt.Fprintf(j.out, "%s%s", before, printable.JSON(o.raw))
	return err
}

func (j *jsonArray) end() error {
	text := "\n]\n"
	if !j.begun {
		text = "[]\n"
	}
	_, err := io.WriteString(j.out, text)
	return err
}

// csvRows writes the same columns as functionruns/results. It prefixes cells that a spreadsheet would execute with an apostrophe,
// unless raw is set.
type csvRows struct {
	csv    *csv.Writer
	output bool
	raw    bool
	begun  bool
}

func (c *csvRows) one(o *outcome) error {
	if err := c.begin(); err != nil {
		return err
	}
	cells := []string{strconv.Itoa(o.Index), o.Status, printable.Value(o.Result), "", "", strconv.Itoa(o.Attempts),
		timestamp(o.StartTime), timestamp(o.CompletionTime), o.Worker, o.Node}
	if o.Error != nil {
		cells[3], cells[4] = o.Error.Type, o.Error.Message
	}
	if c.output {
		cells = append(cells, o.Stdout, o.Stderr)
	}
	if !c.raw {
		for i := range cells {
			cells[i] = printable.Cell(cells[i])
		}
	}
	_ = c.csv.Write(cells)
	c.csv.Flush()
	return c.csv.Error()
}

func (c *csvRows) begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	columns := []string{"index", "status", "result", "error_type", "error_message", "attempts", "start_time", "completion_time", "worker", "node"}
	if c.output {
		columns = append(columns, "stdout", "stderr")
	}
	return c.csv.Write(columns)
}

func (c *csvRows) end() error {
	_ = c.begin()
	c.csv.Flush()
	return c.csv.Error()
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(metav1.RFC3339Micro)
}

// table writes one line per outcome, cut at the width of the terminal. Its columns have a fixed width, so that it can write lines
// before it knows the later ones.
type table struct {
	out    io.Writer
	output bool
	width  int
	begun  bool
}

const tableRow = "%-7s %-10s %9s  %s"

func (t *table) one(o *outcome) error {
	if !t.begun {
		t.begun = true
		if _, err := fmt.Fprintf(t.out, tableRow+"\n", "INDEX", "STATUS", "DURATION", "RESULT"); err != nil {
			return err
		}
	}
	duration := "-"
	if !o.StartTime.IsZero() && !o.CompletionTime.IsZero() {
		duration = durationText(o.CompletionTime.Sub(o.StartTime))
	}
	what := string(printable.Readable(o.Result))
	if o.Error != nil {
		what = errorText(o.Error)
	}
	line := fmt.Sprintf(tableRow, strconv.Itoa(o.Index), o.Status, duration, oneLine(what))
	if _, err := fmt.Fprintln(t.out, cutTo(strings.TrimRight(line, " "), t.width)); err != nil {
		return err
	}
	if !t.output {
		return nil
	}
	for _, stream := range []struct {
		name, text string
		dropped    int64
	}{{"stdout", o.Stdout, o.StdoutDropped}, {"stderr", o.Stderr, o.StderrDropped}} {
		if err := t.stream(stream.name, stream.text, stream.dropped); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) stream(name, text string, dropped int64) error {
	if text == "" {
		return nil
	}
	if dropped > 0 {
		text = fmt.Sprintf("[… %d earlier bytes were dropped]\n", dropped) + text
	}
	for line := range strings.Lines(text) {
		if _, err := fmt.Fprintf(t.out, "        %s | %s\n", name, printable.Text(strings.TrimRight(line, "\r\n"))); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) end() error {
	if t.begun {
		return nil
	}
	_, err := io.WriteString(t.out, "There are no results.\n")
	return err
}

func errorText(e *outcomeError) string {
	if e.Message == "" {
		return e.Type
	}
	return e.Type + ": " + e.Message
}

// oneLine is a text without line breaks and control sequences.
func oneLine(text string) string { return printable.Line(text) }

// cutTo cuts a line at a width in columns of a terminal; 0 means no limit.
func cutTo(text string, limit int) string {
	if limit <= 0 || lineWidth(text) <= limit {
		return text
	}
	used := 1 // the mark
	for at, r := range text {
		if used += runeWidth(r); used > limit {
			return text[:at] + "…"
		}
	}
	return text
}

// lineWidth is the width of a line on a terminal.
func lineWidth(text string) (sum int) {
	for _, r := range text {
		sum += runeWidth(r)
	}
	return sum
}

// runeWidth is the width of a character: two columns for those of East Asian scripts and for emoji, none for marks that combine with the
// character before.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// durationText is a duration with two or three significant digits.
func durationText(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second && d%time.Second != 0:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return twoUnits(int(d.Minutes()), "m", int(d.Seconds())%60, "s")
	case d < 48*time.Hour:
		return twoUnits(int(d.Hours()), "h", int(d.Minutes())%60, "m")
	}
	return twoUnits(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

func twoUnits(a int, unitA string, b int, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s", a, unitA)
	}
	return fmt.Sprintf("%d%s%02d%s", a, unitA, b, unitB)
}
