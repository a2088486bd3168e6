package printable

import (
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Readable returns JSON with the same value, in which characters are written as such and not as escapes: encoders for other programs write
// all others than ASCII as \u escapes, and those for HTML also < and &. Unsafe characters, halves of surrogate pairs, quotes and backslashes
// stay escaped.
func Readable(text []byte) []byte {
	if ReadableSize(text) == len(text) {
		return text
	}
	clean := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := escaped(text)
		if size == 0 {
			clean, text = append(clean, text[0]), text[1:]
			continue
		}
		if r >= 0 {
			clean = utf8.AppendRune(clean, r)
		} else {
			clean = append(clean, text[:size]...)
		}
		text = text[size:]
	}
	return clean
}

// ReadableSize is the size of Readable in bytes: what JSON takes in UTF-8, whichever escapes its encoder used.
func ReadableSize(text []byte) int {
	total := 0
	for at := 0; at < len(text); {
		if text[at] != '\\' {
			at, total = at+1, total+1
			continue
		}
		r, size := escaped(text[at:])
		at += size
		if r >= 0 {
			size = utf8.RuneLen(r)
		}
		total += size
	}
	return total
}

// Value returns the value of a JSON text for a cell: the content of a string, else the readable JSON. Halves of surrogate pairs, which text
// cannot contain, are written as their escapes.
func Value(text []byte) string {
	if len(text) == 0 || text[0] != '"' {
		return string(Readable(text))
	}
	var value string
	if err := json.Unmarshal(doubled(text), &value); err != nil {
		return string(text)
	}
	return value
}

// escaped returns the length of the escape at the start of the text, 0 if there is none, and the character that can be written instead, -1 if
// the escape must stay.
func escaped(text []byte) (r rune, size int) {
	switch {
	case text[0] != '\\':
		return -1, 0
	case len(text) < 2:
		return -1, 1
	}
	if text[1] == '/' {
		return '/', 2
	}
	r, size = unit(text), 6
	if r < 0 {
		return -1, 2
	}
	if utf16.IsSurrogate(r) {
		if r = utf16.DecodeRune(r, unit(text[6:])); r == utf8.RuneError {
			return -1, 6
		}
		size = 12
	}
	if r == '"' || r == '\\' || Unsafe(r) {
		return -1, size
	}
	return r, size
}

// unit returns the UTF-16 unit of the \u escape at the start of the text, -1 if there is none.
func unit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	value, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(value)
}

// doubled doubles the backslash of each half of a surrogate pair, so that its escape becomes text.
func doubled(text []byte) []byte {
	var clean []byte
	from := 0
	for at := 0; at < len(text); {
		if text[at] != '\\' {
			at++
			continue
		}
		r, size := escaped(text[at:])
		if u := unit(text[at:]); r < 0 && size == 6 && utf16.IsSurrogate(u) {
			clean = append(append(clean, text[from:at]...), '\\')
			from = at
		}
		at += size
	}
	if from == 0 && clean == nil {
		return text
	}
	return append(clean, text[from:]...)
}
