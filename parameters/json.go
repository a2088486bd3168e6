package parameters

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sharedcloud.io/function-operator/api/strictjson"
)

// lines reads JSON texts, one a line. Lines without anything are passed over.
func (r *Reader) lines(text *bufio.Reader) func() (Input, error) {
	number := 0
	var long []byte
	return func() (Input, error) {
		for {
			number++
			long = long[:0]
			var line []byte
			var err error
			for {
				line, err = text.ReadSlice('\n')
				if len(long)+len(line) > MaxInputBytes+2 {
					return Input{}, fmt.Errorf("line %d: %w", number, errInputTooLong)
				}
				if err == nil && len(long) == 0 {
					break // the usual: nothing is copied
				}
				long = append(long, line...)
				if !errors.Is(err, bufio.ErrBufferFull) {
					line = long
					break
				}
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return Input{}, err
			}
			line = bytes.TrimSpace(line)
			if len(line) > 0 {
				input, problem := r.tuple(line, 0)
				if problem != nil {
					return Input{}, fmt.Errorf("line %d: %w", number, problem)
				}
				return input, nil
			}
			if err != nil {
				return Input{}, io.EOF
			}
		}
	}
}

// input makes a tuple of one JSON text, which so many arrays enclose: an array is an input, anything else a tuple of one value.
// It copies the text.
func (r *Reader) tuple(text []byte, levels int) (Input, error) {
	if err := strictjson.CheckWithin(text, levels); err != nil {
		return Input{}, notJSON(err)
	}
	b := r.buffer(len(text) + 2)
	array := text[0] == '['
	if !array {
		b = append(b, '[')
	}
	r.out = *bytes.NewBuffer(b)
	if err := json.Compact(&r.out, text); err != nil {
		return Input{}, fmt.Errorf("it is no JSON: %w", err)
	}
	if !array {
		r.out.WriteByte(']')
	}
	return Input{JSON: r.out.Bytes()}, nil
}

// notJSON says what is wrong with a text.
func notJSON(err error) error {
	var wrong *strictjson.Error
	if errors.As(err, &wrong) && wrong.Syntax {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	return err
}

// elements reads one JSON array of inputs.
func (r *Reader) elements(text *bufio.Reader, limited *limitedReader) func() (Input, error) {
	s := &splitter{text: text}
	number, begun := 0, false
	return func() (Input, error) {
		limited.begin()
		if !begun {
			begun = true
			first, err := s.space()
			switch {
			case errors.Is(err, io.EOF):
				return Input{}, io.EOF
			case err == nil && first != '[':
				err = errors.New("it begins with something else")
			}
			if err != nil {
				return Input{}, notArray(err)
			}
			s.skip()
		}
		last, err := s.next(number == 0)
		switch {
		case err != nil && number == 0 && errors.Is(err, errArray):
			return Input{}, notArray(err)
		case err != nil:
			return Input{}, fmt.Errorf("input %d: %w", number, unexpectedEnd(err))
		case last:
			if _, err := s.space(); !errors.Is(err, io.EOF) {
				return Input{}, errors.New("there is more text behind the array: one JSON array of inputs is expected, or one input a line (NDJSON)")
			}
			return Input{}, io.EOF
		}
		input, err := r.tuple(s.element, 1)
		if err != nil {
			return Input{}, fmt.Errorf("input %d: %w", number, err)
		}
		number++
		return input, nil
	}
}

func notArray(err error) error {
	return fmt.Errorf("it is no JSON array of inputs such as [[1, 2], [3, 4]]: %w", unexpectedEnd(err))
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("the text ends in the middle")
	}
	return err
}
