package parameters

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// specOf decodes a spec in the form in which an API server returns it.
func specOf(t *testing.T, text string) *v1alpha1.FunctionRunSpec {
	t.Helper()
	spec := &v1alpha1.FunctionRunSpec{}
	if err := yaml.Unmarshal([]byte(text), spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestFromSpecReturnsEachInputAsWritten(t *testing.T) {
	tests := map[string]struct {
		spec        string
		first, last int
		want        []Input
	}{
		"JSON values of every kind": {
			`{parameters: [[1, "é", null, true, 1.50, {"a": [null]}], [], [[]]]}`, 0, 2,
			[]Input{{JSON: []byte(`[1,"é",null,true,1.5,{"a":[null]}]`)}, {JSON: []byte(`[]`)}, {JSON: []byte(`[[]]`)}},
		},
		"a slice in the middle": {
			`{parameters: [[0], [1], [2], [3]]}`, 1, 2,
			[]Input{{JSON: []byte(`[1]`)}, {JSON: []byte(`[2]`)}},
		},
		"one input": {`{parameters: [[0], [1]]}`, 1, 1, []Input{{JSON: []byte(`[1]`)}}},
		"a literal": {
			`{parametersLiteral: "((0,), (1, b'x'), ( 2 ,))"}`, 1, 2,
			[]Input{{Literal: "(1, b'x')"}, {Literal: "( 2 ,)"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inputs, err := FromSpec(specOf(t, tc.spec))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, inputs.Slice(tc.first, tc.last)); diff != "" {
				t.Errorf("inputs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCount(t *testing.T) {
	tests := map[string]struct {
		spec    string
		want    int
		problem string // a part of the error
	}{
		"JSON":              {spec: `{parameters: [[1], [], [2, 3]]}`, want: 3},
		"a literal":         {spec: `{parametersLiteral: "((1,), ())"}`, want: 2},
		"no JSON input":     {spec: `{parameters: []}`, problem: "spec.parameters has no inputs, and a run needs at least one"},
		"no input":          {spec: `{parametersLiteral: "()"}`, problem: "spec.parametersLiteral has no inputs, and a run needs at least one"},
		"neither":           {spec: `{}`, problem: "none of spec.parameters, spec.parametersLiteral and spec.parametersFrom is set"},
		"both":              {spec: `{parameters: [[1]], parametersLiteral: "((1,),)"}`, problem: "more than one of spec.parameters, spec.parametersLiteral and spec.parametersFrom is set"},
		"a literal's error": {spec: `{parametersLiteral: "((1,), (x,))"}`, problem: `spec.parametersLiteral, line 1, column 9: "x" is a name`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Count(specOf(t, tc.spec))
			switch {
			case tc.problem == "" && err != nil:
				t.Fatal(err)
			case tc.problem != "" && (err == nil || !strings.Contains(err.Error(), tc.problem)):
				t.Errorf("error: got %v, want one with %q", err, tc.problem)
			case got != tc.want:
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestSliceSharesNothingWithTheSpec(t *testing.T) {
	spec := &v1alpha1.FunctionRunSpec{Parameters: []v1alpha1.Input{{apiextensionsv1.JSON{Raw: []byte("1")}}}}
	inputs, err := FromSpec(spec)
	if err != nil {
		t.Fatal(err)
	}
	slice := inputs.Slice(0, 0)
	slice[0].JSON[1] = '7'
	if got := string(inputs.Slice(0, 0)[0].JSON); got != "[1]" {
		t.Errorf("writing to a copy changed the run's input to %s", got)
	}
}
