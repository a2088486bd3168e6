package printable

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// formulaStarts are what a spreadsheet takes for the beginning of a formula or a command, in the forms of East Asian keyboards too.
const formulaStarts = "=+-@＝＋－＠﹦﹢﹣﹫"

// number is what is a number to a spreadsheet and to us; it computes nothing.
var number = regexp.MustCompile(`^(?i:[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan))$`)

// Cell is a text for a cell of a CSV file that people open in a spreadsheet: one that the spreadsheet would execute gets an apostrophe
// before it, which makes it text. White space, quotes and invisible characters before the formula do not hide it. Numbers stay.
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
