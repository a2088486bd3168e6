// Package v1alpha1 holds the custom resources of the group sharedcloud.io: Function, FunctionImage and FunctionRun.
//
// A Function is code with a runtime and an image. A FunctionImage is an entry of the catalogue of images that Functions can
// use. A FunctionRun is one call of a Function over a number of inputs.
//
// The package contains the types, their validation (markers and CEL rules), the names of conditions, reasons, labels and
// annotations that other packages use, and the decoding of stored objects (decode.go). Pure functions of one object that
// several components need are methods of its type. It imports only package printable, apimachinery,
// the core API types and the standard library.
//
// +kubebuilder:object:generate=true
// +groupName=sharedcloud.io
// +kubebuilder:ac:generate=true
// +kubebuilder:ac:output:package="applyconfiguration"
package v1alpha1
