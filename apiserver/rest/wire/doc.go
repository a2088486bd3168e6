// Package wire is what comes over the wire as values: paths, bodies of three kinds, and the fields in them, with the
// sentences that say what is wrong with each. It is the whole of what strangers' bytes meet first.
//
// What must not live here: HTTP beyond its content types, and anything that knows of Kubernetes. Its tests run it on
// random input.
package wire
