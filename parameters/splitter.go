package parameters

import (
	"bufio"
	"errors"
	"fmt"

	"sharedcloud.io/function-operator/api/strictjson"
)

// splitter splits a JSON array of any length into the texts of its elements. It holds one element at a time and parses only what
// is needed to find its end; the element is validated afterwards.
type splitter struct {
	text    *bufio.Reader
	element []byte
}

var (
	errArray = errors.New("a comma is missing between two elements")
	errDepth = fmt.Errorf("it exceeds the maximum depth: it is nested deeper than %d levels", strictjson.MaxDepth)
)

// space skips white space and returns the next byte without consuming it.
func (s *splitter) space() (byte, error) {
	for {
		c, err := s.text.ReadByte()
		if err != nil {
			return 0, err
		}
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return c, s.text.UnreadByte()
	}
}

func (s *splitter) skip() { _, _ = s.text.Discard(1) }

// next reads the next element; last reports that there is none.
func (s *splitter) next(first bool) (last bool, err error) {
	c, err := s.space()
	if err != nil {
		return false, err
	}
	switch {
	case c == ']':
		s.skip()
		return true, nil
	case first:
	case c != ',':
		return false, errArray
	default:
		s.skip()
		if _, err := s.space(); err != nil {
			return false, err
		}
	}
	return false, s.read()
}

// read reads an element up to the following comma or bracket, which it does not consume.
func (s *splitter) read() error {
	s.element = s.element[:0]
	depth, inText, escaped := 1, false, false
	for {
		if s.text.Buffered() == 0 {
			if _, err := s.text.Peek(1); err != nil {
				return err
			}
		}
		piece, err := s.text.Peek(s.text.Buffered())
		if err != nil {
			return err
		}
		length, ended := len(piece), false
		for i, c := range piece {
			switch {
			case escaped:
				escaped = false
			case inText:
				escaped, inText = c == '\\', c != '"'
			case c == '"':
				inText = true
			case c == '[' || c == '{':
				if depth++; depth > strictjson.MaxDepth {
					return errDepth
				}
			case depth == 1 && (c == ',' || c == ']' || c == '}'):
				length, ended = i, true
			case c == ']' || c == '}':
				depth--
			}
			if ended {
				break
			}
		}
		if len(s.element)+length > MaxInputBytes {
			return errInputTooLong
		}
		s.element = append(s.element, piece[:length]...)
		if _, err := s.text.Discard(length); err != nil || ended {
			return err
		}
	}
}
