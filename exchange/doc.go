// Package exchange is the protocol between workers and the server of a run's inputs, as docs/exchange.md specifies it: what a
// call and its answer look like as JSON, how a call is decoded and checked, and the limits of both.
//
// What lives where:
//
//   - protocol.go: the types of a call and of its answer, their limits, the checks that need no knowledge of the run;
//   - loadoutput.go: what a module printed while it was loaded, as a part of an error;
//   - decode.go: decoding of a call within bounded memory;
//   - indexset/: sets of indexes, "0-3,17".
//
// Both servers use it: the API server (apiserver/work, which decides what a call means) and the plugin's local one
// (cli/localexchange). The tests of the runners in runtimes/ do not: they have a strict copy of the types of their own, so that a
// mistake here cannot hide one there.
//
// What must not be here: decisions about a run, HTTP, and imports of this project other than api.
package exchange
