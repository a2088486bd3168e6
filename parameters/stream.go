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

// MaxInputBytes is how long one input may be, as text: an answer of the work exchange holds it.
const MaxInputBytes = 8 << 20

// MaxInputs is how many inputs a run may have.
const MaxInputs = 100_000_000

// Stream is how inputs come as a text of any length.
type Stream struct {
	Format v1alpha1.ParametersFormat
	// Header says that the first row of a CSV text names its columns: an input is then one object, {"column": "value"}.
	Header bool
	// TypedCells reads a cell of a CSV text as JSON where it is a number, true, false or null; otherwise all are strings.
	TypedCells bool
	// MayBeEmpty takes a text without any input for good: it is a part of a longer one.
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

// Reader yields the inputs of a text one after the other. It holds one of them at a time; of a Python literal, which
// has no beginning of an input that could be told from elsewhere, the whole text, up to MaxLiteralBytes.
type Reader struct {
	next  func() (Input, error)
	text  *limitedReader
	empty bool // may be
	count int
	err   error
	// reuse: the caller is done with an input when it asks for the next. scratch holds it then.
	reuse   bool
	scratch []byte
	out     bytes.Buffer
	// literal is a Python text once it was read.
	literal *Literal
}

// FormatError says what is wrong with a text of inputs, and where: a sentence without a full stop.
type FormatError struct{ Sentence string }

func (e *FormatError) Error() string { return e.Sentence }

// NewReader reads inputs from a text in UTF-8.
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
		limited.most = math.MaxInt // lines sees to it by itself
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

// buffer is where an input is put that takes about so many bytes.
func (r *Reader) buffer(size int) []byte {
	if !r.reuse {
		return make([]byte, 0, size)
	}
	if cap(r.scratch) < size {
		r.scratch = make([]byte, 0, max(size, 2*cap(r.scratch)))
	}
	return r.scratch[:0]
}

// Next returns the next input, or io.EOF after the last. Any other error is a *FormatError, or that of the reader beneath;
// no input follows it.
func (r *Reader) Next() (Input, error) {
	if r.err != nil {
		return Input{}, r.err
	}
	input, err := r.next()
	switch {
	case r.text.failed != nil:
		r.err = r.text.failed
	case errors.Is(err, io.EOF) && r.count == 0 && !r.empty:
		r.err = &FormatError{"there is no input in it, and a run needs at least one: give it [[]] or ((),) for a single call without values"}
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

// Count is how many inputs were returned.
func (r *Reader) Count() int { return r.count }

// Collect reads all inputs. In memory they take a small multiple of their text, however many they are.
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
		case reader.literal != nil: // it has them all
		case len(all.text)+len(input.JSON) > math.MaxUint32:
			return nil, &FormatError{"the inputs have more than 4 GiB: split the run"}
		default:
			all.text = append(all.text, input.JSON...)
			all.ends = append(all.ends, uint32(len(all.text)))
		}
	}
}

// collected are inputs of JSON, one behind the other.
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

var errInputTooLong = fmt.Errorf("it has more than %d bytes, and an input may not: put what is large where the handler can fetch it", MaxInputBytes)

// limitedReader ends with an error when more is read for one input than that may have. What decoders read ahead counts too.
type limitedReader struct {
	reader io.Reader
	read   int
	most   int // 0: MaxInputBytes and what is read ahead
	// commas are counted where mostCommas is set.
	commas, mostCommas int
	// failed is the error of the reader beneath, which is nobody's mistake.
	failed error
}

func (l *limitedReader) Read(p []byte) (int, error) {
	most := l.most
	if most == 0 {
		most = MaxInputBytes + 128<<10
	}
	if l.read > most {
		return 0, errInputTooLong
	}
	if l.mostCommas > 0 && l.commas > l.mostCommas {
		return 0, errTooManyCells
	}
	n, err := l.reader.Read(p)
	l.read += n
	if l.mostCommas > 0 {
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
			limited.most = MaxLiteralBytes + 128<<10
			var all strings.Builder // what it holds is not copied
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
