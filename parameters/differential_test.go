package parameters

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

type question struct {
	Text   string   `json:"text"`
	Tuples []string `json:"tuples"`
	err    error
}

type oracleAnswer struct {
	Accepted bool   `json:"accepted"`
	Why      string `json:"why"`
}

// ParseLiteral accepts the same texts as Python, and the text of each inner tuple, read on its own, has the same value as in the
// whole.
func TestParseLiteralAgreesWithPython(t *testing.T) {
	const generated, mutants = 3000, 12000
	g := &generator{rng: rand.New(rand.NewPCG(2018, 11))}
	texts := append([]string{}, corpus...)
	for range generated {
		texts = append(texts, g.whole())
	}
	for range mutants {
		texts = append(texts, g.mutate(texts[g.rng.IntN(len(texts))]))
	}
	questions := make([]question, len(texts))
	for i, text := range texts {
		literal, err := ParseLiteral(text)
		questions[i] = question{Text: text, err: err}
		for j := range literal.Len() {
			questions[i].Tuples = append(questions[i].Tuples, literal.Tuple(j))
		}
	}
	accepted := 0
	for i, answer := range ask(t, questions) {
		q := questions[i]
		switch {
		case q.err == nil && !answer.Accepted:
			// Only the interpreter looks up the names of characters.
			if !strings.Contains(answer.Why, "unknown Unicode character name") {
				t.Errorf("accepted, but Python rejects %q: %s", q.Text, answer.Why)
			}
		case q.err != nil && answer.Accepted:
			t.Errorf("rejected, but Python accepts %q: %v", q.Text, q.err)
		case answer.Accepted && answer.Why != "":
			t.Errorf("split incorrectly: %q: %s", q.Text, answer.Why)
		case answer.Accepted:
			accepted++
		}
	}
	t.Logf("%d texts, %d accepted by both, %d refused by both", len(texts), accepted, len(texts)-accepted)
	if accepted < generated || len(texts)-accepted < mutants/4 {
		t.Errorf("the corpus is unbalanced: %d of %d texts accepted", accepted, len(texts))
	}
}

// ask sends all questions to one Python process.
func ask(t *testing.T, questions []question) []oracleAnswer {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("this test compares with Python: install python3 (3.9 or newer)")
	}
	var input bytes.Buffer
	encoder := json.NewEncoder(&input)
	for _, q := range questions {
		if err := encoder.Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(python, "-I", "testdata/oracle.py")
	cmd.Stdin = &input
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", python, err, stderr.String())
	}
	var answers []oracleAnswer
	lines := bufio.NewReader(bytes.NewReader(output))
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		var answer oracleAnswer
		if err := json.Unmarshal(line, &answer); err != nil {
			t.Fatalf("unexpected output of the oracle %q: %v", line, err)
		}
		answers = append(answers, answer)
	}
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions\n%s", len(answers), len(questions), stderr.String())
	}
	return answers
}

// generator writes tuples of tuples in every notation that Python accepts.
type generator struct{ rng *rand.Rand }

func (g *generator) pick(choices ...string) string { return choices[g.rng.IntN(len(choices))] }

func (g *generator) whole() string {
	inner := make([]string, g.rng.IntN(5))
	for i := range inner {
		inner[i] = g.group(g.tuple(3))
	}
	text := g.list("(", ")", inner, true)
	if len(inner) > 0 && g.rng.IntN(8) == 0 { // without the outer parentheses, on one line
		text = strings.Join(inner, ",")
		if len(inner) == 1 {
			text += ","
		}
	}
	return g.pick("", "", "", " ", "\n", "# first\n", "\t") + g.group(text) + g.pick("", "", "", " ", "\n", " # last", "\r\n\n")
}

func (g *generator) group(text string) string {
	if g.rng.IntN(10) == 0 && strings.HasPrefix(text, "(") {
		return "(" + g.space() + text + g.space() + ")"
	}
	return text
}

func (g *generator) tuple(depth int) string {
	values := make([]string, g.rng.IntN(4))
	for i := range values {
		values[i] = g.value(depth - 1)
	}
	return g.list("(", ")", values, true)
}

func (g *generator) list(open, closing string, values []string, tuple bool) string {
	var b strings.Builder
	b.WriteString(open + g.space())
	for i, value := range values {
		if i > 0 {
			b.WriteString("," + g.space())
		}
		b.WriteString(value + g.space())
	}
	if tuple && len(values) == 1 || len(values) > 0 && g.rng.IntN(6) == 0 {
		b.WriteString("," + g.space())
	}
	b.WriteString(closing)
	return b.String()
}

func (g *generator) space() string {
	if g.rng.IntN(3) > 0 {
		return ""
	}
	return g.pick(" ", "  ", "\t", "\n", "\r\n", "\n   ", "# a comment, with (brackets' and \"quotes\n", "\\\n", "\f")
}

func (g *generator) value(depth int) string {
	if depth <= 0 {
		return g.scalar()
	}
	switch g.rng.IntN(12) {
	case 0, 1:
		return g.tuple(depth)
	case 2:
		return g.list("[", "]", g.values(depth), false)
	case 3:
		if values := g.keys(depth); len(values) > 0 {
			return g.list("{", "}", values, false)
		}
		return "set" + g.space() + "(" + g.space() + ")"
	case 4:
		pairs := g.keys(depth)
		for i := range pairs {
			pairs[i] += g.space() + ":" + g.space() + g.value(depth-1)
		}
		return g.list("{", "}", pairs, false)
	case 5:
		return "(" + g.space() + g.value(depth-1) + g.space() + ")"
	}
	return g.scalar()
}

func (g *generator) values(depth int) []string {
	values := make([]string, g.rng.IntN(4))
	for i := range values {
		values[i] = g.value(depth - 1)
	}
	return values
}

// keys generates hashable values.
func (g *generator) keys(depth int) []string {
	keys := make([]string, g.rng.IntN(3))
	for i := range keys {
		keys[i] = g.scalar()
		if g.rng.IntN(5) == 0 {
			keys[i] = g.list("(", ")", g.keys(depth-1), true)
		}
	}
	return keys
}

func (g *generator) scalar() string {
	switch g.rng.IntN(8) {
	case 0, 1, 2:
		return g.number()
	case 3, 4, 5:
		texts := []string{g.str()}
		for g.rng.IntN(6) == 0 {
			texts = append(texts, g.str())
		}
		return strings.Join(texts, g.pick("", " ", " "))
	case 6:
		texts := []string{g.bytes()}
		for g.rng.IntN(6) == 0 {
			texts = append(texts, g.bytes())
		}
		return strings.Join(texts, g.pick(" ", " \\\n"))
	}
	return g.pick("None", "True", "False", "...")
}

func (g *generator) number() string {
	sign := g.pick("", "", "-", "+", "- ")
	switch g.rng.IntN(4) {
	case 0:
		return sign + g.plain() + g.space() + g.pick("+", "-") + g.space() + g.plainImaginary()
	case 1:
		return sign + g.plainImaginary()
	}
	return sign + g.plain()
}

func (g *generator) plain() string {
	return g.pick("0", "00", "0_0", "7", "1_000", "12345678901234567890123456789012345678901", "0xdead_BEEF", "0X_f", "0o17", "0b10_1", "1.5", "1.",
		".5", "1e9", "1E-3", "1_0.0_1e+1_0", "1e999", "007.5", "09e1", fmt.Sprint(g.rng.IntN(100000)))
}

func (g *generator) plainImaginary() string {
	return g.pick("2j", "0J", "1.5j", "1e3j", "010j", "1_0j")
}

func (g *generator) str() string {
	return g.quote(g.pick("", "", "u", "U", "r", "R"), []string{
		"a", " ", "é", "日本", "😀", "#", "(", "]", ",", `\n`, `\\`, `\'`, `\"`, `\x41`, `\101`, `\7`, `\u00e9`, `\U0001f600`, `\N{DIGIT ONE}`, `\q`, "\\\n", "\\\r\n",
	})
}

func (g *generator) bytes() string {
	return g.quote(g.pick("b", "B", "br", "rb", "Rb", "bR"), []string{"a", " ", "#", ")", `\x00`, `\xff`, `\0`, `\u12`, `\N`, `\\`, `\'`, "\\\n"})
}

func (g *generator) quote(prefix string, pieces []string) string {
	quote := g.pick(`'`, `"`, `'''`, `"""`)
	var b strings.Builder
	for range g.rng.IntN(5) {
		piece := pieces[g.rng.IntN(len(pieces))]
		if strings.ContainsAny(prefix, "rR") && strings.HasPrefix(piece, `\`) {
			piece = g.pick(`\x`, `\u`, `\N`, `\d`, `\\`)
		}
		b.WriteString(piece)
	}
	if len(quote) == 3 {
		b.WriteString(g.pick("", "\n", "it's \"so\" "))
	}
	return prefix + quote + b.String() + quote
}

// mutate makes small changes to a text, so that most results are slightly invalid.
func (g *generator) mutate(text string) string {
	alphabet := []rune("()[]{},,::'\"\\ \n\t#+-*._0179aAbejJxXoLrufNTs=\x00\f\réß\u00a0\ufeff“")
	runes := []rune(text)
	for range 1 + g.rng.IntN(3) {
		at := g.rng.IntN(len(runes) + 1)
		switch g.rng.IntN(4) {
		case 0:
			runes = append(runes[:at:at], append([]rune{alphabet[g.rng.IntN(len(alphabet))]}, runes[at:]...)...)
		case 1:
			if at < len(runes) {
				runes = append(runes[:at:at], runes[at+1:]...)
			}
		case 2:
			if at < len(runes) {
				runes[at] = alphabet[g.rng.IntN(len(alphabet))]
			}
		case 3: // a piece once more
			end := min(len(runes), at+g.rng.IntN(6))
			runes = append(runes[:end:end], append(append([]rune{}, runes[at:end]...), runes[end:]...)...)
		}
	}
	return string(runes)
}
