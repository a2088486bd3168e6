package rest

import (
	"runtime"
	"strings"
	"testing"

	"sharedcloud.io/function-operator/apiserver/rest/wire"
	"sharedcloud.io/function-operator/parameters"
)

// listed decodes an array in a JSON body, and returns the stored inputs as text.
func listed(t *testing.T, list, runtime string) (asJSON, literal, problem string) {
	t.Helper()
	body, err := wire.Parse("application/json", []byte(`{"parameters":`+list+`}`))
	if err != nil {
		return "", "", err.Error()
	}
	raw, ok := body.List("parameters")
	if !ok {
		return "", "", "no list"
	}
	inputs, text, problem := listedInputs(raw, runtime)
	for _, input := range inputs {
		values := make([]string, len(input))
		for i := range input {
			values[i] = string(input[i].Raw)
		}
		asJSON += "[" + strings.Join(values, ",") + "]"
	}
	if text != nil {
		literal = *text
		if _, err := parameters.ParseLiteral(literal); err != nil {
			t.Errorf("%s: %v", literal, err)
		}
	}
	return asJSON, literal, problem
}

//security:attack tenant | An array of inputs with integers beyond 64 bits, floats with integer values, half surrogate pairs or duplicate keys. | The handler receives exactly these values, or the request is refused.
func TestAnArrayOfInputsKeepsItsNumbers(t *testing.T) {
	const arrays = "This must be an array of arrays, or the text of a Python tuple of tuples."
	for name, tc := range map[string]struct{ list, asJSON, literal, problem string }{
		"values that the Kubernetes API keeps":  {`[[1, -2.5, "a", null], [], [[1], {"b": true}]]`, `[1,-2.5,"a",null][][[1],{"b": true}]`, "", ""},
		"integers that floats cannot represent": {`[[9007199254740993, -9223372036854775808]]`, `[9007199254740993,-9223372036854775808]`, "", ""},
		"integers beyond 64 bits":               {`[[9223372036854775808], ["é"]]`, "", `((9223372036854775808,), ('é',))`, ""},
		"a long integer":                        {`[[` + strings.Repeat("9", 500) + `]]`, "", `((` + strings.Repeat("9", 500) + `,),)`, ""},
		"a float with an integer value":         {`[[1.0, 1e2, -0.0]]`, "", `((1.0, 100.0, -0.0),)`, ""},
		"a float with an exponent":              {`[[1e21, 1.5e300]]`, `[1e21,1.5e300]`, "", ""},
		"a nested float":                        {`[[{"a": [true, false, null, "x\"1.0", 1.0]}, ["b"]]]`, "", `(({'a': [True, False, None, 'x"1.0', 1.0]}, ['b']),)`, ""},
		"a number in a string":                  {`[["1.0", "\"2.0"]]`, `["1.0","\"2.0"]`, "", ""},
		"control characters and emoji":          {`[["\u0000\u202e\ud83d\ude00", 1.0]]`, "", `(('\x00\u202e😀', 1.0),)`, ""},
		"an array of numbers":                   {`[1]`, "", "", arrays},
		"an object":                             {`[{"a": 1}]`, "", "", arrays},
		"null":                                  {`[[1], null]`, "", "", "Item 1 is null: it must be an array."},
		"no inputs":                             {`[]`, "", "", "There are no inputs: use [[]] for a single call without values."},
		"a number out of range":                 {`[[1e999]]`, "", "", "JSON parse error - the number 1e999 is out of the range of floating-point numbers at byte 16"},
		"half a surrogate pair":                 {`[["\ud800"]]`, "", "", `JSON parse error - it contains half a surrogate pair (\ud800) at byte 17`},
		"a duplicate key":                       {`[[{"a":1,"a":2}]]`, "", "", `JSON parse error - the key "a" is given twice at byte 24`},
	} {
		t.Run(name, func(t *testing.T) {
			asJSON, literal, problem := listed(t, tc.list, "python311")
			if asJSON != tc.asJSON || literal != tc.literal || problem != tc.problem {
				t.Errorf("%q %q %q", asJSON, literal, problem)
			}
		})
	}
	if _, literal, _ := listed(t, `[["a", {"b": 1.0}]]`, "python27"); literal != `((u'a', {u'b': 1.0}),)` {
		t.Errorf("the literal for Python 2: %s", literal)
	}
}

func TestTheMemoryOfManyInputsIsBounded(t *testing.T) {
	for name, list := range map[string][]byte{
		"small inputs": []byte("[" + strings.Repeat("[1],", 300_000) + "[1]]"),
		"empty inputs": []byte("[" + strings.Repeat("[],", 400_000) + "[]]"),
		"one input":    []byte("[[" + strings.Repeat("1,", 600_000) + "1]]"),
		"floats":       []byte("[[" + strings.Repeat("1.0,", 300_000) + "1]]"),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			inputs, literal, _ := listedInputs(list, "python311")
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 50*uint64(len(list)) {
				t.Errorf("%d bytes were allocated for %d", used, len(list))
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if after.HeapAlloc > before.HeapAlloc && after.HeapAlloc-before.HeapAlloc > 16*uint64(len(list)) {
				t.Errorf("the heap grew by %d bytes for %d", after.HeapAlloc-before.HeapAlloc, len(list))
			}
			runtime.KeepAlive(inputs)
			runtime.KeepAlive(literal)
		})
	}
}
