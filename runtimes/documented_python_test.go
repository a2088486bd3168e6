package runtimes_test

import (
	"strings"
	"testing"
)

// documentedTypes are the names that the examples of docs/functions.md use.
const documentedTypes = ownTypes + `
Point = collections.namedtuple('Point', 'x y')
class Array:
    dtype = 'float32'
    def __init__(self, values, lost=None):
        self.values, self.lost = values, lost
    def __len__(self):
        return len(self.values)
    def __getitem__(self, index):
        scalar = Scalar()
        scalar.value = self.values[index]
        return scalar
    def tolist(self):
        if self.lost:
            raise RuntimeError('the device was lost')
        return self.values
class Scalar:
    dtype = 'float32'
    def item(self):
        return self.value
class Index(list):
    names = [None]
    def tolist(self):
        return list(self)
class Series:
    iloc = True
    def __init__(self, values, index=None):
        self.values, self.index = values, Index(range(len(values)) if index is None else index)
    def __len__(self):
        return len(self.values)
    def tolist(self):
        return self.values
class Columns:
    def __init__(self, frame):
        self.frame = frame
    def __getitem__(self, place):
        return Series(list(self.frame.data.values())[place[1]])
class Frame:
    iloc, columns = property(Columns), property(lambda self: list(self.data))
    def __init__(self, data, index=None):
        self.data = data
        self.index = Series(next(iter(data.values())), index).index
    def __len__(self):
        return len(self.index)
`

// documentedRows returns the rows of the tables between two headings: their second and third cells, which are code.
func documentedRows(t *testing.T, text, from, to string) [][2]string {
	t.Helper()
	_, section, found := strings.Cut(text, from)
	section, _, ended := strings.Cut(section, to)
	if !found || !ended {
		t.Fatalf("the document has no part from %q to %q", from, to)
	}
	var rows [][2]string
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) == 3 && strings.HasPrefix(cells[1], "`") {
			rows = append(rows, [2]string{strings.Trim(cells[1], "`"), strings.Trim(strings.TrimSuffix(cells[2], " |"), "`")})
		}
	}
	return rows
}

func TestTheDocumentedResultsOfPythonAreTheRunners(t *testing.T) {
	t.Parallel()
	text := readFile(t, "../docs/functions.md")
	converted := documentedRows(t, text, "### Python\n", "These are not converted.")
	refused := documentedRows(t, text, "These are not converted.", "### Node\n")
	if len(converted) < 15 || len(refused) < 6 {
		t.Fatalf("the tables have %d and %d examples", len(converted), len(refused))
	}
	var examples []string
	for _, row := range append(append([][2]string{}, converted...), refused...) {
		examples = append(examples, row[0])
	}
	e := newExchange(t, len(examples))
	e.batch = 100
	run(t, needPython3(t), e, documentedTypes+"\nVALUES = [\n    lambda: "+strings.Join(examples, ",\n    lambda: ")+",\n]\ndef handler(event):\n    return VALUES[event[0]]()\n")
	for i, row := range converted {
		if o := e.outcome(t, i); string(o.Result) != row[1] {
			t.Errorf("%s is documented as %s and returned as %s (%+v)", row[0], row[1], o.Result, o.Error)
		}
	}
	for i, row := range refused {
		if o := e.outcome(t, len(converted)+i); o.Error == nil || o.Error.Type != "ResultNotSerializable" || !strings.Contains(o.Error.Message, row[1]) {
			t.Errorf("%s is documented to fail with %q, and is %s %s (%+v)", row[0], row[1], o.Status, o.Result, o.Error)
		}
	}
}
