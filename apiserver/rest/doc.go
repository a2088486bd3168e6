// Package rest is the frontend for clients that do not use Kubernetes: the documented Functions API, see docs/rest.md.
//
//   - server.go: the steps of every request; routes.go: paths and methods; aggregated.go: the API group behind the aggregator;
//   - limits.go and body.go: the limits of a caller's requests and bodies (packages shares and bodies implement them);
//   - wire/: decoding of paths and bodies; errors.go: all error responses; requests.go: query parameters and idempotency keys;
//   - answer.go: JSON and streams of JSON; text.go: values in Python syntax; inputs_text.go: inputs that are sent as an array;
//     signature.go: the signature that code must define;
//   - functions.go, images.go, runs.go, run_body.go, jobs.go, gpus.go, token.go: the resources;
//   - contract/: the OpenAPI document and the HTML page that is generated from it.
//
// The resources only translate. The package must not contain look-ups of objects (package core), writes of objects (package writes),
// authentication and authorization (package identity), or transactions on the outcome store (package outcomes has a Reader).
package rest
