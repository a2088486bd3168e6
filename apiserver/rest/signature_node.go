package rest

import (
	"strings"
	"unicode/utf8"
)

// nodeCode is JavaScript that is read from its beginning.
type nodeCode struct {
	text string
	at   int
	// operand: the last token ends an operand, so that a slash divides. Otherwise it begins a regular expression.
	operand bool
	// templates has the number of open braces in each ${…} around the current position.
	templates []int
	// dividesUntil: slashes before this position divide, because a regular expression that began on the line did not end.
	dividesUntil int
}

// wordsBeforeOperand are the keywords that an operand follows.
var wordsBeforeOperand = map[string]bool{
	"return": true, "typeof": true, "case": true, "in": true, "of": true, "delete": true, "void": true, "throw": true, "new": true,
	"else": true, "do": true, "instanceof": true, "yield": true, "await": true,
}

// definesNodeHandler reports whether the code has function handler(event outside of comments, strings, templates and regular expressions.
func definesNodeHandler(code string) bool {
	n := &nodeCode{text: strings.TrimPrefix(code, "\ufeff")}
	if strings.HasPrefix(n.text, "#!") {
		n.line()
	}
	for n.at < len(n.text) {
		if n.blanks() {
			continue
		}
		switch c := n.text[n.at]; {
		case isNodeName(c):
			member := n.at > 0 && n.text[n.at-1] == '.'
			word := n.name()
			if word == "function" && !member && n.signature() {
				return true
			}
			n.operand = member || !wordsBeforeOperand[word]
		case c == '\'', c == '"':
			n.quoted(c)
			n.operand = true
		case c == '`':
			n.at++
			n.template()
		case c == '/' && !n.operand && n.regexp():
			n.operand = true
		default:
			n.punctuation(c)
		}
	}
	return false
}

// blanks skips white space and comments.
func (n *nodeCode) blanks() (some bool) {
	for start := n.at; ; {
		rest := n.text[n.at:]
		switch {
		case rest == "":
			return n.at > start
		case strings.HasPrefix(rest, "//"):
			n.line()
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				end = len(rest) - 4
			}
			n.at += max(end+4, 0)
			n.at = min(n.at, len(n.text))
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			n.at++
		default:
			return n.at > start
		}
	}
}

// line skips to the end of the line.
func (n *nodeCode) line() {
	if end := strings.IndexAny(n.text[n.at:], "\r\n"); end >= 0 {
		n.at += end
		return
	}
	n.at = len(n.text)
}

func (n *nodeCode) name() string {
	start := n.at
	for n.at < len(n.text) && isNodeName(n.text[n.at]) {
		n.at++
	}
	return n.text[start:n.at]
}

func isNodeName(c byte) bool { return isNamePart(c) || c == '$' || c >= utf8.RuneSelf }

// signature reads what follows function, and reports whether it is handler(event. If not, nothing is read.
func (n *nodeCode) signature() bool {
	start := n.at
	found := n.blanks() && n.name() == "handler"
	for _, next := range []string{"(", "event"} {
		if !found {
			break
		}
		n.blanks()
		if next == "event" {
			found = n.name() == next
		} else if found = strings.HasPrefix(n.text[n.at:], next); found {
			n.at += len(next)
		}
	}
	if found {
		n.blanks()
		found = n.at < len(n.text) && strings.IndexByte(",=)", n.text[n.at]) >= 0
	}
	n.at = start
	return found
}

// quoted skips a string. One that is not closed ends with its line.
func (n *nodeCode) quoted(quote byte) {
	for n.at++; n.at < len(n.text); n.at++ {
		switch n.text[n.at] {
		case '\\':
			if n.at++; strings.HasPrefix(n.text[n.at:], "\r\n") {
				n.at++
			}
		case '\n', '\r':
			return
		case quote:
			n.at++
			return
		}
	}
	n.at = min(n.at, len(n.text))
}

// template skips the text of a template up to its end or to ${, after which code follows.
func (n *nodeCode) template() {
	for ; n.at < len(n.text); n.at++ {
		switch c := n.text[n.at]; {
		case c == '\\':
			n.at++
		case c == '`':
			n.at++
			n.operand = true
			return
		case strings.HasPrefix(n.text[n.at:], "${"):
			n.at += 2
			n.templates = append(n.templates, 0)
			n.operand = false
			return
		}
	}
	n.at = min(n.at, len(n.text))
}

// regexp skips a regular expression, and reports whether there is one: it ends on its line.
func (n *nodeCode) regexp() bool {
	if n.at < n.dividesUntil {
		return false
	}
	class := false
	for at := n.at + 1; at < len(n.text); at++ {
		switch c := n.text[at]; {
		case c == '\n', c == '\r':
			n.dividesUntil = at
			return false
		case c == '\\':
			at++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '/' && !class:
			n.at = at + 1
			return true
		}
	}
	n.dividesUntil = len(n.text)
	return false
}

func (n *nodeCode) punctuation(c byte) {
	n.at++
	n.operand = c == ')' || c == ']' || c == '}'
	last := len(n.templates) - 1
	switch {
	case last < 0:
	case c == '{':
		n.templates[last]++
	case c == '}' && n.templates[last] > 0:
		n.templates[last]--
	case c == '}':
		n.templates = n.templates[:last]
		n.template()
	}
}
