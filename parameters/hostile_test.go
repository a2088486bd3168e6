package parameters

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

var everyFormat = []v1alpha1.ParametersFormat{v1alpha1.FormatJSON, v1alpha1.FormatNDJSON, v1alpha1.FormatCSV, v1alpha1.FormatPython}

//security:attack tenant | Inputs in JSON with equal keys, numbers that no float holds, half surrogate pairs or deep nesting. | They are refused in words, and nothing is altered in silence.
func TestJSONThatCannotReachTheHandlerUnchangedIsRejected(t *testing.T) {
	nested := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	for name, tc := range map[string]struct{ input, want string }{
		"a key twice":                    {`[{"a":1,"b":[],"a":2}]`, `the key "a" is given twice`},
		"a key twice by an escape":       {`[{"a":1,"\u0061":2}]`, `the key "a" is given twice`},
		"a number beyond floats":         {`[1e999]`, "the number 1e999 is out of the range of floating-point numbers"},
		"half a surrogate pair":          {`["\ud800"]`, `it contains half a surrogate pair (\ud800)`},
		"bytes that are not UTF-8":       {"[\"\xff\"]", "it is not UTF-8"},
		"65 levels":                      {nested(65), "it exceeds the maximum depth: it is nested deeper than 64 levels"},
		"ten thousand levels":            {nested(10_001), "it exceeds the maximum depth: it is nested deeper than 64 levels"},
		"as deep as allowed":             {nested(63), ""},
		"keys that differ by case":       {`[{"a":1,"A":2}]`, ""},
		"a long integer":                 {`[9007199254740993,` + strings.Repeat("9", 4000) + `]`, ""},
		"a NUL and an escape":            {`["\u0000\u00e4"]`, ""},
		"a float with an integer value":  {`[1.0,1e2,-0.0]`, ""},
		"unsorted keys":                  {`[{"b":1,"a":2}]`, ""},
		"an integer, and one as a float": {`[12345678901234567890,12345678901234567890.0]`, ""},
	} {
		for format, text := range map[v1alpha1.ParametersFormat]string{v1alpha1.FormatJSON: "[[0], " + tc.input + "]", v1alpha1.FormatNDJSON: "[0]\n" + tc.input} {
			t.Run(name+"/"+string(format), func(t *testing.T) {
				inputs, err := Collect(strings.NewReader(text), Stream{Format: format})
				if tc.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					if got := string(inputs.Slice(1, 1)[0].JSON); got != tc.input {
						t.Errorf("%.100s became %.100s", tc.input, got)
					}
					return
				}
				var wrong *FormatError
				if !errors.As(err, &wrong) || !strings.HasSuffix(wrong.Message, tc.want) || !strings.Contains(wrong.Message, map[bool]string{true: "input 1", false: "line 2"}[format == v1alpha1.FormatJSON]) {
					t.Errorf("%v, want %q", err, tc.want)
				}
			})
		}
	}
}

func TestInlineValuesHaveTheSameDepthLimit(t *testing.T) {
	for levels, fine := range map[int]bool{62: true, 63: false, 9000: false} {
		_, err := Count(specOf(t, "{parameters: [["+strings.Repeat("[", levels)+strings.Repeat("]", levels)+"]]}"))
		if (err == nil) != fine || err != nil && !strings.Contains(err.Error(), "spec.parameters[0][0]: it exceeds the maximum depth") {
			t.Errorf("%d levels: %v", levels, err)
		}
	}
}

//security:attack tenant | A row of CSV of 8 MiB of commas, or columns whose names make every row megabytes long. | Cells are counted and inputs measured while they are read.
func TestRowsOfManyCells(t *testing.T) {
	row := strings.Repeat(",", MaxCells-1)
	inputs, err := Collect(strings.NewReader("a\n"+row+"\nb\n"), Stream{Format: v1alpha1.FormatCSV})
	if err != nil || inputs.Len() != 3 {
		t.Fatalf("a row of %d cells: %v", MaxCells, err)
	}
	for name, text := range map[string]string{"one too many": "a\n" + row + ",\n", "megabytes of them": "a\n" + strings.Repeat(",", 8<<20)} {
		if _, err := Collect(strings.NewReader(text), Stream{Format: v1alpha1.FormatCSV}); err == nil || !strings.Contains(err.Error(), "more than 16384 cells") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var header strings.Builder
	for i := range 16_000 {
		fmt.Fprintf(&header, "%s%05d,", strings.Repeat("x", 514), i)
	}
	text := header.String() + "last\n" + strings.Repeat(",", 16_000) + "\n"
	if _, err := Collect(strings.NewReader(text), Stream{Format: v1alpha1.FormatCSV, Header: true}); err == nil || !strings.Contains(err.Error(), "line 2: it has more than 8388608 bytes") {
		t.Errorf("%v", err)
	}
	_, err = Collect(strings.NewReader("1,true\n1e999,x\n"), Stream{Format: v1alpha1.FormatCSV, TypedCells: true})
	if err == nil || !strings.Contains(err.Error(), "line 2: the number 1e999 is out of the range") {
		t.Errorf("%v", err)
	}
}

// heapAfter returns the growth of the heap after read has returned a value that is still referenced.
func heapAfter(read func() any) (grown, allocated uint64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	held := read()
	runtime.ReadMemStats(&after)
	allocated = after.TotalAlloc - before.TotalAlloc
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(held)
	if after.HeapAlloc < before.HeapAlloc {
		return 0, allocated
	}
	return after.HeapAlloc - before.HeapAlloc, allocated
}

//security:attack tenant with ConfigMaps | Inputs of a megabyte that are a million inputs, cells, brackets or names, in each format. | Counting and keeping them takes a small multiple of their bytes, in the manager and in the API server.
func TestInputsTakeASmallMultipleOfTheirBytes(t *testing.T) {
	const size = 1 << 19
	filled := func(begin, part, end string) string {
		return begin + strings.Repeat(part, (size-len(begin)-len(end))/len(part)) + end
	}
	var names strings.Builder
	for i := 0; names.Len() < size; i++ {
		fmt.Fprintf(&names, `"%x":1,`, i)
	}
	texts := map[v1alpha1.ParametersFormat]map[string]string{
		v1alpha1.FormatJSON: {
			"small inputs": filled("[", "[1],", "[1]]"), "numbers": filled("[", "1,", "1]"), "empty inputs": filled("[", "[],", "[]]"),
			"brackets": filled("", "[", ""), "one input of numbers": filled("[[", "1,", "1]]"), "one input of objects": filled("[[", "{},", "{}]]"),
			"names": "[[{" + names.String() + `"z":1}]]`, "white space": filled("[", " ", "]"), "a text that does not end": filled("[\"", "x", ""),
		},
		v1alpha1.FormatNDJSON: {
			"numbers": filled("", "1\n", ""), "empty inputs": filled("", "[]\n", ""), "empty lines": filled("1", "\n", ""), "brackets": filled("", "[", "\n"),
			"one input of objects": filled("[", "{},", "{}]\n"), "names": "[{" + names.String() + `"z":1}]`,
		},
		v1alpha1.FormatCSV: {
			"commas": filled("", ",", "\n"), "rows of one cell": filled("", "1\n", ""), "rows of commas": filled("", strings.Repeat(",", 16000)+"\n", ""),
			"quotes": filled("", `"`, ""), "long cells": filled("", strings.Repeat("x", size/4)+"\n", ""),
		},
		v1alpha1.FormatPython: {
			"empty inputs": filled("(", "(),", ")"), "one input of numbers": filled("((", "1,", "),)"), "nested": filled("((", "(),", "),)"),
			"brackets": filled("", "(", ""), "strings": filled("(('", "x", "',),)"), "a list": filled("[", "1,", "]"),
		},
	}
	for _, format := range everyFormat {
		if len(texts[format]) == 0 {
			t.Errorf("no hostile text for %s", format)
		}
		for name, text := range texts[format] {
			t.Run(string(format)+"/"+name, func(t *testing.T) {
				var problem error
				grown, allocated := heapAfter(func() any {
					inputs, err := Collect(strings.NewReader(text), Stream{Format: format})
					problem = err
					return inputs
				})
				if limit := 6*uint64(len(text)) + 2<<20; grown > limit {
					t.Errorf("kept: the heap grew by %d bytes for %d (%v)", grown, len(text), problem)
				}
				// The total of all allocations is an upper bound of the memory in use at any time.
				if limit := 30*uint64(len(text)) + 2<<20; allocated > limit {
					t.Errorf("kept: %d bytes were allocated for %d (%v)", allocated, len(text), problem)
				}
				grown, _ = heapAfter(func() any {
					reader := NewReader(strings.NewReader(text), Stream{Format: format})
					for {
						if _, err := reader.Next(); err != nil {
							return reader
						}
					}
				})
				if limit := 6*uint64(len(text)) + 2<<20; grown > limit {
					t.Errorf("one by one: the heap grew by %d bytes for %d", grown, len(text))
				}
			})
		}
	}
}

// Reader and Collect return the same inputs, and a JSON array is split into the same elements as encoding/json does.
func FuzzReader(f *testing.F) {
	for i, seed := range []string{`[[1], "a", {"b": [1, 2]}]`, "[1]\n\n{\"a\": 1}\n", "a,b\n1,\"x,\"\"y\"\n", "((1,), (2, 3))", `[[1],,]`, `["]", "\""]`, `[{"a":1,"a":2}]`} {
		f.Add([]byte(seed), byte(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, kind byte) {
		stream := Stream{Format: everyFormat[kind%4], Header: kind&4 != 0, TypedCells: kind&8 != 0}
		var inputs []Input
		reader := NewReader(strings.NewReader(string(data)), stream)
		var err error
		for err == nil {
			var input Input
			if input, err = reader.Next(); err == nil {
				inputs = append(inputs, input)
			}
		}
		if !errors.Is(err, io.EOF) {
			inputs = nil
		}
		collected, problem := Collect(strings.NewReader(string(data)), stream)
		if (problem == nil) != errors.Is(err, io.EOF) {
			t.Fatalf("one by one %v, at once %v", err, problem)
		}
		if problem != nil {
			return
		}
		if diff := cmp.Diff(inputs, collected.Slice(0, collected.Len()-1)); diff != "" {
			t.Fatalf("(-one by one +at once):\n%s", diff)
		}
		for _, input := range inputs {
			if input.Literal == "" && (!json.Valid(input.JSON) || input.JSON[0] != '[') {
				t.Fatalf("%q is not an input", input.JSON)
			}
		}
		var all []json.RawMessage
		if stream.Format == v1alpha1.FormatJSON && (json.Unmarshal(data, &all) != nil || len(all) != len(inputs)) && !strings.HasPrefix(string(data), "\ufeff") {
			t.Fatalf("encoding/json finds %d inputs, Reader %d", len(all), len(inputs))
		}
	})
}
