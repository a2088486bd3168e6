package cli

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/parameters"
)

const (
	encoded = `{"\u540d":"\u4e2d\u6587 \u003cb\u003e \ud83d\ude00","half":"\ud800","control":"\u001b[2J","order":"\u202e"}`
	shown   = `{"名":"中文 <b> 😀","half":"\ud800","control":"\u001b[2J","order":"\u202e"}`
)

func rendered(t *testing.T, format, result string, width int) string {
	t.Helper()
	var out bytes.Buffer
	render, err := newRenderer(format, &out, false, width)
	if err != nil {
		t.Fatal(err)
	}
	if err := render.one(&outcome{Index: 3, Status: "Succeeded", Result: []byte(result)}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTablesAndCSVShowTextAsText(t *testing.T) {
	if got := rendered(t, "table", encoded, 0); !strings.HasSuffix(got, shown+"\n") {
		t.Errorf("the table is\n%s", got)
	}
	for result, want := range map[string]string{encoded: shown, `"\u4e2d\ud800\u003c"`: `中\ud800<`, `"\u003d1+1"`: "'=1+1", `["\u003d1"]`: `["=1"]`} {
		rows, err := csv.NewReader(strings.NewReader(rendered(t, "csv", result, 0))).ReadAll()
		if err != nil || rows[1][2] != want {
			t.Errorf("%v: the cell of %s is %q, want %q", err, result, rows, want)
		}
	}
}

func TestWideCharactersTakeTwoColumns(t *testing.T) {
	for text, want := range map[string]int{"abc": 3, "中文": 4, "😀": 2, "ü": 1, "u\u0308": 1, "ｱ": 1, "ＡＢ": 4, "": 0} {
		if got := lineWidth(text); got != want {
			t.Errorf("%q has %d columns, want %d", text, got, want)
		}
	}
	for text, want := range map[string]string{"abcdef": "abcd…", "中文中": "中文…", "a中文中": "a中…", "abcde": "abcde", "中文a": "中文a"} {
		if got := cutTo(text, 5); got != want {
			t.Errorf("%q is cut to %q, want %q", text, got, want)
		}
	}
	line := strings.Split(rendered(t, "table", `["`+strings.Repeat(`\u4e2d`, 100)+`"]`, 60), "\n")[1]
	if got := lineWidth(line); got > 60 || got < 59 {
		t.Errorf("the line has %d columns of 60: %s", got, line)
	}
}

func TestFunctionTestShowsTextAsText(t *testing.T) {
	var out bytes.Buffer
	report := &testReport{out: &out, inputs: []parameters.Input{{JSON: []byte(`["\u4e2d\u003c"]`)}}}
	o := outcomeOf(exchange.Outcome{Status: "Succeeded", Result: []byte(encoded), StartTime: 5, DurationMicros: 7})
	if err := report.one(o); err != nil {
		t.Fatal(err)
	}
	if want := "✓ 0  [\"中<\"]  → " + shown + "  (7µs)\n"; out.String() != want {
		t.Errorf("got  %s\nwant %s", out.String(), want)
	}
	text := "<中>"
	o = outcomeOf(exchange.Outcome{Status: "Succeeded", ResultText: &text, Stdout: []byte("a < b & c\n")})
	if got := string(o.raw); !strings.Contains(got, `"result":"<中>"`) || !strings.Contains(got, `"stdout":"a < b & c\n"`) {
		t.Errorf("as JSON it is %s", got)
	}
}

func TestFunctionTestShowsTheOutputOfALoad(t *testing.T) {
	var out bytes.Buffer
	loads := &testLoads{out: &out}
	first := exchange.LoadOutput{Stdout: "weights\nloaded", Stderr: "warning\n"}
	for _, got := range []exchange.LoadOutput{first, first, {Stderr: "again\x1b[2J\n"}} {
		if err := loads.one(got); err != nil {
			t.Fatal(err)
		}
	}
	want := "     load stdout | weights\n     load stdout | loaded\n     load stderr | warning\n     load stderr | again\\x1b[2J\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
