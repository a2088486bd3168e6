package strictjson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// skipString reads a string; escaped reports whether it contains an escape.
func (d *Decoder) skipString(strict bool) (escaped bool, err error) {
	d.at++
	for d.at < len(d.data) {
		switch c := d.data[d.at]; {
		case c == '"':
			d.at++
			return escaped, nil
		case c == '\\':
			escaped = true
			if err := d.escape(strict); err != nil {
				return true, err
			}
		case c < ' ':
			return escaped, d.syntax()
		case c < utf8.RuneSelf:
			d.at++
		default:
			r, size := utf8.DecodeRune(d.data[d.at:])
			if r == utf8.RuneError && size == 1 {
				return escaped, d.refuse(d.at, "it is not UTF-8")
			}
			d.at += size
		}
	}
	return escaped, d.syntax()
}

// escape reads one escape, or both escapes of a surrogate pair.
func (d *Decoder) escape(strict bool) error {
	if d.at+1 >= len(d.data) {
		return d.syntax()
	}
	switch d.data[d.at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		d.at += 2
		return nil
	case 'u':
	default:
		return d.syntax()
	}
	unit, ok := hex4(d.data, d.at+2)
	if !ok {
		return d.syntax()
	}
	start := d.at
	d.at += 6
	if !strict || !utf16.IsSurrogate(unit) {
		return nil
	}
	if low, ok := escapeAt(d.data, d.at); ok && utf16.DecodeRune(unit, low) != utf8.RuneError {
		d.at += 6
		return nil
	}
	return d.refuse(start, `it contains half a surrogate pair (\u%04x)`, unit)
}

// escapeAt returns the code unit of an escape \uXXXX, if there is one.
func escapeAt(data []byte, at int) (rune, bool) {
	if at+1 >= len(data) || data[at] != '\\' || data[at+1] != 'u' {
		return 0, false
	}
	return hex4(data, at+2)
}

func hex4(data []byte, at int) (rune, bool) {
	if at+4 > len(data) {
		return 0, false
	}
	var unit rune
	for _, c := range data[at : at+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}

var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape yields the decoded parts of a string that was read. Half a surrogate pair becomes U+FFFD, as in encoding/json.
func unescape(raw []byte, yield func([]byte)) {
	var piece [utf8.UTFMax]byte
	plain := 0
	for at := 0; at < len(raw); {
		if raw[at] != '\\' {
			at++
			continue
		}
		if at > plain {
			yield(raw[plain:at])
		}
		if raw[at+1] != 'u' {
			piece[0] = unescaped[raw[at+1]]
			yield(piece[:1])
			at += 2
		} else {
			unit, _ := hex4(raw, at+2)
			at += 6
			if utf16.IsSurrogate(unit) {
				low, _ := escapeAt(raw, at)
				if unit = utf16.DecodeRune(unit, low); unit != utf8.RuneError {
					at += 6
				}
			}
			yield(piece[:utf8.EncodeRune(piece[:], unit)])
		}
		plain = at
	}
	if plain < len(raw) {
		yield(raw[plain:])
	}
}
