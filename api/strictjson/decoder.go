package strictjson

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxDepth is how many arrays and objects may be open at once in JSON from an untrusted sender.
const MaxDepth = 64

// Error says why a text is refused: a sentence without a full stop, and the byte where it was noticed.
type Error struct {
	Sentence string
	Offset   int
	// Syntax: the text is not JSON. Deep: it is nested too deep.
	Syntax, Deep bool
}

func (e *Error) Error() string { return e.Sentence }

// TypeError says that a value is of another type than its field. Field is the path of names to it.
type TypeError struct{ Field, Value string }

func (e *TypeError) Error() string {
	return fmt.Sprintf("the field %.200q cannot be a JSON %s", e.Field, e.Value)
}

// Options are what a Decoder accepts. The zero value is for contracts.
type Options struct {
	// FoldNames refuses names of one object that differ by case only: encoding/json would take them for the same.
	FoldNames bool
}

// Decoder reads one JSON text from memory. Its methods read the value that is next. After an error it must not be used.
type Decoder struct {
	data    []byte
	at      int
	depth   int
	options Options
	names   names
	frames  []frame // of skip, kept for the next one
}

// NewDecoder reads data, which must not change meanwhile.
func NewDecoder(data []byte, options Options) *Decoder {
	return &Decoder{data: data, options: options, names: names{data: data, fold: options.FoldNames}}
}

// End checks that only white space follows.
func (d *Decoder) End() error {
	d.space()
	if d.at < len(d.data) {
		return d.syntax()
	}
	return nil
}

// Peek is the first byte of the next value, 0 at the end.
func (d *Decoder) Peek() byte {
	d.space()
	return d.peek()
}

func (d *Decoder) peek() byte {
	if d.at < len(d.data) {
		return d.data[d.at]
	}
	return 0
}

func (d *Decoder) space() {
	for d.at < len(d.data) {
		switch d.data[d.at] {
		case ' ', '\t', '\r', '\n':
			d.at++
		default:
			return
		}
	}
}

// syntax is the error of a text that is not JSON, in the words of encoding/json.
func (d *Decoder) syntax() error {
	e := &Error{Sentence: "it is not JSON", Offset: d.at, Syntax: true}
	// Unmarshal checks all of the text before it builds anything.
	var nothing struct{}
	var found *json.SyntaxError
	if errors.As(json.Unmarshal(d.data, &nothing), &found) {
		e.Sentence, e.Offset = found.Error(), int(found.Offset)
	}
	return e
}

func (d *Decoder) refuse(offset int, format string, args ...any) error {
	return &Error{Sentence: fmt.Sprintf(format, args...), Offset: offset}
}

func (d *Decoder) enter() error {
	if d.depth++; d.depth > MaxDepth {
		return tooDeep(d.at, MaxDepth)
	}
	return nil
}

func tooDeep(offset, limit int) error {
	return &Error{Sentence: fmt.Sprintf("it exceeds the maximum depth: it is nested deeper than %d levels", limit), Offset: offset, Deep: true}
}

// Object calls member for each name of an object; member reads the value. A name is valid until member returns.
func (d *Decoder) Object(member func(name []byte) error) error {
	if err := d.open('{'); err != nil {
		return err
	}
	if err := d.enter(); err != nil {
		return err
	}
	d.at++
	mark := d.names.begin()
	for first := true; ; first = false {
		if d.Peek() == '}' && first {
			break
		}
		name, err := d.name(&mark)
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return within(err, name)
		}
		if d.Peek() != ',' {
			break
		}
		d.at++
	}
	d.names.end(mark)
	return d.leave('}')
}

// Array calls element for each element of an array; element reads it.
func (d *Decoder) Array(element func(index int) error) error {
	if err := d.open('['); err != nil {
		return err
	}
	if err := d.enter(); err != nil {
		return err
	}
	d.at++
	for index := 0; ; index++ {
		if d.Peek() == ']' && index == 0 {
			break
		}
		if err := element(index); err != nil {
			return err
		}
		if d.Peek() != ',' {
			break
		}
		d.at++
	}
	return d.leave(']')
}

// open checks that the next value is what begins with c.
func (d *Decoder) open(c byte) error {
	if d.Peek() != c {
		return d.mismatch()
	}
	return nil
}

func (d *Decoder) leave(c byte) error {
	if d.peek() != c {
		return d.syntax()
	}
	d.at++
	d.depth--
	return nil
}

// within puts a name before the path of a TypeError.
func within(err error, name []byte) error {
	var wrong *TypeError
	if !errors.As(err, &wrong) {
		return err
	}
	if wrong.Field == "" {
		wrong.Field = string(name)
	} else {
		wrong.Field = string(name) + "." + wrong.Field
	}
	return err
}

// mismatch is the error of a value of another type, or of none.
func (d *Decoder) mismatch() error {
	kind := ""
	switch c := d.Peek(); {
	case c == '{':
		kind = "object"
	case c == '[':
		kind = "array"
	case c == '"':
		kind = "string"
	case c == 't' || c == 'f':
		kind = "bool"
	case c == 'n':
		kind = "null"
	case c == '-' || isDigit(c):
		kind = "number"
	}
	if kind == "" {
		return d.syntax()
	}
	start := d.at
	if err := d.Skip(); err != nil {
		return err
	}
	if text := d.data[start:d.at]; kind == "number" && len(text) <= 40 {
		kind += " " + string(text)
	}
	return &TypeError{Value: kind}
}

// Null reads null, where that is next.
func (d *Decoder) Null() bool {
	if d.Peek() != 'n' || !d.word("null") {
		return false
	}
	return true
}

func (d *Decoder) word(word string) bool {
	if len(d.data)-d.at < len(word) || string(d.data[d.at:d.at+len(word)]) != word {
		return false
	}
	d.at += len(word)
	return true
}

// Bool reads true or false.
func (d *Decoder) Bool() (bool, error) {
	switch d.Peek() {
	case 't':
		if d.word("true") {
			return true, nil
		}
		return false, d.syntax()
	case 'f':
		if d.word("false") {
			return false, nil
		}
		return false, d.syntax()
	}
	return false, d.mismatch()
}

// Int reads an integer of 64 bits.
func (d *Decoder) Int() (int64, error) {
	c := d.Peek()
	if c != '-' && !isDigit(c) {
		return 0, d.mismatch()
	}
	// The usual: some digits.
	start, value := d.at, int64(0)
	at := start
	if c == '-' {
		at++
	}
	first := at
	for at < len(d.data) && at-first < 18 && isDigit(d.data[at]) {
		value = value*10 + int64(d.data[at]-'0')
		at++
	}
	if at == first || d.data[first] == '0' && at > first+1 || at < len(d.data) && continuesNumber(d.data[at]) {
		return d.longInt()
	}
	d.at = at
	if c == '-' {
		value = -value
	}
	return value, nil
}

func continuesNumber(c byte) bool { return isDigit(c) || c == '.' || c == 'e' || c == 'E' }

func (d *Decoder) longInt() (int64, error) {
	start := d.at
	if err := d.number(); err != nil {
		return 0, err
	}
	value, err := strconv.ParseInt(string(d.data[start:d.at]), 10, 64)
	if err != nil {
		d.at = start
		return 0, d.mismatch()
	}
	return value, nil
}

// Int32 reads an integer that an int of any machine can hold.
func (d *Decoder) Int32() (int, error) {
	start := d.at
	value, err := d.Int()
	if err != nil {
		return 0, err
	}
	if value < math.MinInt32 || value > math.MaxInt32 {
		d.at = start
		return 0, d.mismatch()
	}
	return int(value), nil
}

// Offset is where in the text the Decoder is.
func (d *Decoder) Offset() int { return d.at }

// String reads a string, which it copies.
func (d *Decoder) String() (string, error) { return d.string(true, len(d.data)) }

// Text is String for one of at most limit bytes as it is written.
func (d *Decoder) Text(limit int) (string, error) { return d.string(true, limit) }

// Lossy is String for a text that is shown to people: half a surrogate pair becomes U+FFFD.
func (d *Decoder) Lossy() (string, error) { return d.string(false, len(d.data)) }

func (d *Decoder) string(strict bool, limit int) (string, error) {
	raw, escaped, err := d.text(strict)
	if err != nil {
		return "", err
	}
	if len(raw) > limit {
		return "", d.refuse(d.at-len(raw), "a text has %d bytes; at most %d are allowed", len(raw), limit)
	}
	if !escaped {
		return string(raw), nil
	}
	var b strings.Builder
	b.Grow(len(raw))
	unescape(raw, func(piece []byte) { b.Write(piece) })
	return b.String(), nil
}

// text reads a string; what lies between the quotes.
func (d *Decoder) text(strict bool) (raw []byte, escaped bool, err error) {
	if d.Peek() != '"' {
		return nil, false, d.mismatch()
	}
	start := d.at + 1
	escaped, err = d.skipString(strict)
	if err != nil {
		return nil, false, err
	}
	return d.data[start : d.at-1], escaped, nil
}

// Base64 reads a string of bytes in base64.
func (d *Decoder) Base64() ([]byte, error) {
	raw, escaped, err := d.text(true)
	if err != nil {
		return nil, err
	}
	if escaped { // a slash may be
		var plain []byte
		unescape(raw, func(piece []byte) { plain = append(plain, piece...) })
		raw = plain
	}
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(raw)))
	n, err := base64.StdEncoding.Decode(decoded, raw)
	if err != nil {
		return nil, d.refuse(d.at, "%v", err)
	}
	return decoded[:n], nil
}

// Raw reads a value of any type and returns its text, which is part of data.
func (d *Decoder) Raw() ([]byte, error) {
	d.space()
	start := d.at
	if err := d.Skip(); err != nil {
		return nil, err
	}
	return d.data[start:d.at:d.at], nil
}

// Opaque is Raw for a value that only its receiver reads: what is well-formed JSON in UTF-8 is taken as it is, also with equal
// names, with halves of surrogate pairs, with numbers of any size, and as deep as encoding/json reads it.
func (d *Decoder) Opaque() ([]byte, error) {
	d.space()
	start := d.at
	if err := d.skip(false, opaqueDepth-d.depth); err != nil {
		return nil, err
	}
	return d.data[start:d.at:d.at], nil
}

// opaqueDepth is how deep encoding/json reads and writes.
const opaqueDepth = 10_000
