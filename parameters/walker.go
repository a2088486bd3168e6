package parameters

import "fmt"

// kind is the kind of a value, as far as the grammar distinguishes it.
type kind byte

const (
	none kind = iota
	number
	imaginary
	signed    // -1, +1.5
	signedImg // -2j
	complexed // 1+2j
	text
	bytesText
	constant // None, True, False, ...
	setName  // the name set, which only set() may follow
	tuple
	list
	set
	dict
)

var kindNames = map[kind]string{
	number: "a number", imaginary: "a number", signed: "a number", signedImg: "a number", complexed: "a number",
	text: "a string", bytesText: "bytes", list: "a list", set: "a set", dict: "a dict", tuple: "a tuple",
	constant: "a constant",
}

// value is an expression that has been read. The Go value of it is never built.
type value struct {
	kind     kind
	start    uint32
	end      uint32
	mutable  bool   // it contains a list, set or dict, so it cannot be a key
	elements *table // of a tuple that may be the outer one
}

// table records the positions of the elements of a tuple, and the first element that is not a tuple.
type table struct {
	spans []span
	wrong value
	index int
}

func (t *table) add(v value) {
	switch {
	case t.wrong.kind != none: // not the outer tuple, or an invalid one: the other elements are not needed
	case v.kind != tuple:
		t.wrong, t.index = v, len(t.spans)
	default:
		t.spans = append(t.spans, span{v.start, v.end})
	}
}

const notEvaluated = "literals are not evaluated: write the result (only a complex number is written as a sum, 1+2j)"

// frame is an open bracket, or the text itself, and the state of what was read in it.
type frame struct {
	open    byte // ( [ { or 0 for the text itself
	start   int
	count   int  // elements that a comma ended
	pairs   bool // for {: it is a dict
	colon   bool // the key of a pair and its colon have been read
	mutable bool // an element is, or contains, a list, set or dict

	sign    bool // a sign has been read, and its number has not
	signAt  int
	left    value // the first half of 1+2j
	current value // the element that is being read

	// elements is nil unless this frame may be the outer tuple: it is the first element of every frame that encloses it.
	elements *table
}

// walker parses a text with an explicit stack, so that nested brackets do not nest calls.
type walker struct {
	scanner
	frames []frame
}

func (w *walker) walk() ([]span, error) {
	w.frames = append(w.frames, frame{elements: &table{}})
	for {
		t, f := w.next()
		if f == nil {
			f = w.take(t)
		}
		if f != nil {
			return nil, f.at(w.text)
		}
		if t.word == wordEnd {
			break
		}
	}
	whole, f := w.whole()
	if f != nil {
		return nil, f.at(w.text)
	}
	return whole, nil
}

// take processes a word.
func (w *walker) take(t token) *fault {
	top := &w.frames[len(w.frames)-1]
	switch t.word {
	case wordEnd:
		return w.end(top, t)
	case wordNumber:
		return top.put(value{kind: number, start: uint32(t.start), end: uint32(t.end)})
	case wordImaginary:
		return top.put(value{kind: imaginary, start: uint32(t.start), end: uint32(t.end)})
	case wordEllipsis:
		return top.put(value{kind: constant, start: uint32(t.start), end: uint32(t.end)})
	case wordString, wordBytes:
		return w.strings(top, t)
	case wordName:
		return w.named(top, t)
	}
	switch t.mark {
	case '(', '[', '{':
		return w.opened(top, t)
	case ')', ']', '}':
		return w.closed(top, t)
	case ',':
		return top.comma(t)
	case ':':
		return top.colonAt(t)
	}
	return top.plusOrMinus(t)
}

// put makes a value the current element, after its sign or as the second half of 1+2j.
func (f *frame) put(v value) *fault {
	if f.current.kind != none {
		if f.current.kind == setName {
			return faultf(int(f.current.start), "only an empty set is written set(): write other sets as {1, 2}")
		}
		return faultf(int(v.start), "a comma is missing before this value")
	}
	if f.left.kind != none {
		if v.kind != imaginary {
			return faultf(int(v.start), notEvaluated)
		}
		f.current = value{kind: complexed, start: f.left.start, end: v.end}
		f.left = value{}
		return nil
	}
	if f.sign {
		f.sign = false
		switch v.kind {
		case number:
			v.kind = signed
		case imaginary:
			v.kind = signedImg
		default:
			return faultf(f.signAt, "a sign must be followed by a number")
		}
		v.start = uint32(f.signAt)
	}
	f.current = v
	return nil
}

func (f *frame) plusOrMinus(t token) *fault {
	switch {
	case f.current.kind == number || f.current.kind == signed:
		f.left, f.current = f.current, value{}
		return nil
	case f.current.kind != none || f.left.kind != none:
		return faultf(t.start, notEvaluated)
	case f.sign:
		return faultf(t.start, "a number can have only one sign")
	}
	f.sign, f.signAt = true, t.start
	return nil
}

// strings processes a string and the strings that directly follow it, which Python joins.
func (w *walker) strings(top *frame, t token) *fault {
	joined := t
	for {
		// Look at the word after the string, and consume it only if it is another string.
		before := w.scanner
		following, f := w.next()
		if f != nil || following.word != wordString && following.word != wordBytes {
			w.scanner = before
			break
		}
		if following.word != t.word {
			return faultf(following.start, "bytes and text cannot be joined: put a comma between them, or use the prefix b for both or neither")
		}
		joined.end = following.end
	}
	v := value{kind: text, start: uint32(joined.start), end: uint32(joined.end)}
	if t.word == wordBytes {
		v.kind = bytesText
	}
	return top.put(v)
}

func (w *walker) named(top *frame, t token) *fault {
	v := value{kind: constant, start: uint32(t.start), end: uint32(t.end)}
	switch name := w.text[t.start:t.end]; name {
	case "None", "True", "False":
	case "set":
		v.kind = setName
	case "null", "true", "false":
		return faultf(t.start, "%s is JSON: use None, True or False", name)
	case "nan", "inf", "NaN", "Infinity":
		return faultf(t.start, "%s is a name, not a literal: write 1e999 or -1e999 for the infinities; nan has no literal, so pass it as a string", name)
	default:
		return faultf(t.start, "%s is a name, and a literal contains only values: put text in quotes", quoted(name))
	}
	return top.put(v)
}

func (w *walker) opened(top *frame, t token) *fault {
	if top.current.kind == setName && t.mark == '(' {
		return w.emptySet(top)
	}
	if top.current.kind != none {
		if t.mark == '(' || t.mark == '[' {
			return faultf(t.start, "a comma is missing before this %c (a literal cannot call functions)", t.mark)
		}
		return faultf(t.start, "a comma is missing before this %c", t.mark)
	}
	if len(w.frames) > MaxNesting {
		return faultf(t.start, "more than %d brackets are open at once: make the value flatter, or pass it as a string", MaxNesting)
	}
	opened := frame{open: t.mark, start: t.start}
	if top.elements != nil && top.count == 0 && !top.sign && top.left.kind == none && t.mark == '(' {
		opened.elements = &table{}
	}
	w.frames = append(w.frames, opened)
	w.depth++
	return nil
}

// emptySet processes the parentheses of set().
func (w *walker) emptySet(top *frame) *fault {
	w.depth++
	t, f := w.next()
	if f != nil {
		return f
	}
	w.depth--
	if t.word != wordMark || t.mark != ')' {
		return faultf(int(top.current.start), "only an empty set is written set(): write other sets as {1, 2}")
	}
	start := top.current.start
	top.current = value{}
	return top.put(value{kind: set, start: start, end: uint32(t.end), mutable: true})
}

func (f *frame) comma(t token) *fault {
	if f.current.kind == none {
		return faultf(t.start, "a value is missing before this comma")
	}
	if f.open == '{' && f.pairs && !f.colon {
		return faultf(t.start, "a dict needs a colon and a value after each key")
	}
	return f.finish()
}

// finish ends the current element.
func (f *frame) finish() *fault {
	v := f.current
	if v.kind == setName {
		return faultf(int(v.start), "set is a name, not a value: an empty set is written set()")
	}
	if f.open == '{' && !f.pairs && v.mutable {
		return faultf(int(v.start), "a list, set or dict cannot be an element of a set: use a tuple")
	}
	if f.elements != nil {
		f.elements.add(v)
	}
	f.mutable = f.mutable || v.mutable
	f.current, f.colon = value{}, false
	f.count++
	return nil
}

func (f *frame) colonAt(t token) *fault {
	switch {
	case f.open != '{':
		return faultf(t.start, "a colon is valid only between the key and the value of a dict, in braces")
	case f.colon:
		return faultf(t.start, "only one colon is valid between a key and its value")
	case f.current.kind == none:
		return faultf(t.start, "a key is missing before this colon")
	case f.count > 0 && !f.pairs:
		return faultf(t.start, "braces contain either a set or a dict: give every key a value, or none")
	case f.current.kind == setName:
		return faultf(int(f.current.start), "set is a name, not a value: an empty set is written set()")
	case f.current.mutable:
		return faultf(int(f.current.start), "a list, set or dict cannot be the key of a dict: use a tuple")
	}
	f.pairs, f.colon = true, true
	f.current = value{}
	return nil
}

// incomplete returns the error of a frame that ends at offset but lacks a part.
func (f *frame) incomplete(offset int) *fault {
	switch {
	case f.sign || f.left.kind != none:
		return faultf(offset, "a number is missing after the sign")
	case f.colon && f.current.kind == none:
		return faultf(offset, "a value is missing after the colon")
	case f.pairs && !f.colon && f.current.kind != none:
		return faultf(offset, "a dict needs a colon and a value after each key")
	}
	return nil
}

// kind returns the kind of value of a bracket when it is closed.
func (f *frame) kind() kind {
	switch {
	case f.open == '(':
		return tuple
	case f.open == '[':
		return list
	case f.pairs || f.count == 0:
		return dict
	}
	return set
}

var closers = map[byte]byte{'(': ')', '[': ']', '{': '}'}

func (w *walker) closed(top *frame, t token) *fault {
	if top.open == 0 {
		return faultf(t.start, "this %c does not close an open bracket: remove it", t.mark)
	}
	if closers[top.open] != t.mark {
		return faultf(t.start, "this %c does not match the %c at %s", t.mark, top.open, place(w.text, top.start))
	}
	if f := top.incomplete(t.start); f != nil {
		return f
	}
	v := value{start: uint32(top.start), end: uint32(t.end)}
	switch {
	case top.open == '(' && top.count == 0 && top.current.kind != none:
		v = top.current // no comma: parentheses around a value
	default:
		if top.current.kind != none {
			if f := top.finish(); f != nil {
				return f
			}
		}
		v.kind = top.kind()
		v.mutable = v.kind != tuple || top.mutable
		v.elements = top.elements
	}
	w.frames = w.frames[:len(w.frames)-1]
	w.depth--
	return w.frames[len(w.frames)-1].put(v)
}

// end processes the end of the text.
func (w *walker) end(top *frame, t token) *fault {
	if top.open != 0 {
		return faultf(t.start, "the text ends, and the %c at %s is not closed: close it with %c", top.open, place(w.text, top.start), closers[top.open])
	}
	if f := top.incomplete(t.start); f != nil {
		return f
	}
	if top.count > 0 && top.current.kind != none {
		return top.finish()
	}
	return nil
}

// whole returns the inner tuples of the outer tuple, or the error if the text is not a tuple of tuples.
func (w *walker) whole() ([]span, *fault) {
	const wanted = "use a tuple of tuples such as ((1, 2), (3, 4)), with one inner tuple for each input"
	top := &w.frames[0]
	outer := top.elements
	if top.count == 0 {
		v := top.current
		switch v.kind {
		case none:
			return nil, faultf(0, "the text is empty: %s", wanted)
		case setName:
			return nil, faultf(int(v.start), "set is a name, not a value: %s", wanted)
		case tuple:
			outer = v.elements
		default:
			return nil, faultf(int(v.start), "this is %s: %s", kindNames[v.kind], wanted)
		}
	}
	if wrong := outer.wrong; wrong.kind != none {
		fix := "for a single input add a comma, ((1, 2),)"
		if outer.index > 0 {
			fix = fmt.Sprintf("(%s,) is a tuple of one value", cut(w.text[wrong.start:wrong.end]))
		}
		return nil, faultf(int(wrong.start), "element %d of the outer tuple is %s and not a tuple: %s; %s",
			outer.index, kindNames[wrong.kind], wanted, fix)
	}
	return outer.spans, nil
}

func place(text string, offset int) string {
	at := (&fault{offset: offset}).at(text)
	return fmt.Sprintf("line %d, column %d", at.Line, at.Column)
}

func quoted(name string) string { return fmt.Sprintf("%q", cut(name)) }

// cut shortens text that is quoted in a message.
func cut(text string) string {
	const maxLength = 40
	n := 0
	for i := range text {
		if n == maxLength {
			return text[:i] + "…"
		}
		n++
	}
	return text
}
