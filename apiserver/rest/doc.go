// Package rest is the face for programs that know nothing of Kubernetes: the documented Functions API, see docs/rest.md.
//
// What lives where:
//
//   - server.go: what every request goes through, from its id to its answer; routes.go: which paths and methods there are;
//   - limits.go and body.go: what one caller may take of the others' time and memory (package bodies counts it);
//   - wire/: paths and bodies as values, and what may be wrong with them; errors.go: every refusal;
//   - answer.go: JSON and streams of it; text.go: values as Python writes them; inputs.go: inputs that come as an array; signature.go: what code must define;
//   - functions.go, images.go, runs.go, jobs.go, gpus.go, token.go: a file a resource, which only translates;
//   - contract/: the OpenAPI document and the page made of it.
//
// What must not be here: how an object is found or written (package core), who calls and what he may do (package identity),
// what the store is (package outcomes).
package rest
