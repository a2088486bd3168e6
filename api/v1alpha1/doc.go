// Package v1alpha1 holds the custom resources of the group sharedcloud.io: Function, FunctionImage and FunctionRun.
//
// A Function is code with a runtime and an image; a FunctionImage is an entry of the catalogue of images that functions
// may use; a FunctionRun is one call of a function over n inputs.
//
// What lives here: the types, their validation (markers and CEL rules), the names of conditions, reasons, labels and
// annotations that other packages use, and how stored objects are decoded (decode.go). What must not: behaviour, defaults computed at run time, and any import but
// apimachinery and the core API types.
//
// +kubebuilder:object:generate=true
// +groupName=sharedcloud.io
// +kubebuilder:ac:generate=true
// +kubebuilder:ac:output:package="applyconfiguration"
package v1alpha1
