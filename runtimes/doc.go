// Package runtimes is the table of languages that functions may be written in, and the programs that run them.
//
// A runtime's runner is one file of its language, embedded here and mounted beside the user's code in the worker's
// container: any image with the interpreter works. The runner is the worker's side of docs/exchange.md.
//
// Contents: the table; the runners, python/runner.py and node/runner.js, which `make generate` joins from the modules in
// node/src; unit tests of the runners' parts in their own languages; and tests that run both runners against a simulated
// exchange. The package imports neither Kubernetes nor another package of this module.
package runtimes
