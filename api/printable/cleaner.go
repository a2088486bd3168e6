package printable

import (
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

const (
	escape = 0x1b
	// maxColor is the maximum length of a color sequence between ESC [ and m.
	maxColor   = 32
	resetColor = "\x1b[0m"
)

// cleaner replaces the unsafe parts of a text that may arrive in chunks. It reads each byte once. Between two chunks it keeps
// only what may be incomplete: part of a character, a carriage return, or the start of a color sequence.
type cleaner struct {
	// line formats the text as one line.
	line bool
	// colors lets color sequences (ESC [ … m) pass. A color is reset at the end of its line so that it does not affect the next
	// one.
	colors bool

	colored bool
	pending []byte
}

// append adds the safe form of a chunk to clean. With final set, nothing is kept for the next chunk.
func (c *cleaner) append(clean, piece []byte, final bool) []byte {
	if len(c.pending) > 0 {
		piece = append(c.pending, piece...)
		c.pending = nil
	}
	for i := 0; i < len(piece); {
		// Printable ASCII is copied in one piece.
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
		clean = c.uncolored(clean)
	}
	return clean
}

// plain returns the end of the printable ASCII that begins at i.
func plain(text []byte, i int) int {
	for i < len(text) && text[i] >= 0x20 && text[i] < 0x7f {
		i++
	}
	return i
}

// one adds the safe form of the first character or sequence of the text and returns its length, or 0 if the length depends on
// the next chunk.
func (c *cleaner) one(clean, text []byte, final bool) ([]byte, int) {
	switch b := text[0]; {
	case b == '\n' && c.line:
		return append(clean, "⏎"...), 1
	case b == '\n':
		return append(c.uncolored(clean), '\n'), 1
	case b == '\t' && c.line:
		return append(clean, ' '), 1
	case b == '\t':
		return append(clean, '\t'), 1
	case b == '\r' && len(text) == 1 && !final:
		return clean, 0
	case b == '\r' && len(text) > 1 && text[1] == '\n':
		return clean, 1 // the line feed is kept
	case b == '\r':
		return append(clean, `\r`...), 1
	case b == escape && c.colors:
		return c.color(clean, text, final)
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

// color adds a color sequence, or an escape if the text does not begin with one.
func (c *cleaner) color(clean, text []byte, final bool) ([]byte, int) {
	end := 1
	if end < len(text) && text[end] == '[' {
		for end++; end < len(text) && end < maxColor+2 && colorParameter(text[end]); end++ {
			continue
		}
	}
	switch {
	case end == len(text) && !final && end < maxColor+2:
		return clean, 0
	case end > 1 && end < len(text) && text[end] == 'm':
		sequence := text[:end+1]
		c.colored = !resets(sequence[2:end])
		return append(clean, sequence...), len(sequence)
	}
	return append(clean, `\x1b`...), 1
}

func colorParameter(b byte) bool { return b >= '0' && b <= '9' || b == ';' || b == ':' }

// resets reports whether a color sequence with these parameters resets all attributes.
func resets(parameters []byte) bool {
	for _, b := range parameters {
		if b != '0' {
			return false
		}
	}
	return true
}

func (c *cleaner) uncolored(clean []byte) []byte {
	if c.colored {
		clean = append(clean, resetColor...)
		c.colored = false
	}
	return clean
}

// Writer forwards text with unsafe characters replaced. It is safe for concurrent use.
type Writer struct {
	mu      sync.Mutex
	to      io.Writer
	cleaner cleaner
	buffer  []byte
}

// NewWriter creates a Writer for text of several lines; see Text.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

// NewLogWriter creates a Writer for logs. It is like NewWriter but lets color sequences (ESC [ numbers m) pass and resets the
// color at the end of each line.
func NewLogWriter(to io.Writer) *Writer { return &Writer{to: to, cleaner: cleaner{colors: true}} }

// Write implements io.Writer.
func (w *Writer) Write(text []byte) (int, error) {
	if err := w.write(text, false); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Flush writes an incomplete sequence that Write kept. Call it at the end.
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
