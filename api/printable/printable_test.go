package printable

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// attacks are texts that control a terminal, deceive its user, or break the line that contains them.
var attacks = map[string]string{
	"a color":                                "\x1b[31mred\x1b[0m",
	"clearing the screen":                    "\x1b[2J\x1b[H",
	"a title (OSC, ended by BEL)":            "\x1b]0;root@host\x07",
	"a title (OSC, ended by ST)":             "\x1b]0;root@host\x1b\\",
	"a hyperlink":                            "\x1b]8;;http://evil.example\x1b\\ok\x1b]8;;\x1b\\",
	"the clipboard (OSC 52)":                 "\x1b]52;c;cm0gLXJmIC8=\x07",
	"a device control string":                "\x1bP$q q\x1b\\",
	"an application command":                 "\x1b_Gf=100;AAAA\x1b\\",
	"a privacy message":                      "\x1b^secret\x1b\\",
	"a start of string":                      "\x1bXtext\x1b\\",
	"asking the terminal who it is":          "\x1b[c\x05",
	"an 8-bit CSI as a byte":                 "\x9b2J",
	"an 8-bit CSI as a character":            "\u009b2J",
	"an 8-bit OSC and ST":                    "\u009d0;title\u009c",
	"an 8-bit DCS":                           "\u0090q\u009c",
	"a sequence without an end":              "ok\x1b[",
	"an escape alone":                        "ok\x1b",
	"an OSC without an end":                  "\x1b]0;title",
	"a charset":                              "\x1b(0lqqk\x0e",
	"a reset":                                "\x1bc",
	"a carriage return":                      "failed\rsucceeded",
	"backspaces":                             "rm -rf\b\b\b\b\b\bls    ",
	"a bell, a vertical tab and a form feed": "\a\v\f",
	"a null and a delete":                    "a\x00b\x7f",
	"an override of the direction":           "abc\u202egpj.exe",
	"isolates":                               "\u2066admin\u2069",
	"marks of the direction":                 "\u200e\u200f\u061c",
	"characters without width":               "ad\u200bmin\u200c\u200d\u2060\ufeff",
	"a soft hyphen":                          "ad\u00admin",
	"tags":                                   "ok\U000e0041\U000e0042",
	"variation selectors that hide bytes":    "ok\U000e0100\U000e0110",
	"fillers":                                "\u3164\u115f\uffa0",
	"separators of lines and paragraphs":     "a\u2028b\u2029c",
	"annotations":                            "\ufff9a\ufffab\ufffb",
	"half a character":                       "ok\xe2\x80",
	"an overlong escape":                     "\xc0\x9b[2J",
	"a surrogate":                            "\xed\xa0\x80",
}

//security:attack tenant | names, errors and diffs hold control sequences, direction overrides and invisible characters | each is shown as a visible escape
func TestUnsafeCharactersAreReplaced(t *testing.T) {
	for name, text := range attacks {
		t.Run(name, func(t *testing.T) {
			line, lines := Line(text), Text(text)
			checkSafe(t, line, "")
			checkSafe(t, lines, "\n\t")
			if line == text || lines == text {
				t.Errorf("%q is unchanged", text)
			}
		})
	}
}

// checkSafe reports characters that are unsafe and not allowed.
func checkSafe(t *testing.T, text, allowed string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%q is not UTF-8", text)
	}
	for _, r := range text {
		if Unsafe(r) && !strings.ContainsRune(allowed, r) {
			t.Errorf("%q has %U", text, r)
		}
	}
}

func TestReplacedCharactersStayVisible(t *testing.T) {
	tests := map[string]struct{ text, line, lines string }{
		"plain text is unchanged":                {"Grüße, 世界 🎉 ❤️ 1½", "Grüße, 世界 🎉 ❤️ 1½", "Grüße, 世界 🎉 ❤️ 1½"},
		"an escape":                              {"a\x1b[31mb", `a\x1b[31mb`, `a\x1b[31mb`},
		"a byte that is not UTF-8":               {"a\x9bb", `a\x9bb`, `a\x9bb`},
		"a C1 control":                           {"a\u009bb", `a\u009bb`, `a\u009bb`},
		"an override":                            {"a\u202eb", `a\u202eb`, `a\u202eb`},
		"a tag":                                  {"a\U000e0041b", `a\U000e0041b`, `a\U000e0041b`},
		"line breaks and tabs":                   {"a\n\tb\n", "a⏎ b⏎", "a\n\tb\n"},
		"Windows line breaks":                    {"a\r\nb\r\n", "a⏎b⏎", "a\nb\n"},
		"a carriage return":                      {"a\rb\r", `a\rb\r`, `a\rb\r`},
		"an Arabic number sign is visible":       {"\u0600\u0661", "\u0600\u0661", "\u0600\u0661"},
		"the replacement character is unchanged": {"\ufffd", "\ufffd", "\ufffd"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Line(tc.text); got != tc.line {
				t.Errorf("as a line %q, want %q", got, tc.line)
			}
			if got := Text(tc.text); got != tc.lines {
				t.Errorf("as a text %q, want %q", got, tc.lines)
			}
		})
	}
}

func logged(t *testing.T, pieces ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := NewLogWriter(&out)
	for _, piece := range pieces {
		if n, err := w.Write([]byte(piece)); err != nil || n != len(piece) {
			t.Fatalf("Write returned %d, %v", n, err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

//security:attack worker | a handler prints control sequences, whole or split, into the log of its run | colors pass and end with their line; everything else is shown as an escape
func TestLogWriterKeepsColors(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"a color and its reset":                   {"\x1b[1;31mred\x1b[0m\n", "\x1b[1;31mred\x1b[0m\n"},
		"256 colors, with colons":                 {"\x1b[38:5:17mx\x1b[m\n", "\x1b[38:5:17mx\x1b[m\n"},
		"a color is reset at the end of its line": {"\x1b[31mred\nplain\n", "\x1b[31mred\x1b[0m\nplain\n"},
		"a color is reset at the end of the text": {"\x1b[31mred", "\x1b[31mred\x1b[0m"},
		"clearing the screen is shown":            {"\x1b[2Jx", `\x1b[2Jx`},
		"a private sequence is shown":             {"\x1b[?25mx\x1b[>4;2m", `\x1b[?25mx\x1b[>4;2m`},
		"one with an intermediate is shown":       {"\x1b[1 mx", `\x1b[1 mx`},
		"one that is too long is shown":           {"\x1b[" + strings.Repeat("1", 40) + "m", `\x1b[` + strings.Repeat("1", 40) + "m"},
		"one without an end is shown":             {"\x1b[31", `\x1b[31`},
		"an escape in a color is shown":           {"\x1b[31\x1b[2J", `\x1b[31\x1b[2J`},
		"an 8-bit CSI is shown":                   {"\u009b31m\x9b31m", `\u009b31m\x9b31m`},
		"a title is shown":                        {"\x1b]0;t\x07", `\x1b]0;t\x07`},
		"a carriage return is shown":              {"[17] a\r[18] b\n", `[17] a\r[18] b` + "\n"},
		"what looks like an escape is a text":     {`\x1b[2J`, `\x1b[2J`},
		"a control character in a color sequence": {"\x1b[3\x001m", `\x1b[3\x001m`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := logged(t, tc.text); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
			if got := logged(t, strings.SplitAfter(tc.text, "")...); got != tc.want {
				t.Errorf("character by character %q, want %q", got, tc.want)
			}
		})
	}
}

func TestJSONKeepsItsValue(t *testing.T) {
	for name, text := range attacks {
		t.Run(name, func(t *testing.T) {
			encoded, err := json.Marshal(map[string]string{"text": text})
			if err != nil {
				t.Fatal(err)
			}
			// Like JSON from servers in other languages: only what must be escaped is.
			encoded = bytes.ReplaceAll(encoded, []byte(`\u007f`), []byte("\x7f"))
			cleaned := JSON(encoded)
			checkSafe(t, string(cleaned), "")
			var got, want map[string]string
			if err := json.Unmarshal(cleaned, &got); err != nil {
				t.Fatalf("%s: %v", cleaned, err)
			}
			if err := json.Unmarshal(encoded, &want); err != nil {
				t.Fatal(err)
			}
			if got["text"] != want["text"] {
				t.Errorf("%q became %q", want["text"], got["text"])
			}
		})
	}
}

// A flood of incomplete sequences costs no more than other text of the same size.
//
//security:attack worker | megabytes of unfinished escape sequences are printed | cleaning takes time in proportion to the length
func TestCleaningIsLinear(t *testing.T) {
	text := []byte(strings.Repeat("\x1b[31;31;31;31;31;31;31;31;31;31;3", 500_000))
	began := time.Now()
	_, _ = NewLogWriter(&bytes.Buffer{}).Write(text)
	if took := time.Since(began); took > time.Minute { // a quadratic algorithm takes hours
		t.Errorf("%d bytes take %v", len(text), took)
	}
}

var color = regexp.MustCompile("\x1b\\[[0-9;:]{0,32}m")

func FuzzClean(f *testing.F) {
	for _, text := range attacks {
		f.Add(text, 1)
	}
	f.Add("[17] \x1b[1;31mred\x1b[0m\r\n", 3)
	f.Fuzz(func(t *testing.T, text string, at int) {
		line, lines := Line(text), Text(text)
		checkSafe(t, line, "")
		checkSafe(t, lines, "\n\t")
		if again := Line(line); again != line {
			t.Errorf("Line: %q becomes %q", line, again)
		}
		if again := Text(lines); again != lines {
			t.Errorf("Text: %q becomes %q", lines, again)
		}
		at = min(max(at, 0), len(text))
		whole := logged(t, text)
		if split := logged(t, text[:at], text[at:]); split != whole {
			t.Errorf("split at %d: %q, whole: %q", at, split, whole)
		}
		if again := logged(t, whole); again != whole {
			t.Errorf("log: %q becomes %q", whole, again)
		}
		// Apart from color sequences the log contains no control characters.
		checkSafe(t, color.ReplaceAllString(whole, ""), "\n\t")
	})
}
