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

// MaxDepth is the maximum number of open arrays and objects in JSON from an untrusted sender.
const MaxDepth = 64

// Error describes why a text is rejected, as a sentence without a full stop, and the offset of the error in bytes.
type Error struct {
	Message string
	Offset  int
	// Syntax indicates that the text is not JSON. Deep indicates that it is nested too deeply.
	Syntax, Deep bool
}

func (e *Error) Error() string { return e.Message }

// TypeError reports that the type of a value does not match its field. Field is the path of names to the value.
type TypeError struct{ Field, Value string }

func (e *TypeError) Error() string {
	return fmt.Sprintf("the field %.200q cannot be a JSON %s", e.Field, e.Value)
}

// Options configure what a Decoder accepts. The zero value suits documented contracts.
type Options struct {
	// FoldNames rejects names of one object that differ only in case, which encoding/json treats as equal.
	FoldNames bool
}

// Decoder reads one JSON text from memory. Each method reads the next value. A Decoder must not be used after an error.
type Decoder struct {
	data    []byte
	at      int
	depth   int
	options Options
	names   names
	frames  []frame // the stack of skip, reused by the next call
}

// NewDecoder creates a Decoder of data, which must not change while it is in use.
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

// Peek returns the first byte of the next value, or 0 at the end.
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

// syntax returns the error of a text that is not JSON, with the message of encoding/json.
func (d *Decoder) syntax() error {
	e := &Error{Message: "it is not JSON", Offset: d.at, Syntax: true}
	// Unmarshal validates the whole text before it decodes anything.
	var nothing struct{}
	var found *json.SyntaxError
	if errors.As(json.Unmarshal(d.data, &nothing), &found) {
		e.Message, e.Offset = found.Error(), int(found.Offset)
	}
	return e
}

func (d *Decoder) refuse(offset int, format string, args ...any) error {
	return &Error{Message: fmt.Sprintf(format, args...), Offset: offset}
}

func (d *Decoder) enter() error {
	if d.depth++; d.depth > MaxDepth {
		return tooDeep(d.at, MaxDepth)
	}
	return nil
}

func tooDeep(offset, limit int) error {
	return &Error{Message: fmt.Sprintf("it exceeds the maximum depth: it is nested deeper than %d levels", limit), Offset: offset, Deep: true}
}

// Object calls member for each name of an object; member must read the value. The name is valid until member returns.
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

// Array calls element for each element of an array; element must read it.
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

// open checks that the next value begins with c.
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

// within prepends a name to the path of a TypeError.
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

// mismatch returns the error of a value of the wrong type, or of a text without a value.
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

// Null reads null if it is next.
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

// Int reads a 64-bit integer.
func (d *Decoder) Int() (int64, error) {
	c := d.Peek()
	if c != '-' && !isDigit(c) {
		return 0, d.mismatch()
	}
	// The common case: up to 18 digits.
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

// Int32 reads a 32-bit integer, which fits an int on every platform.
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

// Offset returns the current position in the text.
func (d *Decoder) Offset() int { return d.at }

// String reads a string and copies it.
func (d *Decoder) String() (string, error) { return d.string(true, len(d.data)) }

// Text is like String but limits the length of the encoded string to limit bytes.
func (d *Decoder) Text(limit int) (string, error) { return d.string(true, limit) }

// Lossy is like String for text that is only displayed: half a surrogate pair becomes U+FFFD.
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

// text reads a string and returns the bytes between the quotes.
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

// Base64 reads a base64-encoded string.
func (d *Decoder) Base64() ([]byte, error) {
	raw, escaped, err := d.text(true)
	if err != nil {
		return nil, err
	}
	if escaped { // a slash may be escaped
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

// Raw reads a value of any type and returns its text as a slice of data.
func (d *Decoder) Raw() ([]byte, error) {
	d.space()
	start := d.at
	if err := d.Skip(); err != nil {
		return nil, err
	}
	return d.data[start:d.at:d.at], nil
}

// Opaque is like Raw for a value that only its receiver interprets. It accepts all well-formed JSON in UTF-8, including equal
// names, halves of surrogate pairs, numbers of any size, and the depth that encoding/json accepts.
func (d *Decoder) Opaque() ([]byte, error) {
	d.space()
	start := d.at
	if err := d.skip(false, opaqueDepth-d.depth); err != nil {
		return nil, err
	}
	return d.data[start:d.at:d.at], nil
}

// OpaqueOfAnyDepth is like Opaque, and skips a value that is nested too deeply: it returns no text and deep. Of such a value only
// strings and brackets are checked.
func (d *Decoder) OpaqueOfAnyDepth() (text []byte, deep bool, err error) {
	d.space()
	start := d.at
	text, err = d.Opaque()
	var wrong *Error
	if !errors.As(err, &wrong) || !wrong.Deep {
		return text, false, err
	}
	d.at = start
	return nil, true, d.skipBrackets()
}

// skipBrackets skips an array or an object with one byte of memory for each level.
func (d *Decoder) skipBrackets() error {
	var open []byte
	for d.at < len(d.data) {
		switch c := d.data[d.at]; c {
		case '"':
			if _, err := d.skipString(false); err != nil {
				return err
			}
			continue
		case '[', '{':
			open = append(open, c+2) // ] follows [ by two, and } follows {
		case ']', '}':
			if open[len(open)-1] != c {
				return d.syntax()
			}
			open = open[:len(open)-1]
		}
		d.at++
		if len(open) == 0 {
			return nil
		}
	}
	return d.syntax()
}

// opaqueDepth is the maximum depth that encoding/json reads and writes.
const opaqueDepth = 10_000
