// Package printable makes untrusted text safe to display on a terminal, in a condition or in an event.
//
//	printable.go   which characters are unsafe; Line, Text, JSON; Cut
//	cleaner.go     the single pass that all forms share, and Writer for streams
//	jsontext.go    Readable, Value: JSON in which text is not escaped, for tables and cells
//	spreadsheet.go Cell: text for a cell of a CSV file
//
// Text from a tenant, an image or a worker can contain characters that control a terminal: control sequences that move the cursor,
// change the window title or send input, direction overrides that reorder a line, and zero-width characters that make two names look
// the same. This package replaces each such character with a visible escape, such as \x1b or \u202e, and leaves all other text
// unchanged. Nothing is dropped, so the attempt stays visible.
//
// The package imports only the standard library and does not know who displays the text.
package printable

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Line returns text as one line for a name, a cell or a message: line breaks become ⏎ and tabs become spaces.
func Line(text string) string {
	if clean(text, false) {
		return text
	}
	c := cleaner{line: true}
	return string(c.append(nil, []byte(text), true))
}

// Text returns text of several lines, such as a traceback or a diff. It keeps line breaks and tabs; \r\n becomes \n.
func Text(text string) string {
	if clean(text, true) {
		return text
	}
	var c cleaner
	return string(c.append(nil, []byte(text), true))
}

// JSON returns JSON with the same value and with unsafe characters written as \u escapes. Bytes that are not UTF-8 become
// U+FFFD, as every decoder reads them.
func JSON(text []byte) []byte {
	if clean(string(text), true) {
		return text
	}
	clean := make([]byte, 0, len(text)+len(text)/8+16)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == '\n', r == '\t', r == '\r', !Unsafe(r) && (r != utf8.RuneError || size != 1):
			clean = append(clean, text[:size]...)
		case r == utf8.RuneError && size == 1:
			clean = append(clean, `\ufffd`...)
		case r > 0xffff:
			r -= 0x10000
			clean = fmt.Appendf(clean, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			clean = fmt.Appendf(clean, `\u%04x`, r)
		}
		text = text[size:]
	}
	return clean
}

// Cut truncates text to at most limit bytes, between two characters, and marks the end with "…".
func Cut(text string, limit int) string {
	const mark = "…"
	if len(text) <= limit {
		return text
	}
	end := max(limit-len(mark), 0)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

// Unsafe reports whether a character is invisible or can control the program that displays it: control characters, format
// characters such as direction overrides and zero-width joiners, line separators, fillers, tags, and variation selectors except
// those that choose between text and emoji. The few format characters that are visible, such as the Arabic number sign, are
// safe.
func Unsafe(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0:
		return true
	case r < 0x7f, r == '\ufe0e', r == '\ufe0f':
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Cs, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) &&
		!unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// clean reports whether nothing in the text must be replaced.
func clean(text string, lines bool) bool {
	for i := 0; i < len(text); {
		b := text[i]
		switch {
		case b >= 0x20 && b < 0x7f, lines && (b == '\n' || b == '\t'):
			i++
			continue
		case b < utf8.RuneSelf:
			return false
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 || Unsafe(r) {
			return false
		}
		i += size
	}
	return true
}
