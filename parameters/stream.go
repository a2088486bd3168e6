package parameters

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// MaxInputBytes is the maximum length of one input as text: it must fit into one response of the work exchange.
const MaxInputBytes = 8 << 20

// MaxInputs is the maximum number of inputs of a run.
const MaxInputs = 100_000_000

// Stream describes the format of a text of inputs of any length.
type Stream struct {
	Format v1alpha1.ParametersFormat
	// Header indicates that the first row of a CSV text names its columns. Each input is then one object, {"column": "value"}.
	Header bool
	// TypedCells reads a cell of a CSV text as JSON if it is a number, true, false or null. Otherwise all cells are strings.
	TypedCells bool
	// MayBeEmpty accepts a text without inputs, which is part of a longer one.
	MayBeEmpty bool
}

// FormatOf returns the format of a text whose format is not given: by the extension of its name, or else by whether the text
// begins like a Python tuple.
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

// Reader yields the inputs of a text one after the other. It holds one input at a time, except for a Python literal, which must
// be parsed from its beginning: of this it holds the whole text, up to MaxLiteralBytes.
type Reader struct {
	next  func() (Input, error)
	text  *limitedReader
	empty bool // a text without inputs is valid
	count int
	err   error
	// reuse indicates that the caller has finished with an input when it asks for the next one. scratch then holds the input.
	reuse   bool
	scratch []byte
	out     bytes.Buffer
	// literal is the Python text once it has been read.
	literal *Literal
}

// FormatError describes an error in a text of inputs and its position. Its text is a sentence without a full stop.
type FormatError struct{ Message string }

func (e *FormatError) Error() string { return e.Message }

// NewReader reads inputs from a UTF-8 text.
func NewReader(text io.Reader, stream Stream) *Reader {
	limited := &limitedReader{reader: text}
	ahead := 64 << 10
	if stream.Format == v1alpha1.FormatCSV {
		ahead = csvAhead
	}
	buffered := bufio.NewReaderSize(limited, ahead)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(3)
	}
	r := &Reader{text: limited, empty: stream.MayBeEmpty}
	switch stream.Format {
	case v1alpha1.FormatNDJSON:
		limited.max = math.MaxInt // lines checks the length of a line itself
		r.next = r.lines(buffered)
	case v1alpha1.FormatCSV:
		r.next = r.rows(buffered, limited, stream)
	case v1alpha1.FormatPython:
		r.next = r.literals(buffered, limited)
	default:
		r.next = r.elements(buffered, limited)
	}
	return r
}

// buffer returns an empty buffer for an input of about size bytes.
func (r *Reader) buffer(size int) []byte {
	if !r.reuse {
		return make([]byte, 0, size)
	}
	if cap(r.scratch) < size {
		r.scratch = make([]byte, 0, max(size, 2*cap(r.scratch)))
	}
	return r.scratch[:0]
}

// Next returns the next input, or io.EOF after the last. Any other error is a *FormatError or the error of the underlying
// reader; no input follows it.
func (r *Reader) Next() (Input, error) {
	if r.err != nil {
		return Input{}, r.err
	}
	input, err := r.next()
	switch {
	case r.text.failed != nil:
		r.err = r.text.failed
	case errors.Is(err, io.EOF) && r.count == 0 && !r.empty:
		r.err = &FormatError{"it contains no inputs, and a run needs at least one: use [[]] or ((),) for a single call without values"}
	case errors.Is(err, io.EOF):
		r.err = io.EOF
	case err != nil:
		r.err = &FormatError{err.Error()}
	case r.count >= MaxInputs:
		r.err = &FormatError{fmt.Sprintf("there are more than %d inputs: split the run", MaxInputs)}
	default:
		r.count++
		return input, nil
	}
	return Input{}, r.err
}

// Count returns the number of inputs that were returned.
func (r *Reader) Count() int { return r.count }

// Collect reads all inputs. They occupy a small multiple of the length of their text, regardless of their number.
func Collect(text io.Reader, stream Stream) (Inputs, error) {
	reader, all := NewReader(text, stream), &collected{}
	reader.reuse = true
	for {
		input, err := reader.Next()
		switch {
		case errors.Is(err, io.EOF) && reader.literal != nil:
			return literalInputs{*reader.literal}, nil
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		case reader.literal != nil: // the literal already holds all inputs
		case len(all.text)+len(input.JSON) > math.MaxUint32:
			return nil, &FormatError{"the inputs have more than 4 GiB: split the run"}
		default:
			all.text = append(all.text, input.JSON...)
			all.ends = append(all.ends, uint32(len(all.text)))
		}
	}
}

// collected holds JSON inputs one after the other.
type collected struct {
	text []byte
	ends []uint32
}

func (c *collected) Len() int { return len(c.ends) }

func (c *collected) Slice(first, last int) []Input {
	inputs := make([]Input, 0, last-first+1)
	start := uint32(0)
	if first > 0 {
		start = c.ends[first-1]
	}
	for _, end := range c.ends[first : last+1] {
		inputs = append(inputs, Input{JSON: c.text[start:end:end]})
		start = end
	}
	return inputs
}

var errInputTooLong = fmt.Errorf("it has more than %d bytes, the maximum of an input: store large data where the handler can fetch it", MaxInputBytes)

// limitedReader fails when more than the maximum of one input is read, including what the decoder reads ahead.
type limitedReader struct {
	reader io.Reader
	read   int
	max    int // 0: MaxInputBytes and the read-ahead
	// commas are counted if maxCommas is set.
	commas, maxCommas int
	// failed is the error of the underlying reader, which is not an error in the inputs.
	failed error
}

func (l *limitedReader) Read(p []byte) (int, error) {
	maximum := l.max
	if maximum == 0 {
		maximum = MaxInputBytes + 128<<10
	}
	if l.read > maximum {
		return 0, errInputTooLong
	}
	if l.maxCommas > 0 && l.commas > l.maxCommas {
		return 0, errTooManyCells
	}
	n, err := l.reader.Read(p)
	l.read += n
	if l.maxCommas > 0 {
		l.commas += bytes.Count(p[:n], []byte{','})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		l.failed = err
	}
	return n, err
}

func (l *limitedReader) begin() { l.read, l.commas = 0, 0 }

// literals reads the text of a Python tuple of tuples.
func (r *Reader) literals(text io.Reader, limited *limitedReader) func() (Input, error) {
	next := 0
	return func() (Input, error) {
		if r.literal == nil {
			limited.max = MaxLiteralBytes + 128<<10
			var all strings.Builder // String does not copy
			if _, err := io.Copy(&all, io.LimitReader(text, MaxLiteralBytes+1)); err != nil {
				return Input{}, err
			}
			found, err := ParseLiteral(all.String())
			if err != nil {
				return Input{}, err
			}
			r.literal = &found
		}
		if next >= r.literal.Len() {
			return Input{}, io.EOF
		}
		next++
		input := r.literal.Tuple(next - 1)
		if len(input) > MaxInputBytes {
			return Input{}, fmt.Errorf("input %d: %w", next-1, errInputTooLong)
		}
		return Input{Literal: input}, nil
	}
}
