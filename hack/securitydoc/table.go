package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// The table lies between these two lines of the page.
const (
	beginning = "<!-- The table is generated: make generate -->\n"
	end       = "<!-- end of the table -->\n"
)

// table renders the rows as Markdown.
func table(attacks []attack) string {
	var b strings.Builder
	b.WriteString("| attacker | what is tried | what holds | test |\n| --- | --- | --- | --- |\n")
	for _, a := range attacks {
		fmt.Fprintf(&b, "| %s | %s | %s | [%s](../%s) |\n", a.attacker, cell(a.tried), cell(a.holds), cell(a.test), a.file)
	}
	return b.String()
}

// cell escapes what would end a cell, open a tag or a link.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "[", `\[`, "]", `\]`, "*", `\*`, "_", `\_`, "\n", " ").Replace(text)
}

func replaceTable(page []byte, table string) ([]byte, error) {
	before, rest, found := bytes.Cut(page, []byte(beginning))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return nil, errors.New("the page lacks the two lines between which the table lies")
	}
	return bytes.Join([][]byte{before, []byte(beginning), []byte(table), []byte(end), after}, nil), nil
}
