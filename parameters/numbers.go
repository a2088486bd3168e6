package parameters

import "unicode/utf8"

// number reads a number as Python's tokenizer does: 7, 1_000, 0xff, 0o17, 0b1, 1.5, .5, 1e9, 2j.
func (s *scanner) number() (token, *fault) {
	start := s.at
	if s.text[start] == '0' && start+1 < len(s.text) {
		switch s.text[start+1] {
		case 'x', 'X':
			return s.based(start, "hexadecimal", func(c byte) bool {
				return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
			})
		case 'o', 'O':
			return s.based(start, "octal", func(c byte) bool { return '0' <= c && c <= '7' })
		case 'b', 'B':
			return s.based(start, "binary", func(c byte) bool { return c == '0' || c == '1' })
		}
	}
	fraction := false
	if s.text[start] != '.' {
		if f := s.digits(isDigit, "decimal"); f != nil {
			return token{}, f
		}
	}
	integerEnd := s.at
	if s.peek() == '.' {
		fraction = true
		s.at++
		if isDigit(s.peek()) {
			if f := s.digits(isDigit, "decimal"); f != nil {
				return token{}, f
			}
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		fraction = true
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if f := s.digits(isDigit, "decimal"); f != nil {
			return token{}, f
		}
	}
	kind := wordNumber
	if c := s.peek(); c == 'j' || c == 'J' {
		kind = wordImaginary
		s.at++
	}
	if kind == wordNumber && !fraction && leadingZeros(s.text[start:integerEnd]) {
		return token{}, faultf(start, "an integer cannot begin with 0: remove the zeros, or write 0o… if it is octal")
	}
	return s.numberEnd(token{word: kind, start: start, end: s.at})
}

// based reads an integer with a two-character prefix. Its first digit may follow an underscore.
func (s *scanner) based(start int, name string, digit func(byte) bool) (token, *fault) {
	s.at += 2
	if s.peek() == '_' {
		s.at++
	}
	if f := s.digits(digit, name); f != nil {
		return token{}, f
	}
	if isDigit(s.peek()) {
		return token{}, faultf(s.at, "%q is not a valid %s digit", s.peek(), name)
	}
	return s.numberEnd(token{word: wordNumber, start: start, end: s.at})
}

// digits reads one or more digits with single underscores between them.
func (s *scanner) digits(digit func(byte) bool, name string) *fault {
	for {
		if !digit(s.peek()) {
			return faultf(min(s.at, len(s.text)), "a %s digit is missing here", name)
		}
		for digit(s.peek()) {
			s.at++
		}
		if s.peek() != '_' {
			return nil
		}
		s.at++
	}
}

func (s *scanner) numberEnd(t token) (token, *fault) {
	c := s.peek()
	if !isNameStart(c) {
		return t, nil
	}
	if (c == 'l' || c == 'L') && t.word == wordNumber {
		return token{}, faultf(s.at, "the suffix L of Python 2 is not valid: remove it, because integers can have any size")
	}
	r, _ := utf8.DecodeRuneInString(s.text[s.at:])
	return token{}, faultf(s.at, "unexpected %q directly after a number: put a comma between two values, and quotes around text", r)
}

// peek returns the next byte, or 0 at the end. A NUL byte in the text ends a word in the same way and is then rejected.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// leadingZeros reports whether an integer has invalid leading zeros: 00 and 0_0 are zero, 007 is invalid.
func leadingZeros(integer string) bool {
	if len(integer) == 0 || integer[0] != '0' {
		return false
	}
	for i := range len(integer) {
		if integer[i] != '0' && integer[i] != '_' {
			return true
		}
	}
	return false
}
