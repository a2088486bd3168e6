// Package wire decodes requests: paths, bodies of three content types and their fields, with the error messages of each. It is the first code
// that processes untrusted bytes; its tests run it on random input.
//
// It must not contain HTTP beyond content types, or anything about Kubernetes.
package wire
