package subresources

import (
	"encoding/csv"
	"strings"
	"testing"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

//security:attack worker | A result, an error or output is a formula, and a user opens functionruns/results as CSV in a spreadsheet. | The cell begins with an apostrophe; numbers are unchanged; raw=true leaves all cells unchanged.
func TestCellsAreNotExecuted(t *testing.T) {
	hostile := []*outcomes.Outcome{
		{Index: 0, Status: outcomes.Succeeded, Result: []byte(`"=cmd|' /C calc'!A0"`), Stdout: []byte("@SUM(1)"), PodName: "-pod", Node: "+node"},
		{Index: 1, Status: outcomes.Succeeded, Result: []byte(`-1.5`), Stdout: []byte("-2")},
		{Index: 2, Status: outcomes.Succeeded, ResultText: []byte("-inf"), Stderr: []byte("\t=1")},
		{Index: 3, Status: outcomes.Failed, Error: &outcomes.ErrorText{Type: "＝E", Message: " +1+1"}},
		{Index: 4, Status: outcomes.Succeeded, Result: []byte(`["\u4e2d\u6587","\u003cb\u003e","\ud800","\u001b[2J"]`)},
		{Index: 5, Status: outcomes.Succeeded, Result: []byte(`"\ud800\u4e2d"`)},
		{Index: 6, Status: outcomes.Succeeded, Result: []byte(`"\u003d1"`)},
	}
	rows := func(q query) [][]string {
		t.Helper()
		table := newTable(q)
		text := string(table.beginning())
		for i, o := range hostile {
			text += string(table.one(o, i == 0))
		}
		all, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return all[1:]
	}
	type cell struct{ row, column int }
	safe, raw := rows(query{output: true}), rows(query{output: true, raw: true})
	want := map[cell][2]string{
		{0, 2}: {"'=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"}, {0, 8}: {"'-pod", "-pod"}, {0, 9}: {"'+node", "+node"}, {0, 10}: {"'@SUM(1)", "@SUM(1)"},
		{1, 2}: {"-1.5", "-1.5"}, {1, 10}: {"-2", "-2"}, {2, 2}: {"-inf", "-inf"}, {2, 11}: {"'\t=1", "\t=1"},
		{3, 3}: {"'＝E", "＝E"}, {3, 4}: {"' +1+1", " +1+1"}, {4, 2}: {`["中文","<b>","\ud800","\u001b[2J"]`, `["中文","<b>","\ud800","\u001b[2J"]`}, {5, 2}: {`\ud800中`, `\ud800中`},
		{6, 2}: {"'=1", "=1"}, {0, 0}: {"0", "0"}, {0, 1}: {"Succeeded", "Succeeded"},
	}
	for at, text := range want {
		if got := safe[at.row][at.column]; got != text[0] {
			t.Errorf("row %d, column %d is %q, want %q", at.row, at.column, got, text[0])
		}
		if got := raw[at.row][at.column]; got != text[1] {
			t.Errorf("raw, row %d, column %d is %q, want %q", at.row, at.column, got, text[1])
		}
	}
}

func TestRawIsAParameter(t *testing.T) {
	for text, want := range map[string]bool{"true": true, "1": true, "false": false} {
		if q, err := parseQuery(map[string][]string{"raw": {text}, "format": {"csv"}}, nil); err != nil || q.raw != want {
			t.Errorf("raw=%s: %v, %v", text, q.raw, err)
		}
	}
	if _, err := parseQuery(map[string][]string{"raw": {"perhaps"}}, nil); err == nil {
		t.Error("raw=perhaps is accepted")
	}
}
