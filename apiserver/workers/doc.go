// Package workers gives the work exchange what it needs to know of the cluster: the identity of callers (Callers), the run of a call (Runs),
// the inputs (Inputs), how a worker's pod ended (PodExits) and which pods have ended (Watcher). It also records how workers started
// (StartupLogs).
//
// What lives here: the conversion of the core's objects into the exchange's. What must not be here: decisions about inputs, which belong
// to the exchange, and writes to the cluster.
package workers
