package rest

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"sharedcloud.io/function-operator/api/strictjson"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
	"sharedcloud.io/function-operator/parameters"
)

// The Kubernetes API stores a JSON number as a 64-bit integer or a float: 12345678901234567890 and 1.0 would reach the handler as other
// numbers. Inputs with such numbers are stored as the text of a Python tuple of tuples, which keeps every number as written. The runners of
// both languages read both forms.
// listedInputs reads a validated array of arrays: as JSON, or as a literal if only that keeps its numbers.
func listedInputs(list []byte, runtime string) (inputs []v1alpha1.Input, literal *string, problem string) {
	const wanted = "This must be an array of arrays, or the text of a Python tuple of tuples."
	count, values, kept, null := 0, 0, true, -1
	err := eachInput(list, func(index int) {
		count++
		if index >= 0 {
			null = index
		}
	}, func(value []byte) {
		values++
		kept = kept && numbersKept(value)
	})
	switch {
	case err != nil:
		return nil, nil, wanted
	case null >= 0:
		return nil, nil, fmt.Sprintf("Item %d is null: it must be an array.", null)
	case count == 0:
		return nil, nil, "There are no inputs: use [[]] for a single call without values."
	case !kept:
		prefix := ""
		if strings.HasPrefix(runtime, "python2") {
			prefix = "u" // a JSON string is a unicode object in Python 2
		}
		text := inputsText(list, count, prefix)
		if len(text) > maxParameters {
			return nil, nil, wire.MessageTooLong(maxParameters)
		}
		return nil, &text, ""
	}
	// One allocation for the values of all inputs, which share the memory of the body: there may be a hundred thousand.
	all := make([]apiextensionsv1.JSON, 0, values)
	inputs = make([]v1alpha1.Input, 0, count)
	start := 0
	_ = eachInput(list, func(int) {
		inputs = append(inputs, v1alpha1.Input(all[start:len(all):len(all)]))
		start = len(all)
	}, func(value []byte) { all = append(all, apiextensionsv1.JSON{Raw: value}) })
	return inputs, nil, ""
}

var errNoInput = errors.New("an item is not an array")

// eachInput calls value for each value of each input, and input after them, with the index of an input that is null, or -1.
func eachInput(list []byte, input func(null int), value func([]byte)) error {
	decoder := strictjson.NewDecoder(list, strictjson.Options{})
	return decoder.Array(func(index int) error {
		if decoder.Null() {
			input(index)
			return nil
		}
		if decoder.Peek() != '[' {
			return errNoInput
		}
		err := decoder.Array(func(int) error {
			raw, err := decoder.Raw()
			value(raw)
			return err
		})
		input(-1)
		return err
	})
}

// numbersKept reports whether the Kubernetes API keeps all numbers of a value.
func numbersKept(value []byte) bool {
	inText := false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case !inText && (c == '-' || '0' <= c && c <= '9'):
			start := i
			for i < len(value) && strings.IndexByte("+-.0123456789eE", value[i]) >= 0 {
				i++
			}
			if !numberKept(string(value[start:i])) {
				return false
			}
			i--
		}
	}
	return true
}

// numberKept reports whether the Kubernetes API keeps a number. It stores 64-bit integers as integers and all other numbers as floats, and
// writes a float with a fraction or an exponent only if its value needs one.
func numberKept(text string) bool {
	if !strings.ContainsAny(text, ".eE") {
		_, err := strconv.ParseInt(text, 10, 64)
		return err == nil
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return false
	}
	size := math.Abs(value)
	return value != math.Trunc(value) || size >= 1e21 // larger values are written with an exponent
}

// inputsText returns the text of the equivalent Python tuple of tuples.
func inputsText(list []byte, count int, prefix string) string {
	var b strings.Builder
	b.Grow(len(list) + len(list)/2)
	b.WriteByte('(')
	decoder := strictjson.NewDecoder(list, strictjson.Options{})
	_ = decoder.Array(func(index int) error {
		raw, err := decoder.Raw()
		if index > 0 {
			b.WriteString(", ")
		}
		b.WriteString(pythonText(parameters.Input{JSON: raw}, prefix))
		return err
	})
	if count == 1 {
		b.WriteByte(',')
	}
	b.WriteByte(')')
	return b.String()
}
