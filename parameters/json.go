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

// lines reads JSON texts, one per line. It skips empty lines.
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
					break // the common case: nothing is copied
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
				input, problem := r.toInput(line, 0)
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

// toInput makes an input from one JSON text that is nested inside levels arrays. An array is an input; any other value is an
// input of one value. It copies the text.
func (r *Reader) toInput(text []byte, levels int) (Input, error) {
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
		return Input{}, fmt.Errorf("it is not JSON: %w", err)
	}
	if !array {
		r.out.WriteByte(']')
	}
	return Input{JSON: r.out.Bytes()}, nil
}

// notJSON adds context to an error of a text that is not JSON.
func notJSON(err error) error {
	var wrong *strictjson.Error
	if errors.As(err, &wrong) && wrong.Syntax {
		return fmt.Errorf("it is not JSON: %w", err)
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
				err = errors.New("it does not begin with [")
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
				return Input{}, errors.New("text follows the array: use one JSON array of inputs, or NDJSON with one input per line")
			}
			return Input{}, io.EOF
		}
		input, err := r.toInput(s.element, 1)
		if err != nil {
			return Input{}, fmt.Errorf("input %d: %w", number, err)
		}
		number++
		return input, nil
	}
}

func notArray(err error) error {
	return fmt.Errorf("it is not a JSON array of inputs such as [[1, 2], [3, 4]]: %w", unexpectedEnd(err))
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("unexpected end of the text")
	}
	return err
}
