// Package outcomes is the outcome store. It keeps the state of the exchange that must survive a restart: runs and their
// progress, workers and their leases, attempts, and the outcome of every input.
//
// Files:
//
//   - store.go: the interface, and the errors that users see;
//   - rows.go: the rows as values;
//   - read.go: reading all outcomes of a run, page by page; reader.go: the queries of the frontends about a run;
//   - tx.go, tx_*.go: the operations of a transaction, in SQL that both engines support;
//   - tx_live.go, tx_load.go: what executing inputs print, and what modules print while they are loaded;
//   - tx_quota.go: what rows count against the quotas of namespaces, and their sums;
//   - group.go: group commit: concurrent updates share a transaction and its sync;
//   - sqlite*.go: the default engine: one file, one server, one writer;
//   - postgres*.go: the engine for several servers: one advisory lock for each run;
//   - url.go: selects the engine;
//   - tables.go: a store as tables of rows, for reading and for writing, which package transfer exports, imports and
//     copies;
//   - migrations/: the schema, one folder for each engine;
//   - postgrestest/: a real PostgreSQL for tests.
//
// What must not be here: decisions about inputs. The exchange (package work) decides what the rows contain; this package
// stores them.
package outcomes

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/exchange/indexset"
)

// Errors of a store. They are wrapped with the operation that failed.
var (
	// ErrNotReady: the store is not open. Ready returns the reason.
	ErrNotReady = errors.New("the outcome store is not ready")
	// ErrFull: no space is left for what was to be written. The transaction was rolled back, and nothing else was lost.
	ErrFull = errors.New("the disk of the outcome store is full: increase the size of its volume or delete finished runs; no acknowledged outcome is lost")
	// ErrDamaged: the content of the file or database is not valid.
	ErrDamaged = errors.New("the outcome store is damaged: restore its volume from a backup, or empty the volume, which deletes the outcomes of all runs")
	// ErrDisk: the disk returned an error for a read or a write.
	ErrDisk = errors.New("the disk of the outcome store cannot be read or written: check the node's kernel log and the volume")
)

// ResultsDeletedError reports that the results of a run have been deleted.
type ResultsDeletedError struct{ At time.Time }

// Error implements error.
func (e *ResultsDeletedError) Error() string {
	return "the results, errors and output of the run were deleted at " + e.At.UTC().Format(time.RFC3339) +
		" because resultsTTLSecondsAfterFinished has passed"
}

// ResultsDeleted returns a ResultsDeletedError if the deletion of the run's results has started or finished, else nil.
func (r *Run) ResultsDeleted() error {
	if r.ResultsDeletedMicros == 0 {
		return nil
	}
	return &ResultsDeletedError{At: time.UnixMicro(r.ResultsDeletedMicros)}
}

// Store stores rows. Its methods are safe for concurrent use.
type Store interface {
	// Update runs fn in a read-write transaction and returns when it is synced to disk: after a nil error, the writes survive
	// a power failure. fn may be run more than once, so it must have no effects except on rows and on variables that it sets
	// on every run. An error from fn is returned unchanged and rolls back its writes. run is the run that fn writes to:
	// transactions on one run never overlap.
	Update(ctx context.Context, run types.UID, fn func(*Tx) error) error
	// View runs fn in a read-only transaction that sees one state of the store: at least that of the latest Update that has
	// returned. fn must be short.
	View(ctx context.Context, fn func(*Tx) error) error
	// Ready returns nil if the store can be used, else an error that says what it waits for.
	Ready() error
}

// Selection selects outcomes of a run.
type Selection struct {
	// First and Last are the range of indexes, both inclusive. All selects every index.
	First, Last int
	// Unsuccessful: only outcomes with a status other than Succeeded.
	Unsuccessful bool
	// Brief: without stdout and stderr.
	Brief bool
}

// All selects all outcomes from the index from.
func All(from int) Selection { return Selection{First: from, Last: indexset.MaxIndex} }
