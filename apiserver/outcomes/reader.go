package outcomes

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/exchange/indexset"
)

// Reader reads runs for the frontends. Each method reads one state of the store, and returns the zero value for a run that
// the store does not contain.
type Reader struct{ store Store }

// NewReader returns a reader of the store.
func NewReader(store Store) *Reader { return &Reader{store} }

// view reads a run in one state of the store. read is not called if the store does not contain the run.
func view[T any](ctx context.Context, store Store, run types.UID, read func(*Tx, *Run) (T, error)) (found T, err error) {
	err = store.View(ctx, func(tx *Tx) error {
		var none T
		found = none // a transaction may be run more than once
		row, err := tx.Run(run)
		if err == nil && row != nil {
			found, err = read(tx, row)
		}
		return err
	})
	return found, err
}

// Read yields outcomes of a run, see the function Read.
func (r *Reader) Read(ctx context.Context, run types.UID, selected Selection, limit int, yield func(*Outcome) bool) error {
	return Read(ctx, r.store, run, selected, limit, yield)
}

// Finished returns which of the indexes have an outcome.
func (r *Reader) Finished(ctx context.Context, run types.UID, indexes indexset.Set) (indexset.Set, error) {
	return view(ctx, r.store, run, func(tx *Tx, row *Run) (indexset.Set, error) { return tx.HaveOutcome(row.ID, indexes) })
}

// Unsuccessful returns the indexes with an outcome that is not Succeeded.
func (r *Reader) Unsuccessful(ctx context.Context, run types.UID) (indexset.Set, error) {
	const limit = 1 << 16
	all := indexset.Set{}
	for from := 0; ; {
		page, err := view(ctx, r.store, run, func(tx *Tx, row *Run) ([]int, error) { return tx.Unsuccessful(row.ID, from, limit) })
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = all.Union(indexset.Of(page...))
		from = page[len(page)-1] + 1
	}
}

// Live returns what the executing inputs have printed.
func (r *Reader) Live(ctx context.Context, run types.UID) ([]LiveOutput, error) {
	return view(ctx, r.store, run, func(tx *Tx, row *Run) ([]LiveOutput, error) { return tx.LiveOutputs(row.ID) })
}

// LoadWorkers returns the ids of the run's workers whose modules printed something while they were loaded, in the order of the
// workers' first calls.
func (r *Reader) LoadWorkers(ctx context.Context, run types.UID) ([]int64, error) {
	return view(ctx, r.store, run, func(tx *Tx, row *Run) ([]int64, error) {
		if row.ResultsDeletedMicros != 0 {
			return nil, nil
		}
		return tx.LoadWorkers(row.ID)
	})
}

// LoadOutput returns what the module of a worker printed while it was loaded, or nil.
func (r *Reader) LoadOutput(ctx context.Context, run types.UID, worker int64) (*LoadOutput, error) {
	return view(ctx, r.store, run, func(tx *Tx, row *Run) (*LoadOutput, error) {
		if row.ResultsDeletedMicros != 0 {
			return nil, nil
		}
		return tx.LoadOutput(row.ID, worker)
	})
}

// Executes reports whether a worker of the run executes an input.
func (r *Reader) Executes(ctx context.Context, run types.UID) (bool, error) {
	return view(ctx, r.store, run, func(tx *Tx, row *Run) (bool, error) {
		if row.Closed {
			return false, nil
		}
		live, err := tx.LiveWorkers(row.ID)
		for i := range live {
			if index, _ := live[i].Current(); index >= 0 {
				return true, err
			}
		}
		return false, err
	})
}

// RunState is a run in the store, with some of its workers and outcomes.
type RunState struct {
	// Run is nil if the store does not have the run: no worker has called for it yet.
	Run      *Run
	Workers  []Worker
	Outcomes []Outcome
}

// Workers returns a run with all its workers, including those that have ended.
func (r *Reader) Workers(ctx context.Context, run types.UID) (RunState, error) {
	return view(ctx, r.store, run, func(tx *Tx, row *Run) (RunState, error) {
		workers, err := tx.Workers(row.ID)
		return RunState{Run: row, Workers: workers}, err
	})
}

// Before returns a run with its outcomes below the index before, the greatest index first: at most limit, and fewer if they are
// large, but at least one if there is one.
func (r *Reader) Before(ctx context.Context, run types.UID, before, limit int) (RunState, error) {
	return view(ctx, r.store, run, func(tx *Tx, row *Run) (RunState, error) {
		page, err := tx.OutcomesBefore(row, before, limit)
		return RunState{Run: row, Outcomes: page}, err
	})
}

// At returns a run with the outcome of the index and the worker that reported it; without an outcome, with its live workers.
func (r *Reader) At(ctx context.Context, run types.UID, index int) (RunState, error) {
	return view(ctx, r.store, run, func(tx *Tx, row *Run) (RunState, error) {
		state := RunState{Run: row}
		page, err := tx.Outcomes(row, index, 1)
		if err != nil {
			return state, err
		}
		if len(page) == 1 && page[0].Index == index {
			state.Outcomes = page
			state.Workers, err = tx.WorkerByID(row.ID, page[0].WorkerID)
		} else {
			state.Workers, err = tx.LiveWorkers(row.ID)
		}
		return state, err
	})
}
