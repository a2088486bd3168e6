package rest

import (
	"strings"
	"unicode/utf8"
)

// pythonCode is Python code that is read from its beginning. Line ends are line feeds.
type pythonCode struct {
	text string
	at   int
}

var lineFeeds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// definesPythonHandler reports whether a logical line of the code begins with def handler(event, also indented and after async.
func definesPythonHandler(code string) bool {
	p := &pythonCode{text: lineFeeds.Replace(strings.TrimPrefix(code, "\ufeff"))}
	depth := 0
	// inBrackets: a line inside brackets begins with the signature. No such line is valid, so that a bracket before it was not closed.
	inBrackets := false
	for begins := true; p.at < len(p.text); {
		if begins {
			p.blanks(depth > 0)
			if p.signature() {
				if depth == 0 {
					return true
				}
				inBrackets = true
			}
		}
		begins = false
		switch c := p.peek(); c {
		case '\n':
			p.at++
			begins = true
		case '#':
			p.comment()
		case '\'', '"':
			p.string(c)
		case '\\':
			p.at += 2 // the next line continues this one
		case '(', '[', '{':
			p.at++
			depth++
		case ')', ']', '}':
			p.at++
			if depth = max(depth-1, 0); depth == 0 {
				inBrackets = false
			}
		default:
			p.at++
		}
	}
	return inBrackets
}

func (p *pythonCode) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// blanks skips white space and continuations of the line; lines: also line feeds and comments, as inside brackets.
func (p *pythonCode) blanks(lines bool) (some bool) {
	for start := p.at; ; {
		switch c := p.peek(); {
		case c == ' ', c == '\t', c == '\f', lines && c == '\n':
			p.at++
		case c == '\\' && strings.HasPrefix(p.text[p.at:], "\\\n"):
			p.at += 2
		case lines && c == '#':
			p.comment()
		default:
			return p.at > start
		}
	}
}

// comment skips a comment, up to the line feed.
func (p *pythonCode) comment() {
	if end := strings.IndexByte(p.text[p.at:], '\n'); end >= 0 {
		p.at += end
		return
	}
	p.at = len(p.text)
}

// string skips a string with any prefix. A backslash keeps a quote from ending it, in raw strings too. A string in single quotes that is not
// closed ends with its line.
func (p *pythonCode) string(quote byte) {
	end := string(quote)
	long := strings.HasPrefix(p.text[p.at:], strings.Repeat(end, 3))
	if long {
		end = strings.Repeat(end, 3)
	}
	for p.at += len(end); p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '\\':
			p.at++
		case c == '\n' && !long:
			return
		case c == quote && strings.HasPrefix(p.text[p.at:], end):
			p.at += len(end)
			return
		}
	}
}

// signature reads the signature, and reports whether it is there. If not, nothing is read.
func (p *pythonCode) signature() bool {
	start := p.at
	if p.word("async") {
		p.blanks(false)
	}
	found := p.word("def") && p.blanks(false) && p.word("handler")
	if found {
		p.blanks(false)
		found = p.peek() == '('
	}
	if found {
		p.at++
		p.blanks(true)
		found = p.word("event")
	}
	if found {
		p.blanks(true)
		found = strings.IndexByte(",:=)", p.peek()) >= 0 && p.at < len(p.text)
	}
	p.at = start
	return found
}

// word reads a name or a keyword.
func (p *pythonCode) word(word string) bool {
	rest, ok := strings.CutPrefix(p.text[p.at:], word)
	if !ok || rest != "" && (isNamePart(rest[0]) || rest[0] >= utf8.RuneSelf) {
		return false
	}
	p.at += len(word)
	return true
}

func isNamePart(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
