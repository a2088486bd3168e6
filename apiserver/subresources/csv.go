package subresources

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// table writes outcomes as CSV (RFC 4180 with line feeds) with a header row. Unless raw, cells that a spreadsheet would
// execute begin with an apostrophe.
type table struct {
	buffer bytes.Buffer
	csv    *csv.Writer
	output bool
	raw    bool
}

func newTable(q query) *table {
	t := &table{output: q.output, raw: q.raw}
	t.csv = csv.NewWriter(&t.buffer)
	return t
}

func (t *table) beginning() []byte {
	columns := []string{"index", "status", "result", "error_type", "error_message", "attempts", "start_time", "completion_time", "worker", "node"}
	if t.output {
		columns = append(columns, "stdout", "stderr")
	}
	return t.row(columns)
}

func (t *table) one(o *outcomes.Outcome, _ bool) []byte {
	cells := []string{strconv.Itoa(o.Index), o.Status.String(), cellOf(o), "", "", strconv.Itoa(o.Attempts),
		timeText(o.StartMicros), timeText(o.CompletionMicros), o.PodName, o.Node}
	if o.Error != nil {
		cells[3], cells[4] = o.Error.Type, o.Error.Message
	}
	if t.output {
		cells = append(cells, string(o.Stdout), string(o.Stderr))
	}
	return t.row(cells)
}

func (*table) end(int) []byte { return nil }

func (t *table) row(cells []string) []byte {
	if !t.raw {
		for i := range cells {
			cells[i] = printable.Cell(cells[i])
		}
	}
	t.buffer.Reset()
	_ = t.csv.Write(cells) // a bytes.Buffer does not fail
	t.csv.Flush()
	return t.buffer.Bytes()
}

// cellOf returns a result as the text of a cell: the content of a string, else its readable JSON; for a value that JSON cannot
// represent, the text that the language has for it.
func cellOf(o *outcomes.Outcome) string {
	if o.Result == nil {
		return string(o.ResultText)
	}
	return printable.Value(o.Result)
}

func timeText(micros int64) string {
	if micros <= 0 {
		return ""
	}
	return time.UnixMicro(micros).UTC().Format(metav1.RFC3339Micro)
}
