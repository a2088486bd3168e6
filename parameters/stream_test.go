package parameters

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	asJSON   = v1alpha1.FormatJSON
	asNDJSON = v1alpha1.FormatNDJSON
	asCSV    = v1alpha1.FormatCSV
	asPython = v1alpha1.FormatPython
)

// shown formats inputs for a diff.
func shown(inputs Inputs) []string {
	var all []string
	for _, input := range inputs.Slice(0, inputs.Len()-1) {
		if input.Literal != "" {
			all = append(all, input.Literal)
		} else {
			all = append(all, string(input.JSON))
		}
	}
	return all
}

func TestCollectReadsEachFormat(t *testing.T) {
	for name, tc := range map[string]struct {
		text   string
		stream Stream
		want   []string
	}{
		"an array of arrays":                       {` [[1, "a"], [] , [ {"k": [null]} ]]` + "\n", Stream{Format: asJSON}, []string{`[1,"a"]`, `[]`, `[{"k":[null]}]`}},
		"an array of values that are not arrays":   {`["a", 2.50, {"k": 1}, null]`, Stream{Format: asJSON}, []string{`["a"]`, `[2.50]`, `[{"k":1}]`, `[null]`}},
		"an integer of 40 digits stays one":        {`[[1234567890123456789012345678901234567890]]`, Stream{Format: asJSON}, []string{`[1234567890123456789012345678901234567890]`}},
		"lines":                                    {"[1]\n\n  [2, 3] \r\n\"x\"\n{\"a\": 1}", Stream{Format: asNDJSON}, []string{`[1]`, `[2,3]`, `["x"]`, `[{"a":1}]`}},
		"a byte order mark":                        {"\ufeff[1]\n", Stream{Format: asNDJSON}, []string{`[1]`}},
		"a line longer than the buffer":            {`["` + strings.Repeat("x", 200_000) + `"]` + "\n[2]\n", Stream{Format: asNDJSON}, []string{`["` + strings.Repeat("x", 200_000) + `"]`, `[2]`}},
		"rows of strings":                          {"a,1\n\"x, \"\"y\"\"\nz\",\n", Stream{Format: asCSV}, []string{`["a","1"]`, `["x, \"y\"\nz",""]`}},
		"rows of different lengths":                {"a\nb,c\n", Stream{Format: asCSV}, []string{`["a"]`, `["b","c"]`}},
		"rows under names":                         {"name,n\na,1\nb,2\n", Stream{Format: asCSV, Header: true}, []string{`[{"name":"a","n":"1"}]`, `[{"name":"b","n":"2"}]`}},
		"typed cells":                              {"1,-2.5e3,true,null,01,x,1.,inf\n", Stream{Format: asCSV, TypedCells: true}, []string{`[1,-2.5e3,true,null,"01","x","1.","inf"]`}},
		"text that HTML would escape":              {"<a>&b\n", Stream{Format: asCSV}, []string{`["<a>&b"]`}},
		"a Python tuple of tuples":                 {"((1, b'x'),\n # two\n ('y',))", Stream{Format: asPython}, []string{`(1, b'x')`, `('y',)`}},
		"no format is JSON":                        {`[[1]]`, Stream{}, []string{`[1]`}},
		"white space around a character that ends": {"[[1]]\n\n \t", Stream{Format: asJSON}, []string{`[1]`}},
	} {
		t.Run(name, func(t *testing.T) {
			for reading, reader := range map[string]io.Reader{
				"at once": strings.NewReader(tc.text), "byte by byte": iotest.OneByteReader(strings.NewReader(tc.text)),
			} {
				got, err := Collect(reader, tc.stream)
				if err != nil {
					t.Fatalf("%s: %v", reading, err)
				}
				if diff := cmp.Diff(tc.want, shown(got)); diff != "" {
					t.Errorf("read %s (-want +got):\n%s", reading, diff)
				}
			}
		})
	}
}

func TestCollectReportsErrorsWithTheirPosition(t *testing.T) {
	long := strings.Repeat("x", MaxInputBytes)
	for name, tc := range map[string]struct {
		text   string
		stream Stream
		want   string
	}{
		"nothing":                           {"", Stream{Format: asNDJSON}, "it contains no inputs"},
		"an empty array":                    {"[]", Stream{Format: asJSON}, "it contains no inputs"},
		"only a header":                     {"a,b\n", Stream{Format: asCSV, Header: true}, "it contains no inputs"},
		"an object":                         {`{"a": 1}`, Stream{Format: asJSON}, "it is not a JSON array of inputs"},
		"a text that is not JSON":           {`hello`, Stream{Format: asJSON}, "it is not a JSON array of inputs"},
		"an array that is not closed":       {`[[1],[2]`, Stream{Format: asJSON}, "unexpected end of the text"},
		"an input that is not closed":       {`[[1],[2`, Stream{Format: asJSON}, "input 1: unexpected end of the text"},
		"text after the array":              {"[[1]]\n[[2]]", Stream{Format: asJSON}, "text follows the array"},
		"a line that is not JSON":           {"[1]\n\n[2,]\n", Stream{Format: asNDJSON}, "line 3: it is not JSON"},
		"a line that is not UTF-8":          {"[1]\n[\"\xff\"]\n", Stream{Format: asNDJSON}, "line 2: it is not UTF-8"},
		"a line that is too long":           {"[1]\n[\"" + long + "\"]\n", Stream{Format: asNDJSON}, "line 2: it has more than 8388608 bytes"},
		"an element that is too long":       {`[[1],["` + long + `"]]`, Stream{Format: asJSON}, "input 1: it has more than 8388608 bytes"},
		"a row that is too long":            {"a\n" + long + "\n", Stream{Format: asCSV}, "line 2: it has more than 8388608 bytes"},
		"a quote that is not closed":        {"a\n\"b\n", Stream{Format: asCSV}, "line 2"},
		"a row with too few cells":          {"a,b\n1\n", Stream{Format: asCSV, Header: true}, "line 2: the number of cells is 1, and the number of columns in the header is 2"},
		"two columns of one name":           {"a,a\n1,2\n", Stream{Format: asCSV, Header: true}, `the header contains the column "a" twice`},
		"a row that is not UTF-8":           {"\xff\n", Stream{Format: asCSV}, "line 1: it is not UTF-8"},
		"a Python text that is not a tuple": {"[1, 2", Stream{Format: asPython}, "line 1"},
		"too deep nesting":                  {strings.Repeat("[", 20_000), Stream{Format: asJSON}, "input 0"},
		"the same on a line":                {strings.Repeat("[", 20_000) + "\n", Stream{Format: asNDJSON}, "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Collect(strings.NewReader(tc.text), tc.stream)
			var problem *FormatError
			if !errors.As(err, &problem) || !strings.Contains(problem.Message, tc.want) {
				t.Errorf("the error is %.300v, without %q", err, tc.want)
			}
		})
	}
}

func TestAConnectionErrorIsNotTheEnd(t *testing.T) {
	broken := errors.New("the connection broke")
	for name, tc := range map[string]struct {
		text   string
		format v1alpha1.ParametersFormat
	}{
		"between lines":    {"[1]\n", asNDJSON},
		"between elements": {"[[1],", asJSON},
		"between rows":     {"a\n", asCSV},
		"in a literal":     {"((1,),", asPython},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Collect(io.MultiReader(strings.NewReader(tc.text), iotest.ErrReader(broken)), Stream{Format: tc.format})
			if !errors.Is(err, broken) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// endless is an endless text that is never stored.
type endless struct {
	beginning, line string
	left            int
	rest            string
}

func (e *endless) Read(p []byte) (int, error) {
	if e.rest == "" {
		if e.left == 0 {
			return 0, io.EOF
		}
		e.left--
		e.rest, e.beginning = e.beginning+e.line, ""
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func TestAReaderHoldsOneInputAtATime(t *testing.T) {
	const lines = 32_000 // of a kilobyte: four times the memory that is allowed
	line := `["` + strings.Repeat("x", 1000) + `"]`
	for _, tc := range []struct {
		format v1alpha1.ParametersFormat
		text   *endless
		ends   bool
	}{
		{asNDJSON, &endless{line: line + "\n", left: lines}, true},
		{asJSON, &endless{beginning: "[" + line, line: "," + line, left: lines}, false},
		{asCSV, &endless{line: strings.Repeat("x", 1000) + "\n", left: lines}, true},
	} {
		t.Run(string(tc.format), func(t *testing.T) {
			reader := NewReader(tc.text, Stream{Format: tc.format})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			highest := uint64(0)
			for {
				_, err := reader.Next()
				if errors.Is(err, io.EOF) && tc.ends {
					break
				}
				if err != nil {
					if tc.ends || reader.Count() < lines {
						t.Fatal(err)
					}
					break
				}
				if reader.Count()%2_000 == 0 {
					runtime.GC()
					runtime.ReadMemStats(&after)
					highest = max(highest, after.HeapAlloc)
				}
			}
			if grown := int64(highest) - int64(before.HeapAlloc); grown > 8<<20 {
				t.Errorf("%d kB of inputs took %d bytes of memory", lines, grown)
			}
		})
	}
}

func TestFormatOf(t *testing.T) {
	for name, tc := range map[string]struct {
		key, text string
		want      v1alpha1.ParametersFormat
	}{
		"the extension of the key takes precedence": {"inputs.ndjson", "((1,),)", asNDJSON},
		"lines of JSON":                   {"a.jsonl", "", asNDJSON},
		"capitals":                        {"A.CSV", "", asCSV},
		"Python":                          {"inputs.py", "", asPython},
		"no extension, and a parenthesis": {"inputs", "\n ((1,),)", asPython},
		"no extension, and a bracket":     {"inputs", "[[1]]", asJSON},
		"another extension":               {"inputs.txt", "[[1]]", asJSON},
	} {
		t.Run(name, func(t *testing.T) {
			if got := FormatOf(tc.key, tc.text); got != tc.want {
				t.Errorf("it is %s, not %s", got, tc.want)
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, "[%d,%q]\n", i, strings.Repeat("x", 90))
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := Collect(strings.NewReader(text.String()), Stream{Format: asNDJSON}); err != nil {
			b.Fatal(err)
		}
	}
}
