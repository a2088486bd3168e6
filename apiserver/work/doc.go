// Package work is the work exchange: the one protocol between the API server and the workers of a run, specified in
// docs/exchange.md. A call carries outcomes that are done and brings the next inputs.
//
// What lives where:
//
//   - interfaces.go: what the exchange needs to be told (runs, inputs, fates of pods, who calls);
//   - protocol.go: the wire types and their bounds; decode.go: how a call is read and counted; body.go: what it may take;
//   - ledger*.go: every decision, as pure functions of rows, a request and the time: who gets what, what a report or a
//     death means, when the run is over. No context, clock, store or logger there;
//     (ledger_storage.go: what the quota of the namespace leaves of an outcome);
//   - exchange*.go: acts on them: transactions on the outcome store, deadlines, parked calls, the end of a run;
//   - handler.go: HTTP;
//   - indexset/: sets of indexes.
//
// What must not be here: informers and clients (they come in through the interfaces), SQL (package outcomes has it), and
// anything that writes a Job or a run's status.
package work
