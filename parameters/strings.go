package parameters

import (
	"strings"
	"unicode/utf8"
)

// str reads a string or bytes literal. Its prefix is the text between start and quote.
func (s *scanner) str(start, quote int) (token, *fault) {
	raw, isBytes, f := prefix(s.text[start:quote], start)
	if f != nil {
		return token{}, f
	}
	close := s.text[quote : quote+1]
	if triple := s.text[quote:min(quote+3, len(s.text))]; triple == `"""` || triple == "'''" {
		close = triple
	}
	s.at = quote + len(close)
	bodyStart := s.at
	for {
		if s.at >= len(s.text) {
			return token{}, faultf(start, "the string that begins here is not closed: close it with %s", close)
		}
		switch c := s.text[s.at]; {
		case c == '\\':
			if f := s.escape(raw, isBytes); f != nil {
				return token{}, f
			}
		case c == close[0] && strings.HasPrefix(s.text[s.at:], close):
			if f := s.characters(bodyStart, s.at); f != nil {
				return token{}, f
			}
			s.at += len(close)
			kind := wordString
			if isBytes {
				kind = wordBytes
			}
			return token{word: kind, start: start, end: s.at}, nil
		case (c == '\n' || c == '\r') && len(close) == 1:
			return token{}, faultf(s.at, "the line ends inside a string: close it, write \\n for a new line, or use triple quotes")
		case c >= utf8.RuneSelf && isBytes:
			return token{}, faultf(s.at, "bytes contain ASCII characters only: write others as \\x…, or remove the b")
		default:
			s.at++
		}
	}
}

// prefix reads the prefix of a string literal: r, b and u in any case, and r and b combined.
func prefix(text string, offset int) (raw, isBytes bool, f *fault) {
	switch strings.ToLower(text) {
	case "", "u":
		return false, false, nil
	case "r":
		return true, false, nil
	case "b":
		return false, true, nil
	case "br", "rb":
		return true, true, nil
	case "f", "fr", "rf", "t", "tr", "rt":
		return false, false, faultf(offset, "a formatted string is not a literal: write the text itself, without the prefix %s", text)
	case "ur":
		return false, false, faultf(offset, "Python 3 has no strings with the prefix %s: write r'…'", text)
	}
	return false, false, faultf(offset, "unexpected name directly before a string: put a comma between them, or remove the name")
}

// escape reads a backslash and the escape that follows. An escape that Python does not define stands for itself.
func (s *scanner) escape(raw, isBytes bool) *fault {
	start := s.at
	s.at++
	c := s.peek()
	if s.at >= len(s.text) {
		return nil // the caller reports that the string is not closed
	}
	if size := newlineAt(s.text, s.at); size > 0 {
		s.at += size
		return nil
	}
	if c >= utf8.RuneSelf {
		return nil // the caller reads the following character
	}
	s.at++
	if raw {
		return nil
	}
	switch {
	case c == 'x':
		return s.hex(start, 2, isBytes)
	case isBytes:
		return nil
	case c == 'u':
		return s.hex(start, 4, false)
	case c == 'U':
		if f := s.hex(start, 8, false); f != nil {
			return f
		}
		if digits := s.text[start+2 : s.at]; strings.ToLower(digits) > "0010ffff" {
			return faultf(start, "\\U%s is not a character: the last one is \\U0010ffff", digits)
		}
	case c == 'N':
		return s.named(start)
	}
	return nil
}

// hex reads the digits of an escape.
func (s *scanner) hex(start, count int, isBytes bool) *fault {
	for range count {
		c := s.peek()
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
			hint := "write \\\\ for a backslash, or r'…' for a string without escapes"
			if isBytes {
				hint = "write \\\\ for a backslash, or rb'…' for bytes without escapes"
			}
			return faultf(start, "\\%c needs %d hexadecimal digits: %s", s.text[start+1], count, hint)
		}
		s.at++
	}
	return nil
}

// named reads the name of \N{GREEK SMALL LETTER MU}. Only the interpreter knows which names exist.
func (s *scanner) named(start int) *fault {
	length := 0
	if s.peek() == '{' {
		length = strings.IndexByte(s.text[s.at:min(len(s.text), s.at+256)], '}')
	}
	if length < 2 || strings.ContainsFunc(s.text[s.at+1:s.at+length], notInNames) {
		return faultf(start, "\\N needs the name of a character in braces, \\N{DIGIT ONE}: write \\\\ for a backslash")
	}
	s.at += length + 1
	return nil
}

func notInNames(r rune) bool {
	letter, digit := 'a' <= r|0x20 && r|0x20 <= 'z', '0' <= r && r <= '9'
	return r != ' ' && r != '-' && !letter && !digit
}
