package parameters

import (
	"fmt"
	"unicode/utf8"
)

// Limits of a literal. Both are far from what the object that holds it allows.
const (
	// MaxLiteralBytes is how long a literal may be. It also bounds what the table of the tuples takes: 8 bytes for each,
	// and a tuple is 3 bytes of text at least.
	MaxLiteralBytes = 16 << 20
	// MaxNesting is how many brackets may be open at once. The oldest interpreters of the catalogue give up at 93.
	MaxNesting = 90
)

// Literal is the text of a Python tuple of tuples that was found good.
type Literal struct {
	text  string
	spans []span
}

// span is a piece of the text, from start up to and without end. MaxLiteralBytes fits.
type span struct{ start, end uint32 }

// LiteralError says what is wrong with a literal and where. Lines and columns count from 1, columns in characters.
type LiteralError struct {
	Line    int
	Column  int
	Message string
}

func (e *LiteralError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// ParseLiteral reads the text of a Python tuple of tuples as ast.literal_eval of Python 3 does: it accepts what that
// accepts and refuses the rest, with these differences. White space around the whole is passed over; the name in
// a \N{…} escape is not looked up; integers have no limit of digits (Python 3.11 has one, which can be lifted); there
// are the two limits above. Time is linear in the text.
//
// An error is a *LiteralError.
func ParseLiteral(text string) (Literal, error) {
	if len(text) > MaxLiteralBytes {
		return Literal{}, &LiteralError{1, 1, fmt.Sprintf("the text has %d bytes, and %d are the most: split the run", len(text), MaxLiteralBytes)}
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

// Tuple is the text of an inner tuple as it was written, its parentheses included: "(1, 2)". Indexes count from 0.
func (l Literal) Tuple(index int) string {
	s := l.spans[index]
	return l.text[s.start:s.end]
}

// fault is an error at an offset; the line and column are worked out when it is the one that is returned.
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
