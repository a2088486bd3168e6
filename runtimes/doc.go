// Package runtimes is the table of languages that functions may be written in, and the programs that run them.
//
// A runtime's runner is one file of its language, embedded here and mounted beside the user's code in the worker's
// container: any image with the interpreter works. The runner is the worker's side of docs/exchange.md.
//
// What lives here: the table, the runners (python/, node/), and the tests that drive the runners through a fake exchange. What
// must not: Kubernetes, and any other package of ours.
package runtimes
