package printable

import "testing"

//security:attack worker | a result, an error or output is a formula that a spreadsheet executes when a user opens the CSV | the cell begins with an apostrophe and is text; numbers stay numbers
func TestCellIsNotExecuted(t *testing.T) {
	for _, formula := range []string{
		`=cmd|' /C calc'!A0`, `=HYPERLINK("http://evil.example","ok")`, "+1+1", "-2+3", "@SUM(1)", "+cmd", "-cmd", "=", "-", "--1", "+-1",
		"\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\"=1", "'=1", " \" =1", "\ufeff=1", "\u200b=1", "\x00=1",
		"＝1+1", "＋1+1", "－1+1", "＠SUM(1)", "﹦1", "-1.5-cmd", "-1,5", "-0x1f", "+49 170", "-1e", "1\t", "-1\n=2",
	} {
		want := "'" + formula
		if formula == "1\t" {
			want = formula
		}
		if got := Cell(formula); got != want {
			t.Errorf("%q becomes %q, want %q", formula, got, want)
		}
	}
	for _, text := range []string{
		"", "0", "-1.5", "+3", "1e-5", "-1e-5", "-.5", "-1.", "-1E+10", " -1.5", "-inf", "-Infinity", "+nan", "text", "a=b", "1-2", "[-1]", `{"a":"=1"}`,
		"true", "null", "2026-11-26T12:00:00.000000Z", "ValueError", "<=", "ordinary 'quoted' text", "' '", `"`,
	} {
		if got := Cell(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}
