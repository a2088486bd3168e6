package parameters

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

type reading struct {
	Accepted bool   `json:"accepted"`
	Value    string `json:"value"`
	Why      string `json:"why"`
}

// The Node runner has its own parser of literals. It accepts the same texts as Python and builds the same values.
func TestTheNodeRunnerReadsLiteralsAsPythonDoes(t *testing.T) {
	const generated, mutants = 3000, 12000
	g := &generator{rng: rand.New(rand.NewPCG(8, 2018))}
	texts := append([]string{}, corpus...)
	for range generated {
		whole := g.whole()
		texts = append(texts, whole)
		// Workers receive the text of an inner tuple.
		if literal, err := ParseLiteral(whole); err == nil && literal.Len() > 0 {
			texts = append(texts, literal.Tuple(g.rng.IntN(literal.Len())))
		}
	}
	for range mutants {
		texts = append(texts, g.mutate(texts[g.rng.IntN(len(texts))]))
	}
	python := readings(t, texts, "python3", "-I", "testdata/canonical.py")
	node := readings(t, texts, "node", "testdata/literals.js")
	accepted := 0
	for i, text := range texts {
		switch {
		case strings.Contains(text, `\N`) && !node[i].Accepted:
			// Node has no table of character names.
		case python[i].Accepted != node[i].Accepted:
			t.Errorf("%q: Python %+v, Node %+v", text, python[i], node[i])
		case python[i].Value != node[i].Value:
			t.Errorf("%q has different values:\n Python %s\n Node   %s", text, python[i].Value, node[i].Value)
		case python[i].Accepted:
			accepted++
		}
	}
	t.Logf("%d texts, %d accepted by both", len(texts), accepted)
	if accepted < generated || len(texts)-accepted < mutants/4 {
		t.Errorf("the texts are unbalanced: %d of %d accepted", accepted, len(texts))
	}
}

// readings sends all texts to one process.
func readings(t *testing.T, texts []string, name string, arguments ...string) []reading {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("this test compares with the real interpreter: install %s", name)
	}
	var input, stderr bytes.Buffer
	encoder := json.NewEncoder(&input)
	for _, text := range texts {
		if err := encoder.Encode(text); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(path, arguments...)
	cmd.Stdin, cmd.Stderr = &input, &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", path, err, stderr.String())
	}
	var all []reading
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one reading
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatalf("unexpected output of %s %q: %v", name, lines.Bytes(), err)
		}
		all = append(all, one)
	}
	if len(all) != len(texts) {
		t.Fatalf("%s gave %d answers to %d texts\n%s", name, len(all), len(texts), stderr.String())
	}
	return all
}
