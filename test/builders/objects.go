package builders

import (
	"encoding/json"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Function is a Python function as a client creates it.
func Function(namespace, name string, change ...func(*v1alpha1.Function)) *v1alpha1.Function {
	return changed(&v1alpha1.Function{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       v1alpha1.FunctionSpec{Runtime: "python311", Image: "python", Code: ptr.To("def handler(event):\n    return event\n")},
	}, change)
}

// Image is an image with Python as a client creates it.
func Image(namespace, name string, change ...func(*v1alpha1.FunctionImage)) *v1alpha1.FunctionImage {
	return changed(&v1alpha1.FunctionImage{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       v1alpha1.FunctionImageSpec{RegistryPath: "sharedcloud/python:latest", Runtime: "python311"},
	}, change)
}

// Run is a run of the Function over the inputs as a client creates it. A name that ends in a hyphen is a generateName.
func Run(namespace, name, function string, inputs []v1alpha1.Input, change ...func(*v1alpha1.FunctionRun)) *v1alpha1.FunctionRun {
	run := &v1alpha1.FunctionRun{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       v1alpha1.FunctionRunSpec{FunctionRef: v1alpha1.FunctionReference{Name: function}, Parameters: inputs},
	}
	if last := len(name) - 1; last >= 0 && name[last] == '-' {
		run.Name, run.GenerateName = "", name
	}
	return changed(run, change)
}

// Inputs are n inputs of one value each. It panics if JSON cannot represent a value.
func Inputs[T any](n int, value func(index int) T) []v1alpha1.Input {
	inputs := make([]v1alpha1.Input, n)
	for i := range inputs {
		raw, err := json.Marshal(value(i))
		if err != nil {
			panic(err)
		}
		inputs[i] = v1alpha1.Input{apiextensionsv1.JSON{Raw: raw}}
	}
	return inputs
}

// Index is the value of an input that is its own index.
func Index(index int) int { return index }

func changed[T any](object *T, change []func(*T)) *T {
	for _, f := range change {
		f(object)
	}
	return object
}
