// Package work decides which worker gets which inputs: it serves the work exchange between the API server and the workers of a run, which
// docs/exchange.md specifies. A call reports outcomes and returns the next inputs.
//
// What lives where:
//
//   - interfaces.go: what the exchange needs: runs, inputs, how pods ended, the identity of callers;
//   - run_state*.go: every decision, as pure functions of rows, a request and the time: which worker gets which input, the effect of a
//     report or of a worker's death, when the run has finished; without context, clock, store or logger
//     (run_state_storage.go: which part of an outcome the namespace's quota allows);
//   - exchange*.go: executes the decisions: transactions on the outcome store (exchange_call.go, exchange_end.go), deadlines, open
//     calls, the end of a run;
//   - stored.go, live.go: outcomes and live output as rows of the store;
//   - handler.go: HTTP; body.go: the memory and time that the body of a call may use.
//
// The types of the protocol, their decoding and their limits are in package exchange.
//
// What must not be here: informers and clients (they come in through the interfaces), SQL (package outcomes), and writes to Jobs or to
// the status of runs.
package work
