// Package work decides about the inputs of runs: it serves the work exchange between the API server and the workers of a run, which
// docs/exchange.md specifies. A call brings outcomes and returns the next inputs.
//
// What lives where:
//
//   - interfaces.go: what the exchange needs from others: runs, inputs, how pods ended, who calls;
//   - ledger*.go: every decision, as pure functions of rows, a request and the time: which worker gets which input, what a report or the
//     death of a worker means, when the run has finished; without context, clock, store or logger
//     (ledger_storage.go: what the quota of the namespace leaves of an outcome);
//   - exchange*.go: carries the decisions out: transactions on the outcome store, deadlines, calls that are kept open, the end of a run;
//   - stored.go, live.go: outcomes and live output as rows of the store;
//   - handler.go: HTTP; body.go: the memory and the time that the body of a call may take.
//
// The types of the protocol, their decoding and their limits are in package exchange.
//
// What must not be here: informers and clients (they come in through the interfaces), SQL (package outcomes), and writes to Jobs or to
// the status of runs.
package work
