package printable

import (
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

const (
	escape = 0x1b
	// maxColour is how many bytes a colour sequence may have between ESC [ and m.
	maxColour   = 32
	resetColour = "\x1b[0m"
)

// cleaner replaces what is unsafe in a text that may come in pieces. It looks at each byte once, and keeps between two pieces only
// what may become a whole with the next: part of a character, a carriage return, the beginning of a colour sequence.
type cleaner struct {
	// line: the text is one line.
	line bool
	// colours: colour sequences (ESC [ … m) pass. A colour ends with its line, so that it does not reach into the next one.
	colours bool

	coloured bool
	pending  []byte
}

// append adds what is safe of a piece to clean. After the final piece nothing is kept back.
func (c *cleaner) append(clean, piece []byte, final bool) []byte {
	if len(c.pending) > 0 {
		piece = append(c.pending, piece...)
		c.pending = nil
	}
	for i := 0; i < len(piece); {
		// What needs nothing is copied at once.
		if end := plain(piece, i); end > i {
			clean = append(clean, piece[i:end]...)
			i = end
			continue
		}
		var size int
		if clean, size = c.one(clean, piece[i:], final); size == 0 {
			c.pending = append([]byte(nil), piece[i:]...)
			return clean
		}
		i += size
	}
	if final {
		clean = c.uncoloured(clean)
	}
	return clean
}

// plain is the end of the printable ASCII that begins at i.
func plain(text []byte, i int) int {
	for i < len(text) && text[i] >= 0x20 && text[i] < 0x7f {
		i++
	}
	return i
}

// one adds what the text begins with and returns how long that is; 0 where only the next piece tells.
func (c *cleaner) one(clean, text []byte, final bool) ([]byte, int) {
	switch b := text[0]; {
	case b == '\n' && c.line:
		return append(clean, "⏎"...), 1
	case b == '\n':
		return append(c.uncoloured(clean), '\n'), 1
	case b == '\t' && c.line:
		return append(clean, ' '), 1
	case b == '\t':
		return append(clean, '\t'), 1
	case b == '\r' && len(text) == 1 && !final:
		return clean, 0
	case b == '\r' && len(text) > 1 && text[1] == '\n':
		return clean, 1 // the line feed says it
	case b == '\r':
		return append(clean, `\r`...), 1
	case b == escape && c.colours:
		return c.colour(clean, text, final)
	case b < utf8.RuneSelf:
		return fmt.Appendf(clean, `\x%02x`, b), 1
	case !final && !utf8.FullRune(text):
		return clean, 0
	}
	r, size := utf8.DecodeRune(text)
	switch {
	case r == utf8.RuneError && size == 1:
		return fmt.Appendf(clean, `\x%02x`, text[0]), 1
	case !Unsafe(r):
		return append(clean, text[:size]...), size
	case r > 0xffff:
		return fmt.Appendf(clean, `\U%08x`, r), size
	}
	return fmt.Appendf(clean, `\u%04x`, r), size
}

// colour adds a colour sequence, or the escape of what is none.
func (c *cleaner) colour(clean, text []byte, final bool) ([]byte, int) {
	end := 1
	if end < len(text) && text[end] == '[' {
		for end++; end < len(text) && end < maxColour+2 && colourParameter(text[end]); end++ {
			continue
		}
	}
	switch {
	case end == len(text) && !final && end < maxColour+2:
		return clean, 0
	case end > 1 && end < len(text) && text[end] == 'm':
		sequence := text[:end+1]
		c.coloured = !resets(sequence[2:end])
		return append(clean, sequence...), len(sequence)
	}
	return append(clean, `\x1b`...), 1
}

func colourParameter(b byte) bool { return b >= '0' && b <= '9' || b == ';' || b == ':' }

// resets says whether a colour sequence with these parameters takes all colours away.
func resets(parameters []byte) bool {
	for _, b := range parameters {
		if b != '0' {
			return false
		}
	}
	return true
}

func (c *cleaner) uncoloured(clean []byte) []byte {
	if c.coloured {
		clean = append(clean, resetColour...)
		c.coloured = false
	}
	return clean
}

// Writer passes text on with what is unsafe replaced. It may be used by several goroutines.
type Writer struct {
	mu      sync.Mutex
	to      io.Writer
	cleaner cleaner
	buffer  []byte
}

// NewWriter makes a Writer for text of several lines, see Text.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

// NewLogWriter makes a Writer for logs: as NewWriter, and colour sequences (ESC [ numbers m) pass. A colour ends with its line.
func NewLogWriter(to io.Writer) *Writer { return &Writer{to: to, cleaner: cleaner{colours: true}} }

// Write implements io.Writer.
func (w *Writer) Write(text []byte) (int, error) {
	if err := w.write(text, false); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Flush writes what waits for the rest of it: call it at the end.
func (w *Writer) Flush() error { return w.write(nil, true) }

func (w *Writer) write(text []byte, final bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buffer = w.cleaner.append(w.buffer[:0], text, final)
	if len(w.buffer) == 0 {
		return nil
	}
	_, err := w.to.Write(w.buffer)
	return err
}
