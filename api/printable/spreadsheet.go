package printable

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// formulaStarts are the characters that a spreadsheet interprets as the start of a formula or a command, including the
// full-width forms of East Asian keyboards.
const formulaStarts = "=+-@＝＋－＠﹦﹢﹣﹫"

// number matches text that a spreadsheet reads as a number and does not evaluate.
var number = regexp.MustCompile(`^(?i:[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan))$`)

// Cell returns text for a cell of a CSV file that may be opened in a spreadsheet. Text that a spreadsheet would evaluate is
// prefixed with an apostrophe, which makes it plain text; white space, quotes and invisible characters before the formula do not
// hide it. Numbers are unchanged.
func Cell(text string) string {
	if text == "" {
		return text
	}
	if first := text[0]; first == '\t' || first == '\r' || first == '\n' {
		return "'" + text
	}
	start := strings.TrimLeftFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || r == '"' || r == '\'' || Unsafe(r)
	})
	if first, _ := utf8.DecodeRuneInString(start); start == "" || !strings.ContainsRune(formulaStarts, first) {
		return text
	}
	if number.MatchString(strings.TrimSpace(text)) {
		return text
	}
	return "'" + text
}
