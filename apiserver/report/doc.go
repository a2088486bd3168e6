// Package report carries the news between the outcome store and the custom resources: progress into the runs' status
// (Reporter), the end that a controller asks for into the exchange (also Reporter: closing a run and reporting that it is
// closed is one act), the time to live of results into the store (Reporter again, retention.go), and the deletion of runs into
// the store (Sweeper).
//
// What lives here: two loops that compare both sides and mend the difference, whatever was missed meanwhile. What must
// not: decisions about inputs, and writes to anything but status.progress.
package report
