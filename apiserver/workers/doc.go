// Package workers tells the work exchange what it must know of the cluster: who calls (Callers), which run that is for
// (Runs), what the inputs are (Inputs) and what became of a worker's pod (Fates), and brings it the news of pods that are
// over (Watcher). And it writes down beside the exchange how workers came to be (Births).
//
// What lives here: the translation of the core's objects into the exchange's. What must not: decisions about inputs,
// which are the exchange's, and writes to the cluster.
package workers
