package parameters

import (
	"encoding/json"
	"errors"
	"fmt"

	"sharedcloud.io/function-operator/api/strictjson"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Input is one input in the form in which it was given. Exactly one field is set.
type Input struct {
	// JSON is an array of JSON values.
	JSON json.RawMessage
	// Literal is the text of a Python tuple.
	Literal string
}

// Inputs is the list of inputs of a run.
type Inputs interface {
	// Len is the number of inputs, at least 1.
	Len() int
	// Slice returns the inputs from first to last, both inclusive. It panics if an index is out of range.
	Slice(first, last int) []Input
}

// ErrElsewhere is returned if the inputs of a run are not in its spec: spec.parametersFrom references them.
var ErrElsewhere = errors.New("the inputs are not in the spec: spec.parametersFrom references them")

// FromSpec returns the inputs in a run's spec, or ErrElsewhere if they are not there. The result shares memory with the spec,
// which must not change afterwards. An error is a sentence without a full stop that names the field and the correction.
func FromSpec(spec *v1alpha1.FunctionRunSpec) (Inputs, error) {
	inputs, err := given(spec)
	if err != nil {
		return nil, err
	}
	if inputs.Len() == 0 {
		return nil, fmt.Errorf("%s has no inputs, and a run needs at least one: use [[]] or ((),) for a single call without values", field(spec))
	}
	return inputs, nil
}

// Count returns the number of inputs of a run. Its errors are those of FromSpec.
func Count(spec *v1alpha1.FunctionRunSpec) (int, error) {
	inputs, err := FromSpec(spec)
	if err != nil {
		return 0, err
	}
	return inputs.Len(), nil
}

func given(spec *v1alpha1.FunctionRunSpec) (Inputs, error) {
	if err := oneSource(spec); err != nil {
		return nil, err
	}
	switch {
	case spec.Parameters != nil:
		return jsonInputs(spec.Parameters), checkDepth(spec.Parameters)
	case spec.ParametersLiteral != nil:
		literal, err := ParseLiteral(*spec.ParametersLiteral)
		if err != nil {
			return nil, fmt.Errorf("spec.parametersLiteral, %w", err)
		}
		return literalInputs{literal}, nil
	}
	return nil, ErrElsewhere
}

// oneSource checks that the inputs are given in exactly one form.
func oneSource(spec *v1alpha1.FunctionRunSpec) error {
	ways := 0
	for _, given := range []bool{spec.Parameters != nil, spec.ParametersLiteral != nil, spec.ParametersFrom != nil} {
		if given {
			ways++
		}
	}
	switch ways {
	case 0:
		return errors.New("none of spec.parameters, spec.parametersLiteral and spec.parametersFrom is set: set exactly one of them")
	case 1:
		return nil
	}
	return errors.New("more than one of spec.parameters, spec.parametersLiteral and spec.parametersFrom is set: set exactly one of them")
}

func field(spec *v1alpha1.FunctionRunSpec) string {
	if spec.Parameters != nil {
		return "spec.parameters"
	}
	return "spec.parametersLiteral"
}

// jsonInputs are the inputs in spec.parameters.
type jsonInputs []v1alpha1.Input

func (t jsonInputs) Len() int { return len(t) }

func (t jsonInputs) Slice(first, last int) []Input {
	inputs := make([]Input, 0, last-first+1)
	for _, values := range t[first : last+1] {
		inputs = append(inputs, Input{JSON: array(values)})
	}
	return inputs
}

// checkDepth rejects values that the decoder of a worker might not accept. The API server that stored them accepts deeper
// nesting.
func checkDepth(inputs jsonInputs) error {
	for i, values := range inputs {
		for j := range values {
			if values[j].Raw == nil {
				continue
			}
			if err := strictjson.CheckWithin(values[j].Raw, 2); err != nil {
				return fmt.Errorf("spec.parameters[%d][%d]: %w", i, j, err)
			}
		}
	}
	return nil
}

// array joins values into one JSON array. Values that passed through an API server are valid JSON.
func array(values v1alpha1.Input) json.RawMessage {
	size := 2
	for _, value := range values {
		size += len(value.Raw) + len("null,")
	}
	joined := append(make([]byte, 0, size), '[')
	for i, value := range values {
		if i > 0 {
			joined = append(joined, ',')
		}
		if value.Raw == nil { // the type decodes null to this
			joined = append(joined, "null"...)
		}
		joined = append(joined, value.Raw...)
	}
	return append(joined, ']')
}

type literalInputs struct{ literal Literal }

func (t literalInputs) Len() int { return t.literal.Len() }

func (t literalInputs) Slice(first, last int) []Input {
	inputs := make([]Input, 0, last-first+1)
	for i := first; i <= last; i++ {
		inputs = append(inputs, Input{Literal: t.literal.Tuple(i)})
	}
	return inputs
}
