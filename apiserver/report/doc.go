// Package report keeps the outcome store and the custom resources consistent.
//
//	reporter.go   Reporter: progress from the store into the status of runs; a run that the controllers end is closed in the store
//	retention.go  results whose time to live has passed are deleted from the store
//	sweeper.go    Sweeper: runs that no longer exist are deleted from the store
//	metrics.go    metrics
//
// What lives here: loops that compare both sides and correct the difference, whatever was missed before. What must not be here: decisions
// about inputs, and writes to the cluster other than status.progress.
package report
