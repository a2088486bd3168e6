// Package workers gives the work exchange what it needs to know of the cluster: who calls (Callers), which run a call is for
// (Runs), the inputs (Inputs), how a worker's pod ended (PodExits) and which pods have ended (Watcher). It also writes to the store how
// workers started (Births).
//
// What lives here: the translation of the core's objects into the exchange's. What must not be here: decisions about inputs, which
// are the exchange's, and writes to the cluster.
package workers
