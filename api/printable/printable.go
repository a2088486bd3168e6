// Package printable makes text from others safe to show: on a terminal, in a condition, in an event.
//
//	printable.go   which characters are unsafe; Line, Text, JSON; Cut
//	cleaner.go     the one pass that all forms share, and Writer, its form for streams
//
// A program that prints text of a tenant, of an image or of a worker prints what steers a terminal with it: control sequences that
// move the cursor, retitle the window or answer as if typed, direction overrides that reorder a line, characters without width
// that make two names look the same. This package replaces each such character by a visible escape, \x1b or \u202e, and leaves
// everything else as it is. Nothing is dropped: what was tried stays readable.
//
// What lives here: functions of text, with the standard library alone. What must not: knowledge of who shows what.
package printable

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Line is a text for a name, a cell or a message: one line, whose line breaks become ⏎ and whose tabs become blanks.
func Line(text string) string {
	if clean(text, false) {
		return text
	}
	c := cleaner{line: true}
	return string(c.append(nil, []byte(text), true))
}

// Text is a text of several lines: a traceback, a diff. Line breaks and tabs stay, \r\n becomes \n.
func Text(text string) string {
	if clean(text, true) {
		return text
	}
	var c cleaner
	return string(c.append(nil, []byte(text), true))
}

// JSON is a JSON text with the same value, in which what is unsafe is written as \u escapes. Bytes that are not UTF-8 become
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

// Cut shortens a text to at most limit bytes, between characters, and marks that it did.
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

// Unsafe says whether a character steers what shows it, or shows nothing: control characters, formats such as direction overrides
// and zero-width joiners, line separators, fillers, tags, and the variation selectors but those that choose between text and emoji.
// The few format characters that are drawn, as the Arabic number sign, are safe.
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

// clean says that nothing of a text is to be replaced.
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
