package parameters

import (
	"fmt"
	"unicode/utf8"
)

// Limits of a literal. Both are well above what the size of an object allows.
const (
	// MaxLiteralBytes is the maximum length of a literal. It also bounds the table of the inner tuples: 8 bytes for each tuple
	// of at least 3 bytes of text.
	MaxLiteralBytes = 16 << 20
	// MaxNesting is the maximum number of brackets that may be open at once. The oldest interpreters of the catalogue fail at
	// 93.
	MaxNesting = 90
)

// Literal is the text of a valid Python tuple of tuples.
type Literal struct {
	text  string
	spans []span
}

// span is a part of the text from start to end, exclusive. The type fits MaxLiteralBytes.
type span struct{ start, end uint32 }

// LiteralError describes an error in a literal. Lines and columns count from 1; columns are in characters.
type LiteralError struct {
	Line    int
	Column  int
	Message string
}

func (e *LiteralError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// ParseLiteral reads the text of a Python tuple of tuples. It accepts what ast.literal_eval of Python 3 accepts and rejects
// everything else, with these differences: surrounding white space is ignored; the name in a \N{…} escape is not looked up;
// integers have no limit of digits (Python 3.11 has one, which can be lifted); the two limits above apply. Time is linear in the
// length of the text.
//
// An error is a *LiteralError.
func ParseLiteral(text string) (Literal, error) {
	if len(text) > MaxLiteralBytes {
		return Literal{}, &LiteralError{1, 1, fmt.Sprintf("the text has %d bytes, and the maximum is %d: split the run", len(text), MaxLiteralBytes)}
	}
	w := walker{scanner: scanner{text: text}}
	spans, err := w.walk()
	if err != nil {
		return Literal{}, err
	}
	return Literal{text: text, spans: spans}, nil
}

// Len is the number of inner tuples.
func (l Literal) Len() int { return len(l.spans) }

// Tuple returns the text of an inner tuple as written, including its parentheses: "(1, 2)". Indexes count from 0.
func (l Literal) Tuple(index int) string {
	s := l.spans[index]
	return l.text[s.start:s.end]
}

// fault is an error at an offset. Its line and column are computed only when it is returned to the caller.
type fault struct {
	offset  int
	message string
}

func (f *fault) at(text string) *LiteralError {
	line, column := 1, 1
	for i := 0; i < f.offset && i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '\r' && i+1 < len(text) && text[i+1] == '\n': // the line ends with the \n
		case r == '\n' || r == '\r':
			line, column = line+1, 0
			fallthrough
		default:
			column++
		}
		i += size
	}
	return &LiteralError{line, column, f.message}
}
