package work

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/exchange/indexset"
)

const (
	// forgetChunk is how many rows one transaction deletes; an outcome may have megabytes.
	forgetChunk = 1024
	// messageBytes is how long the message of a Progress may be, in bytes: no more than as many characters.
	messageBytes = 4096
)

// PodOver takes note that a worker's pod is over: its container ended, it was deleted, or it is gone. It may be called as
// often as that is seen; pods that never called count too, when they died by themselves. A pod that is only being deleted is
// not over: it may still report.
func (e *Exchange) PodOver(ctx context.Context, worker Worker, podExit PodExit) error {
	run, err := e.runOf(ctx, worker)
	if errors.Is(err, ErrNoRun) || errors.Is(err, ErrNotDecodable) {
		return nil // the lease of the latter runs out when the run can be decoded again
	}
	if err != nil {
		return err
	}
	return e.bury(ctx, run, worker, podExit, lossOver)
}

// buryPredecessors ends the leases of the pods that had the completion index of a new worker before: the Job makes a pod for
// an index only when the one before is over. A pod of which that cannot be seen keeps its lease until it runs out: the
// caller might be the older one, with a call that was long under way.
func (e *Exchange) buryPredecessors(ctx context.Context, run Run, worker Worker) error {
	var predecessors []outcomes.Worker
	err := e.store.View(ctx, func(tx *outcomes.Tx) error {
		predecessors = nil
		row, err := tx.Run(run.UID)
		if err != nil || row == nil {
			return err
		}
		if known, err := tx.Worker(row.ID, worker.PodUID); err != nil || known != nil {
			return err
		}
		predecessors, err = tx.Siblings(row.ID, worker.JobUID, worker.CompletionIndex)
		return err
	})
	if err != nil {
		return e.unsettled(err)
	}
	for _, p := range predecessors {
		podExit := e.podExits.PodExit(ctx, run.Namespace, p.PodName, p.PodUID)
		if podExit.State == PodExitRunning || podExit.State == PodExitUnknown {
			continue
		}
		over := Worker{
			Namespace: run.Namespace, Run: run.Name, RunUID: run.UID, PodName: p.PodName, Node: p.Node, PodUID: p.PodUID,
			JobUID: p.JobUID, CompletionIndex: p.CompletionIndex,
		}
		if err := e.bury(ctx, run, over, podExit, lossOver); err != nil {
			return err
		}
	}
	return nil
}

// bury is the transaction of a worker's end.
func (e *Exchange) bury(ctx context.Context, run Run, worker Worker, podExit PodExit, why loss) error {
	lease := leaseKey{run.UID, worker.PodUID}
	var l *ledger
	var before outcomes.Run
	err := e.store.Update(ctx, run.UID, func(tx *outcomes.Tx) error {
		var err error
		if l, err = e.open(tx, run); err != nil {
			return err
		}
		before = l.row
		return e.buryIn(tx, l, worker, podExit, why)
	})
	if err != nil {
		return e.unsettled(err)
	}
	logger(ctx, run).V(1).Info("Worker over", "pod", klog.KRef(worker.Namespace, worker.PodName), "exitCode", podExit.ExitCode,
		"reason", podExit.Reason, "barren", l.row.DeathsWithoutProgress, "deaths", l.row.Deaths)
	e.deadlines.forget(lease)
	e.announce(l, &before)
	return nil
}

func (e *Exchange) buryIn(tx *outcomes.Tx, l *ledger, worker Worker, podExit PodExit, why loss) error {
	before := l.row
	var row *outcomes.Worker
	var err error
	if l.row.ID != 0 {
		if row, err = tx.Worker(l.row.ID, worker.PodUID); err != nil {
			return err
		}
	}
	switch {
	case row == nil && l.run.JobUID != "" && worker.JobUID != l.run.JobUID:
		// A pod that only says that it is the run's: it never called, and whoever may make Jobs gives their pods any label.
		return nil
	case row == nil:
		if podExit.State != PodExitEnded || podExit.ExitCode == 0 || podExit.Terminating || l.row.Closed {
			return nil
		}
		// It died before its first call. The row remembers that this was counted.
		fresh := newWorker(worker, l.row.ID, l.now)
		fresh.LastMicros, fresh.State = l.now, outcomes.WorkerLapsed
		row = &fresh
	case row.State == outcomes.WorkerEnded:
		return nil
	case why == lossLapsed && (row.State != outcomes.WorkerLive || !e.deadlines.due(leaseKey{l.run.UID, worker.PodUID}, beatOf(row))):
		// It has called since, whichever server, or has left.
		return nil
	}
	if held := row.Held(); held.Len() == 1 {
		if l.attempts, err = tx.Attempts(l.row.ID, held); err != nil {
			return err
		}
	}
	after := l.bury(*row, podExit, why)
	if after.ID == 0 {
		l.row.StoredBytes += outcomes.WorkerBytes
	}
	l.endLive(&after)
	if err := l.write(tx, &before); err != nil {
		return err
	}
	after.RunID = l.row.ID
	if err := tx.PutWorker(&after); err != nil {
		return err
	}
	return tx.InsertOutcomes(l.row.ID, l.added)
}

// Close ends a run, see "Ending a run" in docs/exchange.md: it stops hand-outs, takes every lease back, and gives
// each index without an outcome the one that says why. It returns when the run is closed; an error means that it must be
// called again. A run that is closed stays as it is.
func (e *Exchange) Close(ctx context.Context, run Run, reason, message string) error {
	status := outcomes.Failed
	if reason == v1alpha1.ReasonCancelled || reason == v1alpha1.ReasonDeadlineExceeded {
		status = outcomes.Cancelled
	}
	if message == "" {
		message = "the run was ended before this input had an outcome"
	}
	var l *ledger
	var before outcomes.Run
	err := e.store.Update(ctx, run.UID, func(tx *outcomes.Tx) error {
		var err error
		if l, err = e.open(tx, run); err != nil {
			return err
		}
		before = l.row
		if l.settle(); !l.row.Closed {
			l.beginClosing(reason, status, outcomes.ErrorText{Type: reason, Message: cutText(message, maxErrorMessage)})
		}
		return l.write(tx, &before)
	})
	if err != nil {
		return fmt.Errorf("beginning to close the run %s/%s: %w", run.Namespace, run.Name, e.unsettled(err))
	}
	e.announce(l, &before)
	return e.fill(ctx, run.UID)
}

// fill gives the indexes of a run that is being closed their outcomes, chunk by chunk.
func (e *Exchange) fill(ctx context.Context, run types.UID) error {
	for {
		var l *ledger
		var before outcomes.Run
		err := e.store.Update(ctx, run, func(tx *outcomes.Tx) error {
			l = nil
			row, err := tx.Run(run)
			if err != nil || row == nil || row.Closing == "" || row.Closed {
				return err
			}
			before = *row
			l = &ledger{row: *row, now: e.options.Clock.Now().UnixMicro()}
			return l.fillChunk(tx, e.fillChunk)
		})
		if err != nil {
			return fmt.Errorf("closing a run: %w", e.unsettled(err))
		}
		if l == nil {
			return nil
		}
		e.announce(l, &before)
		if l.row.Closed {
			klog.FromContext(ctx).Info("Run closed", "run", klog.KRef(l.row.Namespace, l.row.Name), "reason", l.row.Closing,
				"withoutOutcome", l.row.Filled)
			return nil
		}
	}
}

func (l *ledger) fillChunk(tx *outcomes.Tx, size int) error {
	before := l.row
	chunk := indexset.Span(l.row.FillNext, min(l.row.FillNext+size, l.row.Total)-1)
	have, err := tx.HaveOutcome(l.row.ID, chunk)
	if err != nil {
		return err
	}
	missing := chunk.Minus(have)
	for r := range missing.Ranges() {
		if err := tx.FillOutcomes(l.row.ID, r.First, r.Last, l.row.ClosingStatus, l.now); err != nil {
			return err
		}
	}
	l.filled(chunk, missing)
	return l.write(tx, &before)
}

// filled takes note of a chunk of a closing.
func (l *ledger) filled(chunk, missing indexset.Set) {
	l.row.FillNext += chunk.Len()
	l.row.Filled += missing.Len()
	l.row.StoredBytes += int64(missing.Len()) * outcomes.OutcomeBytes
	l.row.Count(l.row.ClosingStatus, missing.Len())
	l.unsuccessful(missing)
	l.settle()
}

// Progress tells how far a run is, whether or not a worker has called for it yet.
func (e *Exchange) Progress(ctx context.Context, run Run) (v1alpha1.RunProgress, error) {
	var l *ledger
	err := e.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		l, err = e.open(tx, run)
		return err
	})
	if err != nil {
		return v1alpha1.RunProgress{}, err
	}
	// A run without inputs is closed before it began.
	l.settle()
	return progressOf(&l.row), nil
}

// progressOf is what a run's row says, in the API's terms.
func progressOf(row *outcomes.Run) v1alpha1.RunProgress {
	progress := v1alpha1.RunProgress{
		Total:         int32(row.Total),
		Pending:       int32(row.Total - row.Done() - row.Busy),
		Running:       int32(row.Busy),
		Succeeded:     int32(row.Succeeded),
		Failed:        int32(row.Failed),
		TimedOut:      int32(row.TimedOut),
		Cancelled:     int32(row.Cancelled),
		FailedIndexes: row.Unsuccessful.String(),
		GPUSeconds:    row.WorkedMicros * int64(row.GPUs) / 1e6,
		Workers:       int32(row.Live),
		Closed:        row.Closed,
	}
	if row.UnsuccessfulCut >= 0 {
		progress.FailedIndexes += ",…"
	}
	switch {
	case row.Closing != "" && row.Filled > 0:
		progress.Message = troubleText(row.ClosingError, row.Closing == v1alpha1.ReasonModuleNotLoaded)
		progress.Reason = row.Closing
	case row.Deaths > 0 && !row.Closed:
		progress.Message = troubleText(row.Trouble, row.TroubleLoad)
	}
	return progress
}

// troubleText says what is wrong in one sentence. An exception that keeps a module from being loaded needs its type to be
// understood; the other errors are sentences of the exchange itself. kubectl prints it: it is one line, without control characters.
func troubleText(text outcomes.ErrorText, load bool) string {
	if load {
		return cutText(printable.Line("the module cannot be loaded: "+text.Type+": "+text.Message), messageBytes)
	}
	return cutText(printable.Line(text.Message), messageBytes)
}

// RunUIDs lists the runs that the store has something of.
func (e *Exchange) RunUIDs(ctx context.Context) (uids []types.UID, err error) {
	err = e.store.View(ctx, func(tx *outcomes.Tx) error {
		uids, err = tx.RunUIDs()
		return err
	})
	return uids, err
}

// DeleteResults deletes what the inputs of a run that is closed returned, raised and printed, in pieces. From its first step
// on nobody reads them. An error means that some may be left.
func (e *Exchange) DeleteResults(ctx context.Context, run types.UID) error {
	namespace := ""
	defer func() { e.options.Quotas.Freed(quotas.Results, namespace) }()
	for first := 0; first >= 0; {
		next := -1
		err := e.store.Update(ctx, run, func(tx *outcomes.Tx) error {
			next = -1
			row, err := tx.Run(run)
			switch {
			case err != nil || row == nil:
				return err
			case !row.Closed:
				return errors.New("it goes on")
			case row.ResultsDeletedMicros == 0:
				if err := tx.BeginDeletingResults(row, e.options.Clock.Now().UnixMicro()); err != nil {
					return err
				}
			}
			namespace = row.Namespace
			next, err = tx.DeleteResultsSome(row, first, forgetChunk)
			return err
		})
		if err != nil {
			return fmt.Errorf("deleting the results of a run: %w", err)
		}
		first = next
	}
	return nil
}

// Forget deletes all that the store has of a run, in pieces. An error means that some may be left.
func (e *Exchange) Forget(ctx context.Context, run types.UID) error {
	namespace := ""
	defer func() { e.options.Quotas.Freed(quotas.Results, namespace) }()
	for done := false; !done; {
		err := e.store.Update(ctx, run, func(tx *outcomes.Tx) error {
			row, err := tx.Run(run)
			if err != nil || row == nil {
				done = err == nil
				return err
			}
			namespace = row.Namespace
			done, err = tx.DeleteSome(row, forgetChunk)
			return err
		})
		if err != nil {
			return fmt.Errorf("deleting the outcomes of a run: %w", err)
		}
	}
	e.deadlines.forgetRun(run)
	e.events.happened(run)
	return nil
}
