package parameters

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseLiteralReturnsTheInnerTuples(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
	}{
		"two tuples":                                {"((1, 2), (3, 4))", []string{"(1, 2)", "(3, 4)"}},
		"a single tuple with its comma":             {"((1,),)", []string{"(1,)"}},
		"no tuple at all":                           {"()", nil},
		"empty tuples":                              {"((), ())", []string{"()", "()"}},
		"without the outer parentheses":             {"(1,), (2,)", []string{"(1,)", "(2,)"}},
		"with more outer parentheses than it takes": {"((((1,), (2,))))", []string{"(1,)", "(2,)"}},
		"redundant inner parentheses are left out":  {"(((1, 2)), ((3,)))", []string{"(1, 2)", "(3,)"}},
		"nested tuples are not split":               {"(((1,), (2,)), ())", []string{"((1,), (2,))", "()"}},
		"comments and new lines stay":               {"(\n (1, # one\n  2),\n)", []string{"(1, # one\n  2)"}},
		"brackets in strings and comments are ignored": {
			"(('(', \")\"), ('''((''', r'\\\\'), # ),),\n)", []string{"('(', \")\")", "('''((''', r'\\\\')"},
		},
		"joined strings":              {"(('a' \"b\"\n'c',),)", []string{"('a' \"b\"\n'c',)"}},
		"text that is not ASCII":      {"(('Zoë',), ('日本',))", []string{"('Zoë',)", "('日本',)"}},
		"white space around":          {" \n((1,),)\n\t ", []string{"(1,)"}},
		"every kind of value at once": {"((None, -1.5, 1+2j, b'x', [1], {2}, {3: 4}, set(), ...),)", []string{"(None, -1.5, 1+2j, b'x', [1], {2}, {3: 4}, set(), ...)"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			literal, err := ParseLiteral(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range literal.Len() {
				got = append(got, literal.Tuple(i))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("tuples (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseLiteralReportsErrorsWithTheirPosition(t *testing.T) {
	tests := map[string]struct {
		text         string
		line, column int
		message      string
	}{
		"nothing":                     {"", 1, 1, "the text is empty: use a tuple of tuples"},
		"a tuple of values":           {"((1, 2))", 1, 3, "element 0 of the outer tuple is a number and not a tuple"},
		"the hint for a single input": {"((1, 2))", 1, 3, "for a single input add a comma, ((1, 2),)"},
		"a value without its comma":   {"((1,), ('a'))", 1, 9, "element 1 of the outer tuple is a string and not a tuple: use a tuple of tuples such as ((1, 2), (3, 4)), with one inner tuple for each input; ('a',) is a tuple of one value"},
		"a list of tuples":            {"[(1,), (2,)]", 1, 1, "this is a list"},
		"columns count characters":    {"(('日本', ß),)", 1, 9, `"ß" is a name`},
		"lines end three ways":        {"(\n\r\n\r(1, x),)", 4, 5, `"x" is a name`},
		"an open bracket":             {"((1,),\n (2,", 2, 5, "the text ends, and the ( at line 2, column 2 is not closed: close it with )"},
		"brackets that do not match":  {"((1],)", 1, 4, "this ] does not match the ( at line 1, column 2"},
		"one bracket too many":        {"((1,),))", 1, 8, "this ) does not close an open bracket"},
		"an open string":              {"(('abc),)", 1, 3, "the string that begins here is not closed: close it with '"},
		"a string over two lines":     {"(('a\nb',),)", 1, 5, "the line ends inside a string"},
		"a missing comma":             {"((1 2),)", 1, 5, "a comma is missing before this value"},
		"a comma without a value":     {"((1,,2),)", 1, 5, "a value is missing before this comma"},
		"a name":                      {"((hello,),)", 1, 3, `"hello" is a name, and a literal contains only values: put text in quotes`},
		"JSON's constants":            {"((true,),)", 1, 3, "true is JSON: use None, True or False"},
		"typographic quotes":          {"((“a”,),)", 1, 3, "“ is a typographic quotation mark"},
		"arithmetic":                  {"((1+1,),)", 1, 5, "literals are not evaluated"},
		"a call":                      {"((f(1),),)", 1, 3, `"f" is a name`},
		"an integer of Python 2":      {"((10L,),)", 1, 5, "the suffix L of Python 2"},
		"an octal of Python 2":        {"((0777,),)", 1, 3, "write 0o… if it is octal"},
		"a formatted string":          {"((f'a',),)", 1, 3, "a formatted string is not a literal"},
		"text and bytes joined":       {"(('a' b'b',),)", 1, 7, "bytes and text cannot be joined"},
		"a half escape":               {`(("\x4",),)`, 1, 4, `\x needs 2 hexadecimal digits`},
		"an escape beyond Unicode":    {`(("\U00110000",),)`, 1, 4, `\U00110000 is not a character`},
		"a list as a key":             {"(({[1]: 2},),)", 1, 4, "a list, set or dict cannot be the key of a dict: use a tuple"},
		"a set and a dict at once":    {"(({1, 2: 3},),)", 1, 8, "braces contain either a set or a dict"},
		"a NUL":                       {"(('a\x00',),)", 1, 5, "the text contains a NUL character"},
		"bytes that are not UTF-8":    {"(('a\xff',),)", 1, 5, "the text is not UTF-8 here: save it as UTF-8, or write bytes as b'\\xff'"},
		"half a character at the end": {"((1,),) # \xe6\x97", 1, 11, "the text is not UTF-8 here"},
		"a second line":               {"(1,),\n(2,)", 2, 1, "put parentheses around it"},
		"an invisible character":      {"((1,\u00a02),)", 1, 5, "unexpected invisible character U+00A0"},
		"too deep": {
			"(" + strings.Repeat("(", MaxNesting), 1, MaxNesting + 1, "more than 90 brackets are open at once",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseLiteral(tc.text)
			var got *LiteralError
			if !errors.As(err, &got) {
				t.Fatalf("ParseLiteral(%q): got %v, want a LiteralError", tc.text, err)
			}
			if got.Line != tc.line || got.Column != tc.column || !strings.Contains(got.Message, tc.message) {
				t.Errorf("ParseLiteral(%q)\n got line %d, column %d: %s\nwant line %d, column %d: … %s …",
					tc.text, got.Line, got.Column, got.Message, tc.line, tc.column, tc.message)
			}
		})
	}
}

func TestParseLiteralAllowsTheDeepestNesting(t *testing.T) {
	// One bracket belongs to the outer tuple and one to the inner.
	text := "((" + strings.Repeat("[", MaxNesting-2) + strings.Repeat("]", MaxNesting-2) + ",),)"
	literal, err := ParseLiteral(text)
	if err != nil || literal.Len() != 1 {
		t.Fatalf("got %d tuples and %v, want 1", literal.Len(), err)
	}
}

// Each case is a text of several megabytes that makes a naive parser use quadratic time, deep recursion or a lot of memory.
func TestParseLiteralIsBoundedOnHostileTexts(t *testing.T) {
	const size = 4 << 20
	fill := func(before, piece, after string) string {
		return before + strings.Repeat(piece, size/len(piece)) + after
	}
	tests := map[string]struct {
		text   string
		tuples int // -1: refused
	}{
		"many empty tuples":              {fill("(", "(),", ")"), size / 3},
		"one long string":                {fill("(('", "a", "',),)"), 1},
		"one string of backslashes":      {fill("(('", `\\`, "',),)"), 1},
		"many joined strings":            {fill("((", "'' ", ",),)"), 1},
		"one long number":                {fill("((", "9", ",),)"), 1},
		"many signs":                     {fill("((", "- ", "1,),)"), -1},
		"many opening brackets":          {fill("", "(", ""), -1},
		"many brackets in a row":         {fill("((", "[],", "),)"), 1},
		"many comments":                  {fill("(", "#\n", "(1,),)"), 1},
		"many new lines":                 {fill("(", "\n", "(1,),)"), 1},
		"many joined lines":              {fill("(", "\\\n", "(1,),)"), 1},
		"a string without end":           {fill("(('''", "'' ", ""), -1},
		"a name without end":             {fill("((", "x", ""), -1},
		"escapes by name without an end": {fill("(('", `\N{`, "',),)"), -1},
		"names of characters":            {fill("(('", `\N{DIGIT ONE}`, "',),)"), 1},
		"only spaces":                    {fill("", " ", ""), -1},
		"a set of many":                  {fill("(({", "1,", "},),)"), 1},
		"the first element decides late": {fill("((", "(1,),", "),)"), 1},
		"a wrong first of many":          {fill("(1,", "(1,),", ")"), -1},
		"an error on a late line":        {fill("(", "\n", "x)"), -1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			literal, err := ParseLiteral(tc.text)
			if elapsed := time.Since(start); elapsed > time.Minute { // a quadratic one takes hours
				t.Errorf("took %s", elapsed)
			}
			got := literal.Len()
			if err != nil {
				got = -1
			}
			if got != tc.tuples {
				t.Errorf("got %d tuples and %v, want %d", got, err, tc.tuples)
			}
		})
	}
}

func TestParseLiteralTakesLittleMemory(t *testing.T) {
	text := "(" + strings.Repeat("(),", 1<<20) + ")"
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := ParseLiteral(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	// 8 bytes per tuple, and the garbage from growing the table.
	if most := int64(64 << 20); result.AllocedBytesPerOp() > most {
		t.Errorf("%d bytes for %d tuples in %d bytes of text, want at most %d", result.AllocedBytesPerOp(), 1<<20, len(text), most)
	}
}

func TestParseLiteralRejectsTooLongTexts(t *testing.T) {
	_, err := ParseLiteral("(" + strings.Repeat(" ", MaxLiteralBytes) + ")")
	if err == nil || !strings.Contains(err.Error(), "split the run") {
		t.Errorf("got %v, want the hint to split the run", err)
	}
}

func FuzzParseLiteral(f *testing.F) {
	for _, text := range corpus {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		literal, err := ParseLiteral(text)
		if err != nil {
			var problem *LiteralError
			if !errors.As(err, &problem) || problem.Line < 1 || problem.Column < 1 || problem.Message == "" {
				t.Fatalf("ParseLiteral(%q): %#v", text, err)
			}
			if !utf8.ValidString(err.Error()) {
				t.Errorf("the message about %q is not UTF-8: %q", text, err)
			}
			return
		}
		// Each piece is a valid tuple on its own, and joining the pieces gives the whole again.
		var whole strings.Builder
		whole.WriteString("(")
		for i := range literal.Len() {
			piece := literal.Tuple(i)
			alone, err := ParseLiteral("(" + piece + ",)")
			if err != nil || alone.Len() != 1 || alone.Tuple(0) != piece {
				t.Fatalf("tuple %d of %q is %q, which on its own is %v, %v", i, text, piece, alone, err)
			}
			whole.WriteString(piece + ",")
		}
		whole.WriteString(")")
		again, err := ParseLiteral(whole.String())
		if err != nil || again.Len() != literal.Len() {
			t.Fatalf("joining the tuples of %q gives %d tuples, %v, want %d", text, again.Len(), err, literal.Len())
		}
	})
}

func BenchmarkParseLiteral(b *testing.B) {
	row := "(0.001, 'a learning rate', {'seed': 17, 'layers': [64, 32]}, None),\n"
	text := "(" + strings.Repeat(row, (1<<20)/len(row)) + ")"
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseLiteral(text); err != nil {
			b.Fatal(err)
		}
	}
}
