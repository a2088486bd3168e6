package strictjson

import (
	"errors"
	"math"
	"strconv"
)

// Check rejects a text that is not exactly one JSON value that Decoder accepts.
func Check(data []byte) error { return CheckWithin(data, 0) }

// CheckWithin is like Check for a value that is nested inside levels arrays and objects.
func CheckWithin(data []byte, levels int) error {
	d := NewDecoder(data, Options{})
	d.depth = levels
	if err := d.Skip(); err != nil {
		return err
	}
	return d.End()
}

// CheckNames is like Check for a text that encoding/json decodes into fields: names that differ only in case are equal.
func CheckNames(data []byte) error {
	d := NewDecoder(data, Options{FoldNames: true})
	if err := d.Skip(); err != nil {
		return err
	}
	return d.End()
}

// frame is an open array or object.
type frame struct {
	closing byte
	names   mark
}

// Skip reads and validates a value of any type.
func (d *Decoder) Skip() error { return d.skip(true, MaxDepth-d.depth) }

// skip reads one value with an explicit stack, so that nesting does not nest calls.
func (d *Decoder) skip(strict bool, depth int) error {
	d.frames = d.frames[:0]
	for {
		// A value begins here.
		opened, err := d.begin(strict, depth)
		if err != nil {
			return err
		}
		if opened {
			continue
		}
		// A value has ended here: what encloses it continues, or ends with it.
		for {
			if len(d.frames) == 0 {
				return nil
			}
			more, err := d.after(strict)
			if err != nil {
				return err
			}
			if more {
				break
			}
		}
	}
}

// begin reads a scalar, an empty array or object, or the start of a non-empty one up to its first value; opened reports the
// latter.
func (d *Decoder) begin(strict bool, depth int) (opened bool, err error) {
	switch c := d.Peek(); {
	case c == '"':
		_, err = d.skipString(strict)
		return false, err
	case c == '-' || isDigit(c):
		start := d.at
		if err := d.number(); err != nil || !strict {
			return false, err
		}
		return false, d.inRange(start)
	case c == '{' || c == '[':
		closing := c + 2 // ] follows [ by two, and } follows {
		if len(d.frames) >= depth {
			limit := MaxDepth
			if !strict {
				limit = opaqueDepth
			}
			return false, tooDeep(d.at, limit)
		}
		d.at++
		if d.Peek() == closing {
			d.at++
			return false, nil
		}
		f := frame{closing: closing}
		if c == '{' {
			if strict {
				f.names = d.names.begin()
			}
			if err := d.memberName(strict, &f); err != nil {
				return false, err
			}
		}
		d.frames = append(d.frames, f)
		return true, nil
	case c == 't' && d.word("true"), c == 'f' && d.word("false"), c == 'n' && d.word("null"):
		return false, nil
	}
	return false, d.syntax()
}

// after reads what follows a value inside an array or object; more reports that another value follows.
func (d *Decoder) after(strict bool) (more bool, err error) {
	top := &d.frames[len(d.frames)-1]
	switch d.Peek() {
	case ',':
		d.at++
		if top.closing == '}' {
			return true, d.memberName(strict, top)
		}
		return true, nil
	case top.closing:
		d.at++
		if strict && top.closing == '}' {
			d.names.end(top.names)
		}
		d.frames = d.frames[:len(d.frames)-1]
		return false, nil
	}
	return false, d.syntax()
}

// memberName reads a name and its colon.
func (d *Decoder) memberName(strict bool, f *frame) error {
	if strict {
		_, err := d.name(&f.names)
		return err
	}
	if d.Peek() != '"' {
		return d.syntax()
	}
	if _, err := d.skipString(false); err != nil {
		return err
	}
	return d.colon()
}

// name reads a name and its colon, and rejects a name that the object already has.
func (d *Decoder) name(m *mark) ([]byte, error) {
	if d.Peek() != '"' {
		return nil, d.syntax()
	}
	start := d.at + 1
	escaped, err := d.skipString(true)
	if err != nil {
		return nil, err
	}
	name, known := d.names.add(m, start, d.at-1, escaped)
	if known {
		if d.options.FoldNames {
			return nil, d.refuse(start, "the key %.100q is given twice (keys are not case-sensitive)", name)
		}
		return nil, d.refuse(start, "the key %.100q is given twice", name)
	}
	return name, d.colon()
}

func (d *Decoder) colon() error {
	if d.Peek() != ':' {
		return d.syntax()
	}
	d.at++
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number reads a number of any size.
func (d *Decoder) number() error {
	if d.peek() == '-' {
		d.at++
	}
	if d.peek() == '0' {
		d.at++
	} else if !d.digits() {
		return d.syntax()
	}
	if d.peek() == '.' {
		d.at++
		if !d.digits() {
			return d.syntax()
		}
	}
	if c := d.peek(); c == 'e' || c == 'E' {
		d.at++
		if c := d.peek(); c == '+' || c == '-' {
			d.at++
		}
		if !d.digits() {
			return d.syntax()
		}
	}
	return nil
}

func (d *Decoder) digits() bool {
	start := d.at
	for d.at < len(d.data) && isDigit(d.data[d.at]) {
		d.at++
	}
	return d.at > start
}

// inRange rejects a number with a fraction or an exponent that overflows a float. Integers may have any size.
func (d *Decoder) inRange(start int) error {
	text := d.data[start:d.at]
	float, exponent := false, false
	for _, c := range text {
		float = float || c == '.'
		exponent = exponent || c == 'e' || c == 'E'
	}
	if !exponent && (!float || len(text) < 300) {
		return nil
	}
	value, err := strconv.ParseFloat(string(text), 64)
	if math.IsInf(value, 0) && errors.Is(err, strconv.ErrRange) {
		return d.refuse(start, "the number %.40s is out of the range of floating-point numbers", text)
	}
	return nil
}
