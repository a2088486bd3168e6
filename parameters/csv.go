package parameters

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"sharedcloud.io/function-operator/api/strictjson"
)

// MaxCells is how many cells a row of CSV may have.
const MaxCells = 16_384

// csvAhead is how many bytes are read ahead: commas all, where somebody wants to do harm.
const csvAhead = 8 << 10

var errTooManyCells = fmt.Errorf("the row has more than %d cells, and a row may not: put a list into one cell, or send JSON", MaxCells)

// rows reads CSV: RFC 4180, with any end of line.
func (r *Reader) rows(text io.Reader, limited *limitedReader, stream Stream) func() (Input, error) {
	reader := csv.NewReader(text)
	reader.ReuseRecord = true
	reader.FieldsPerRecord = -1 // without a header, inputs may be of different lengths
	// The reader notes 40 bytes for each cell, so cells are counted before it sees them, with those that are read ahead.
	limited.mostCommas = MaxCells + csvAhead
	var columns []string
	return func() (Input, error) {
		limited.begin()
		record, err := reader.Read()
		if err == nil && stream.Header && columns == nil {
			if columns, err = header(record); err == nil {
				record, err = reader.Read()
			}
		}
		if err != nil {
			return Input{}, err
		}
		line, _ := reader.FieldPos(0)
		if len(record) > MaxCells {
			return Input{}, fmt.Errorf("line %d: %w", line, errTooManyCells)
		}
		if columns != nil && len(record) != len(columns) {
			return Input{}, fmt.Errorf("line %d: it has %d cells, and the header names %d columns", line, len(record), len(columns))
		}
		b, err := appendRow(r.buffer(512), record, columns, stream.TypedCells)
		if err != nil {
			return Input{}, fmt.Errorf("line %d: %w", line, err)
		}
		if r.reuse {
			r.scratch = b
		}
		return Input{JSON: b}, nil
	}
}

// appendRow writes a row as an input. The names of columns can make it much longer than the row: it is measured while it grows.
func appendRow(b []byte, record, columns []string, typed bool) ([]byte, error) {
	open, closing := "[", "]"
	if columns != nil {
		open, closing = "[{", "}]"
	}
	b = append(b, open...)
	for i, cell := range record {
		if !utf8.ValidString(cell) {
			return nil, errors.New("it is not UTF-8")
		}
		if i > 0 {
			b = append(b, ',')
		}
		if columns != nil {
			b = append(appendString(b, columns[i]), ':')
		}
		if typed && scalar(cell) {
			if err := strictjson.Check([]byte(cell)); err != nil {
				return nil, err
			}
			b = append(b, cell...)
		} else {
			b = appendString(b, cell)
		}
		if len(b) > MaxInputBytes {
			return nil, errInputTooLong
		}
	}
	return append(b, closing...), nil
}

// header copies the names of columns, which must differ.
func header(record []string) ([]string, error) {
	columns, seen := make([]string, 0, len(record)), map[string]bool{}
	for _, name := range record {
		if seen[name] {
			return nil, fmt.Errorf("line 1: the header names the column %.100q twice", name)
		}
		if !utf8.ValidString(name) {
			return nil, errors.New("line 1: it is not UTF-8")
		}
		seen[name] = true
		columns = append(columns, strings.Clone(name))
	}
	return columns, nil
}

// scalar says whether a cell is a number, true, false or null as JSON writes them.
func scalar(cell string) bool {
	switch {
	case cell == "true", cell == "false", cell == "null":
		return true
	case cell == "" || cell[0] != '-' && (cell[0] < '0' || cell[0] > '9'):
		return false
	}
	return json.Valid([]byte(cell))
}

func appendString(b []byte, text string) []byte {
	if plain(text) {
		b = append(b, '"')
		b = append(b, text...)
		return append(b, '"')
	}
	buffer := bytes.NewBuffer(b)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string is always encodable
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}

// plain says whether a text is written in JSON as it is.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == 0x7f {
			return false
		}
	}
	return true
}
