// Package rest is the frontend for programs that know nothing of Kubernetes: the documented Functions API, see docs/rest.md.
//
// What lives where:
//
//   - server.go: what every request passes through, from its id to its answer; routes.go: paths and methods; aggregated.go: the API group
//     behind the aggregator;
//   - limits.go and body.go: how much time and memory one caller may take (package bodies counts them);
//   - wire/: paths and bodies as values, and their errors; errors.go: every refusal; requests.go: conditions and keys of requests;
//   - answer.go: JSON and streams of JSON; text.go: values as Python writes them;
//     inputs_text.go: inputs that come as an array; signature.go: what code must define;
//   - functions.go, images.go, runs.go, run_body.go, jobs.go, gpus.go, token.go: the resources, which only translate;
//   - contract/: the OpenAPI document and the page that is made from it.
//
// What must not be here: how objects are found (package core) or written (package writes), who calls and what a caller may do
// (package identity), and transactions on the store (package outcomes has a Reader).
package rest
