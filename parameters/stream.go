package parameters

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
	"unicode/utf8"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// MaxTupleBytes is how long one tuple may be, as text: an answer of the work exchange holds it.
const MaxTupleBytes = 8 << 20

// MaxTuples is how many tuples a run may have.
const MaxTuples = 100_000_000

// Stream is how inputs come as a text of any length.
type Stream struct {
	Format v1alpha1.ParametersFormat
	// Header says that the first row of a CSV text names its columns: a tuple is then one object, {"column": "value"}.
	Header bool
	// TypedCells reads a cell of a CSV text as JSON where it is a number, true, false or null; otherwise all are strings.
	TypedCells bool
	// MayBeEmpty takes a text without any tuple for good: it is a part of a longer one.
	MayBeEmpty bool
}

// FormatOf is the format of a text with that name, where none is given: what follows the last dot says so, else whether
// the text begins like a Python tuple.
func FormatOf(name, beginning string) v1alpha1.ParametersFormat {
	switch strings.ToLower(path.Ext(name)) {
	case ".json":
		return v1alpha1.FormatJSON
	case ".ndjson", ".jsonl":
		return v1alpha1.FormatNDJSON
	case ".csv":
		return v1alpha1.FormatCSV
	case ".py":
		return v1alpha1.FormatPython
	}
	if strings.HasPrefix(strings.TrimLeft(beginning, " \t\r\n\f"), "(") {
		return v1alpha1.FormatPython
	}
	return v1alpha1.FormatJSON
}

// Reader yields the tuples of a text one after the other. It holds one of them at a time; of a Python literal, which
// has no beginning of a tuple that could be told from elsewhere, the whole text, up to MaxLiteralBytes.
type Reader struct {
	next  func() (Input, error)
	text  *limitedReader
	empty bool // may be
	count int
	err   error
}

// FormatError says what is wrong with a text of tuples, and where: a sentence without a full stop.
type FormatError struct{ Sentence string }

func (e *FormatError) Error() string { return e.Sentence }

// NewReader reads tuples from a text in UTF-8.
func NewReader(text io.Reader, stream Stream) *Reader {
	limited := &limitedReader{reader: text}
	buffered := bufio.NewReaderSize(limited, 64<<10)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(3)
	}
	r := &Reader{text: limited, empty: stream.MayBeEmpty}
	switch stream.Format {
	case v1alpha1.FormatNDJSON:
		limited.most = math.MaxInt // lines sees to it by itself
		r.next = lines(buffered)
	case v1alpha1.FormatCSV:
		r.next = rows(buffered, limited, stream)
	case v1alpha1.FormatPython:
		r.next = literal(buffered, limited)
	default:
		r.next = elements(buffered, limited)
	}
	return r
}

// Next returns the next tuple, or io.EOF after the last. Any other error is a *FormatError, or that of the reader beneath;
// no tuple follows it.
func (r *Reader) Next() (Input, error) {
	if r.err != nil {
		return Input{}, r.err
	}
	input, err := r.next()
	switch {
	case r.text.failed != nil:
		r.err = r.text.failed
	case errors.Is(err, io.EOF) && r.count == 0 && !r.empty:
		r.err = &FormatError{"there is no tuple in it, and a run needs at least one: give it [[]] or ((),) for a single call without values"}
	case errors.Is(err, io.EOF):
		r.err = io.EOF
	case err != nil:
		r.err = &FormatError{err.Error()}
	case r.count >= MaxTuples:
		r.err = &FormatError{fmt.Sprintf("there are more than %d tuples: split the run", MaxTuples)}
	default:
		r.count++
		return input, nil
	}
	return Input{}, r.err
}

// Count is how many tuples were returned.
func (r *Reader) Count() int { return r.count }

// Collect reads all tuples.
func Collect(text io.Reader, stream Stream) (Tuples, error) {
	reader, all := NewReader(text, stream), collected{}
	for {
		input, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, input)
	}
}

type collected []Input

func (c collected) Len() int { return len(c) }

func (c collected) Slice(first, last int) []Input { return c[first : last+1] }

var errTupleTooLong = fmt.Errorf("it has more than %d bytes, and a tuple may not: put what is large where the handler can fetch it", MaxTupleBytes)

// limitedReader ends with an error when more is read for one tuple than that may have. What decoders read ahead counts too.
type limitedReader struct {
	reader io.Reader
	read   int
	most   int // 0: MaxTupleBytes and what is read ahead
	// failed is the error of the reader beneath, which is nobody's mistake.
	failed error
}

func (l *limitedReader) Read(p []byte) (int, error) {
	most := l.most
	if most == 0 {
		most = MaxTupleBytes + 128<<10
	}
	if l.read > most {
		return 0, errTupleTooLong
	}
	n, err := l.reader.Read(p)
	l.read += n
	if err != nil && !errors.Is(err, io.EOF) {
		l.failed = err
	}
	return n, err
}

func (l *limitedReader) begin() { l.read = 0 }

// lines reads JSON texts, one a line. Lines without anything are passed over.
func lines(text *bufio.Reader) func() (Input, error) {
	number := 0
	var long []byte
	return func() (Input, error) {
		for {
			number++
			long = long[:0]
			var line []byte
			var err error
			for {
				line, err = text.ReadSlice('\n')
				if len(long)+len(line) > MaxTupleBytes+2 {
					return Input{}, fmt.Errorf("line %d: %w", number, errTupleTooLong)
				}
				if err == nil && len(long) == 0 {
					break // the usual: nothing is copied
				}
				long = append(long, line...)
				if !errors.Is(err, bufio.ErrBufferFull) {
					line = long
					break
				}
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return Input{}, err
			}
			line = bytes.TrimSpace(line)
			if len(line) > 0 {
				input, problem := tupleOf(line)
				if problem != nil {
					return Input{}, fmt.Errorf("line %d: %w", number, problem)
				}
				return input, nil
			}
			if err != nil {
				return Input{}, io.EOF
			}
		}
	}
}

// tupleOf makes a tuple of one JSON text: an array is a tuple, anything else a tuple of one value. It copies the text.
func tupleOf(text []byte) (Input, error) {
	if !utf8.Valid(text) {
		return Input{}, errors.New("it is not UTF-8")
	}
	tuple := make([]byte, 0, len(text)+2)
	array := text[0] == '['
	if !array {
		tuple = append(tuple, '[')
	}
	buffer := bytes.NewBuffer(tuple)
	if err := json.Compact(buffer, text); err != nil {
		return Input{}, fmt.Errorf("it is no JSON: %w", err)
	}
	if !array {
		buffer.WriteByte(']')
	}
	return Input{JSON: buffer.Bytes()}, nil
}

// elements reads one JSON array of tuples.
func elements(text io.Reader, limited *limitedReader) func() (Input, error) {
	decoder := json.NewDecoder(text)
	number, begun := 0, false
	return func() (Input, error) {
		limited.begin()
		if !begun {
			begun = true
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				return Input{}, io.EOF
			}
			if delim, ok := token.(json.Delim); err == nil && (!ok || delim != '[') {
				err = errors.New("it begins with something else")
			}
			if err != nil {
				return Input{}, notArray(err)
			}
		}
		if !decoder.More() {
			if _, err := decoder.Token(); err != nil {
				return Input{}, notArray(err)
			}
			if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
				return Input{}, errors.New("there is more text behind the array: one JSON array of tuples is expected, or one tuple a line (NDJSON)")
			}
			return Input{}, io.EOF
		}
		var element json.RawMessage
		if err := decoder.Decode(&element); err != nil {
			return Input{}, fmt.Errorf("tuple %d: %w", number, unexpectedEnd(err))
		}
		if len(element) > MaxTupleBytes {
			return Input{}, fmt.Errorf("tuple %d: %w", number, errTupleTooLong)
		}
		input, err := tupleOf(element)
		if err != nil {
			return Input{}, fmt.Errorf("tuple %d: %w", number, err)
		}
		number++
		return input, nil
	}
}

func notArray(err error) error {
	return fmt.Errorf("it is no JSON array of tuples such as [[1, 2], [3, 4]]: %w", unexpectedEnd(err))
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("the text ends in the middle")
	}
	return err
}

// rows reads CSV: RFC 4180, with any end of line.
func rows(text io.Reader, limited *limitedReader, stream Stream) func() (Input, error) {
	reader := csv.NewReader(text)
	reader.ReuseRecord = true
	reader.FieldsPerRecord = -1 // without a header, tuples may be of different lengths
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
		if columns != nil && len(record) != len(columns) {
			return Input{}, fmt.Errorf("line %d: it has %d cells, and the header names %d columns", line, len(record), len(columns))
		}
		var b bytes.Buffer
		b.WriteByte('[')
		if columns != nil {
			b.WriteByte('{')
		}
		for i, cell := range record {
			if !utf8.ValidString(cell) {
				return Input{}, fmt.Errorf("line %d: it is not UTF-8", line)
			}
			if i > 0 {
				b.WriteByte(',')
			}
			if columns != nil {
				writeString(&b, columns[i])
				b.WriteByte(':')
			}
			if stream.TypedCells && scalar(cell) {
				b.WriteString(cell)
			} else {
				writeString(&b, cell)
			}
		}
		if columns != nil {
			b.WriteByte('}')
		}
		b.WriteByte(']')
		if b.Len() > MaxTupleBytes {
			return Input{}, fmt.Errorf("line %d: %w", line, errTupleTooLong)
		}
		return Input{JSON: b.Bytes()}, nil
	}
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

func writeString(b *bytes.Buffer, text string) {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err == nil { // a string is always encodable
		b.Truncate(b.Len() - 1) // the newline
	}
}

// literal reads the text of a Python tuple of tuples.
func literal(text io.Reader, limited *limitedReader) func() (Input, error) {
	var parsed *Literal
	next := 0
	return func() (Input, error) {
		if parsed == nil {
			limited.most = MaxLiteralBytes + 128<<10
			all, err := io.ReadAll(io.LimitReader(text, MaxLiteralBytes+1))
			if err != nil {
				return Input{}, err
			}
			found, err := ParseLiteral(string(all))
			if err != nil {
				return Input{}, err
			}
			parsed = &found
		}
		if next >= parsed.Len() {
			return Input{}, io.EOF
		}
		next++
		tuple := parsed.Tuple(next - 1)
		if len(tuple) > MaxTupleBytes {
			return Input{}, fmt.Errorf("tuple %d: %w", next-1, errTupleTooLong)
		}
		return Input{Literal: tuple}, nil
	}
}
