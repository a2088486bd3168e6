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

// MaxCells is the maximum number of cells in a CSV row.
const MaxCells = 16_384

// csvAhead is the size of the read-ahead buffer in bytes. A malicious text can fill it with commas.
const csvAhead = 8 << 10

var errTooManyCells = fmt.Errorf("the row has more than %d cells, which is the maximum: put a list into one cell, or use JSON", MaxCells)

// rows reads CSV according to RFC 4180, with any line ending.
func (r *Reader) rows(text io.Reader, limited *limitedReader, stream Stream) func() (Input, error) {
	reader := csv.NewReader(text)
	reader.ReuseRecord = true
	reader.FieldsPerRecord = -1 // without a header, inputs may be of different lengths
	// csv.Reader allocates 40 bytes per cell, so the commas are counted before it reads them, including the read-ahead.
	limited.maxCommas = MaxCells + csvAhead
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
			return Input{}, fmt.Errorf("line %d: the number of cells is %d, and the number of columns in the header is %d", line, len(record), len(columns))
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

// appendRow writes a row as an input. Column names can make the input much longer than the row, so its length is checked as it
// grows.
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

// header copies the column names, which must be unique.
func header(record []string) ([]string, error) {
	columns, seen := make([]string, 0, len(record)), map[string]bool{}
	for _, name := range record {
		if seen[name] {
			return nil, fmt.Errorf("line 1: the header contains the column %.100q twice", name)
		}
		if !utf8.ValidString(name) {
			return nil, errors.New("line 1: it is not UTF-8")
		}
		seen[name] = true
		columns = append(columns, strings.Clone(name))
	}
	return columns, nil
}

// scalar reports whether a cell is a JSON number, true, false or null.
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

// plain reports whether a text needs no escapes in JSON.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == 0x7f {
			return false
		}
	}
	return true
}
