// Package outcomes is the outcome store: what the exchange must not forget. Runs and how far they are, workers and what
// they hold, attempts, and the outcome of every input.
//
// What lives where:
//
//   - store.go: the interface, and the errors that a user can meet;
//   - rows.go: the rows as values;
//   - read.go: reading all outcomes of a run, page by page; reader.go: what the frontends ask about a run;
//   - tx.go, tx_*.go: what can be asked and written in a transaction, in SQL that every engine here understands;
//   - tx_quota.go: what rows count against the quotas of namespaces, and sums of that;
//   - group.go: how those who wait share a transaction and its sync;
//   - sqlite*.go: the engine that is always there: one file, one server, one writer;
//   - postgres*.go: the engine for several servers: a lock of the database for each run;
//   - url.go: which of the two;
//   - seam.go: a store as tables of rows, for reading and for writing, which package transfer exports, imports and copies;
//   - migrations/: the schema, a folder an engine;
//   - postgrestest/: a real PostgreSQL for tests.
//
// What must not be here: decisions about inputs. The exchange (package work) decides what the rows say; this package keeps them.
package outcomes

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/exchange/indexset"
)

// Errors of a store. They are wrapped with what was being done.
var (
	// ErrNotReady: the store is not open (yet); Ready says why.
	ErrNotReady = errors.New("the outcome store is not ready")
	// ErrFull: no space for what was to be written. Nothing of the transaction was kept, nothing else was lost.
	ErrFull = errors.New("the disk of the outcome store is full: make its volume larger or delete finished runs; nothing that was acknowledged is lost")
	// ErrDamaged: the file is not (any more) what it should be.
	ErrDamaged = errors.New("the outcome store is damaged: restore its volume from a backup, or empty it to start anew without the outcomes of earlier runs")
	// ErrDisk: the disk refused to read or write.
	ErrDisk = errors.New("the disk of the outcome store cannot be read or written: look at the node's kernel log and at the volume")
)

// ResultsDeletedError says that the results of a run are no longer there.
type ResultsDeletedError struct{ At time.Time }

// Error implements error.
func (e *ResultsDeletedError) Error() string {
	return "the results of the run were deleted at " + e.At.UTC().Format(time.RFC3339) + ", as resultsTTLSecondsAfterFinished says: " +
		"what its inputs returned, raised and printed is gone"
}

// ResultsDeleted is a ResultsDeletedError where the results of the run are being deleted or gone, else nil.
func (r *Run) ResultsDeleted() error {
	if r.ResultsDeletedMicros == 0 {
		return nil
	}
	return &ResultsDeletedError{At: time.UnixMicro(r.ResultsDeletedMicros)}
}

// Store keeps rows. Its methods may be called from any goroutine.
type Store interface {
	// Update runs fn in a transaction that can write, and returns when that is on disk: a nil error means that it survives
	// a power cut. fn may be run more than once, so it must have no effects but those on the rows and on variables that it
	// sets anew each time. An error from fn, returned as it is, undoes what fn wrote. The run is the one that fn
	// concerns: transactions on one run don't overlap.
	Update(ctx context.Context, run types.UID, fn func(*Tx) error) error
	// View runs fn in a transaction that cannot write and sees one state of the store throughout: the latest that any
	// Update has returned from, or a later one. It must be short.
	View(ctx context.Context, fn func(*Tx) error) error
	// Ready is nil when the store can be used, and otherwise says in a sentence what it is waiting for.
	Ready() error
}

// Selection is which outcomes of a run are wanted.
type Selection struct {
	// First and Last are the indexes between which they lie, both included. All has every index.
	First, Last int
	// Unsuccessful: only those that are not Succeeded.
	Unsuccessful bool
	// Brief: without what the inputs wrote to stdout and stderr.
	Brief bool
}

// All selects every outcome from an index on.
func All(from int) Selection { return Selection{First: from, Last: indexset.MaxIndex} }
