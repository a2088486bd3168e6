package parameters

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// word is the kind of a token.
type word byte

const (
	wordEnd word = iota
	wordNumber
	wordImaginary
	wordString
	wordBytes
	wordName
	wordEllipsis
	wordMark // one of ( ) [ ] { } , : + -
)

// token is a word and its position in the text.
type token struct {
	word       word
	mark       byte // of wordMark
	start, end int
}

// scanner splits a text into words.
type scanner struct {
	text string
	at   int
	// depth is the number of open brackets. Inside brackets a line break is white space; outside it ends the expression.
	depth int
	// begun is set by the first word, lineEnded by a line break after it outside brackets.
	begun     bool
	lineEnded bool
}

func faultf(offset int, format string, args ...any) *fault {
	return &fault{offset, fmt.Sprintf(format, args...)}
}

// skip skips white space, comments and joined lines.
func (s *scanner) skip() *fault {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\f':
			s.at++
		case '\n', '\r':
			s.at++
			if s.depth == 0 && s.begun {
				s.lineEnded = true
			}
		case '#':
			if f := s.comment(); f != nil {
				return f
			}
		case '\\':
			size := newlineAt(s.text, s.at+1)
			if size == 0 {
				return faultf(s.at, "a backslash outside a string must be the last character of its line: remove it")
			}
			if s.at+1+size == len(s.text) {
				return faultf(s.at, "the text ends after a backslash: remove it")
			}
			s.at += 1 + size
		default:
			return nil
		}
	}
	return nil
}

func (s *scanner) comment() *fault {
	length := strings.IndexAny(s.text[s.at:], "\r\n")
	if length < 0 {
		length = len(s.text) - s.at
	}
	if f := s.characters(s.at, s.at+length); f != nil {
		return f
	}
	s.at += length
	return nil
}

// characters rejects characters that no Python source may contain anywhere.
func (s *scanner) characters(start, end int) *fault {
	for i := start; i < end; {
		c := s.text[i]
		if c == 0 {
			return faultf(i, "the text contains a NUL character: remove it, or write it as \\x00 in a string")
		}
		if c < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s.text[i:])
		if r == utf8.RuneError && size == 1 {
			return faultf(i, "the text is not UTF-8 here: save it as UTF-8, or write bytes as b'\\x%02x'", c)
		}
		i += size
	}
	return nil
}

// newlineAt returns the length of the line ending at offset, or 0 if there is none.
func newlineAt(text string, offset int) int {
	switch {
	case strings.HasPrefix(text[min(offset, len(text)):], "\r\n"):
		return 2
	case offset < len(text) && (text[offset] == '\n' || text[offset] == '\r'):
		return 1
	}
	return 0
}

// next returns the next word.
func (s *scanner) next() (token, *fault) {
	if f := s.skip(); f != nil {
		return token{}, f
	}
	start := s.at
	if start == len(s.text) {
		return token{word: wordEnd, start: start, end: start}, nil
	}
	if s.lineEnded {
		return token{}, faultf(start, "the tuple ends at the end of its line: put parentheses around it to continue on a new line")
	}
	s.begun = true
	c := s.text[start]
	switch {
	case strings.IndexByte("()[]{},:+-", c) >= 0:
		s.at++
		return token{wordMark, c, start, s.at}, nil
	case isDigit(c), c == '.' && start+1 < len(s.text) && isDigit(s.text[start+1]):
		return s.number()
	case strings.HasPrefix(s.text[start:], "..."):
		s.at += 3
		return token{word: wordEllipsis, start: start, end: s.at}, nil
	case c == '"' || c == '\'':
		return s.str(start, start)
	case isNameStart(c) && (c < utf8.RuneSelf || isLetterAt(s.text[start:])):
		return s.name()
	}
	return token{}, s.unexpected(start)
}

// name reads a name, or a string literal of which it is the prefix.
func (s *scanner) name() (token, *fault) {
	start := s.at
	for s.at < len(s.text) && (isNameStart(s.text[s.at]) || isDigit(s.text[s.at])) {
		s.at++
	}
	if s.at < len(s.text) && (s.text[s.at] == '"' || s.text[s.at] == '\'') {
		return s.str(start, s.at)
	}
	if f := s.characters(start, s.at); f != nil {
		return token{}, f
	}
	return token{word: wordName, start: start, end: s.at}, nil
}

// unexpected returns the error for a character that cannot begin a word.
func (s *scanner) unexpected(offset int) *fault {
	if f := s.characters(offset, offset+1); f != nil {
		return f
	}
	r, _ := utf8.DecodeRuneInString(s.text[offset:])
	switch {
	case strings.ContainsRune("*/%@&|^~<>=!", r):
		return faultf(offset, "%q is an operator, and literals are not evaluated: write the value itself", r)
	case r == ';' || r == '.':
		return faultf(offset, "unexpected %q in a literal: separate values with commas", r)
	case strings.ContainsRune("‘’‚“”„«»", r):
		return faultf(offset, "%c is a typographic quotation mark: use ' or \"", r)
	case unicode.IsPrint(r):
		return faultf(offset, "unexpected %q: put text in quotes", r)
	}
	return faultf(offset, "unexpected invisible character U+%04X: remove it", r)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetterAt(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return unicode.IsLetter(r)
}

// isNameStart reports whether a byte can begin a name. No non-ASCII name is a valid literal, so it is sufficient that such a
// name is read as one word.
func isNameStart(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= utf8.RuneSelf
}
