package core

import (
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// NotDecodableError means that a stored object does not fit its type: the caches have only its metadata.
type NotDecodableError struct{ Kind, Name, Problem string }

func (e *NotDecodableError) Error() string {
	return fmt.Sprintf("the stored %s %s cannot be decoded (%s): correct it with kubectl, or delete it", e.Kind, e.Name, e.Problem)
}

// Decodable returns nil if the object was decoded, else a *NotDecodableError.
func Decodable(object client.Object) error {
	problem := v1alpha1.DecodeError(object)
	if problem == "" {
		return nil
	}
	kind := "object"
	switch object.(type) {
	case *v1alpha1.Function:
		kind = "Function"
	case *v1alpha1.FunctionImage:
		kind = "FunctionImage"
	case *v1alpha1.FunctionRun:
		kind = "FunctionRun"
	}
	return &NotDecodableError{Kind: kind, Name: object.GetName(), Problem: problem}
}
