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
	// deleteChunk is how many rows one transaction deletes; an outcome may have megabytes.
	deleteChunk = 1024
	// maxMessageBytes is the maximum length of the message of a Progress in bytes. The schema counts characters, of which there are no more.
	maxMessageBytes = 4096
)

// PodEnded notes that a worker's pod has ended: its container ended, or the pod was deleted or does not exist. It may be called repeatedly
// for one pod. A pod that never called counts too if its container ended by itself. A pod that is being deleted has not ended: it may
// still report.
func (e *Exchange) PodEnded(ctx context.Context, worker Worker, podExit PodExit) error {
	run, err := e.runOf(ctx, worker)
	if errors.Is(err, ErrNoRun) || errors.Is(err, ErrNotDecodable) {
		return nil // if it cannot be decoded: the lease expires when it can be decoded again
	}
	if err != nil {
		return err
	}
	return e.endLease(ctx, run, worker, podExit, podHasEnded)
}

// endPredecessors ends the leases of the pods that had the completion index of a new worker before: the Job creates a pod for an index
// only when the previous one has ended. If the cluster does not confirm that, a lease stays until it expires: the caller may be the older
// pod, whose call was delayed.
func (e *Exchange) endPredecessors(ctx context.Context, run Run, worker Worker) error {
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
		return e.storeError(err)
	}
	for _, p := range predecessors {
		podExit := e.podExits.PodExit(ctx, run.Namespace, p.PodName, p.PodUID)
		if podExit.State == PodExitRunning || podExit.State == PodExitUnknown {
			continue
		}
		predecessor := Worker{
			Namespace: run.Namespace, Run: run.Name, RunUID: run.UID, PodName: p.PodName, Node: p.Node, PodUID: p.PodUID,
			JobUID: p.JobUID, CompletionIndex: p.CompletionIndex,
		}
		if err := e.endLease(ctx, run, predecessor, podExit, podHasEnded); err != nil {
			return err
		}
	}
	return nil
}

// endLease is the transaction that ends a worker's lease.
func (e *Exchange) endLease(ctx context.Context, run Run, worker Worker, podExit PodExit, why leaseEnd) error {
	lease := leaseKey{run.UID, worker.PodUID}
	var s *runState
	var before outcomes.Run
	err := e.store.Update(ctx, run.UID, func(tx *outcomes.Tx) error {
		var err error
		if s, err = e.open(tx, run); err != nil {
			return err
		}
		before = s.row
		return e.endLeaseIn(tx, s, worker, podExit, why)
	})
	if err != nil {
		return e.storeError(err)
	}
	logger(ctx, run).V(1).Info("Worker ended", "pod", klog.KRef(worker.Namespace, worker.PodName), "exitCode", podExit.ExitCode,
		"reason", podExit.Reason, "deathsWithoutProgress", s.row.DeathsWithoutProgress, "deaths", s.row.Deaths)
	e.deadlines.forget(lease)
	e.announce(s, &before)
	return nil
}

func (e *Exchange) endLeaseIn(tx *outcomes.Tx, s *runState, worker Worker, podExit PodExit, why leaseEnd) error {
	before := s.row
	var row *outcomes.Worker
	var err error
	if s.row.ID != 0 {
		if row, err = tx.Worker(s.row.ID, worker.PodUID); err != nil {
			return err
		}
	}
	switch {
	case row == nil && s.run.JobUID != "" && worker.JobUID != s.run.JobUID:
		// The pod never called, and only its labels name the run: anyone who can create Jobs can set them.
		return nil
	case row == nil:
		if podExit.State != PodExitEnded || podExit.ExitCode == 0 || podExit.Terminating || s.row.Closed {
			return nil
		}
		// It ended before its first call. The row records that its death was counted.
		fresh := newWorker(worker, s.row.ID, s.now)
		fresh.LastMicros, fresh.State = s.now, outcomes.WorkerLapsed
		row = &fresh
	case row.State == outcomes.WorkerEnded:
		return nil
	case why == leaseExpired && (row.State != outcomes.WorkerLive || !e.deadlines.stillExpired(leaseKey{s.run.UID, worker.PodUID}, heartbeatOf(row))):
		// It has called since, possibly another server, or has left.
		return nil
	}
	if held := row.Held(); held.Len() == 1 {
		if s.attempts, err = tx.Attempts(s.row.ID, held); err != nil {
			return err
		}
	}
	after := s.endLease(*row, podExit, why)
	if after.ID == 0 {
		s.row.StoredBytes += outcomes.WorkerBytes
	}
	s.endLive(&after)
	if err := s.write(tx, &before); err != nil {
		return err
	}
	after.RunID = s.row.ID
	if err := tx.PutWorker(&after); err != nil {
		return err
	}
	return tx.InsertOutcomes(s.row.ID, s.added)
}

// Close ends a run, see "Ending a run" in docs/exchange.md: it hands out nothing more, ends every lease, and gives each index without an
// outcome one with the reason. It returns when the run is closed; after an error it must be called again. Closing a closed run changes
// nothing.
func (e *Exchange) Close(ctx context.Context, run Run, reason, message string) error {
	status := outcomes.Failed
	if reason == v1alpha1.ReasonCancelled || reason == v1alpha1.ReasonDeadlineExceeded {
		status = outcomes.Cancelled
	}
	if message == "" {
		message = "the run was ended before this input had an outcome"
	}
	var s *runState
	var before outcomes.Run
	err := e.store.Update(ctx, run.UID, func(tx *outcomes.Tx) error {
		var err error
		if s, err = e.open(tx, run); err != nil {
			return err
		}
		before = s.row
		if s.closeWhenDone(); !s.row.Closed {
			s.beginClosing(reason, status, outcomes.ErrorText{Type: reason, Message: printable.Cut(message, maxErrorMessage)})
		}
		return s.write(tx, &before)
	})
	if err != nil {
		return fmt.Errorf("beginning to close the run %s/%s: %w", run.Namespace, run.Name, e.storeError(err))
	}
	e.announce(s, &before)
	return e.fill(ctx, run.UID)
}

// fill gives the indexes without an outcome of a run that is being closed their outcomes, chunk by chunk.
func (e *Exchange) fill(ctx context.Context, run types.UID) error {
	for {
		var s *runState
		var before outcomes.Run
		err := e.store.Update(ctx, run, func(tx *outcomes.Tx) error {
			s = nil
			row, err := tx.Run(run)
			if err != nil || row == nil || row.Closing == "" || row.Closed {
				return err
			}
			before = *row
			s = &runState{row: *row, now: e.options.Clock.Now().UnixMicro()}
			return s.fillChunk(tx, e.fillChunk)
		})
		if err != nil {
			return fmt.Errorf("closing a run: %w", e.storeError(err))
		}
		if s == nil {
			return nil
		}
		e.announce(s, &before)
		if s.row.Closed {
			klog.FromContext(ctx).Info("Run closed", "run", klog.KRef(s.row.Namespace, s.row.Name), "reason", s.row.Closing,
				"withoutOutcome", s.row.Filled)
			return nil
		}
	}
}

func (s *runState) fillChunk(tx *outcomes.Tx, size int) error {
	before := s.row
	chunk := indexset.Span(s.row.FillNext, min(s.row.FillNext+size, s.row.Total)-1)
	have, err := tx.HaveOutcome(s.row.ID, chunk)
	if err != nil {
		return err
	}
	missing := chunk.Minus(have)
	for r := range missing.Ranges() {
		if err := tx.FillOutcomes(s.row.ID, r.First, r.Last, s.row.ClosingStatus, s.now); err != nil {
			return err
		}
	}
	s.filled(chunk, missing)
	return s.write(tx, &before)
}

// filled updates the run's counts after a chunk was filled.
func (s *runState) filled(chunk, missing indexset.Set) {
	s.row.FillNext += chunk.Len()
	s.row.Filled += missing.Len()
	s.row.StoredBytes += int64(missing.Len()) * outcomes.OutcomeBytes
	s.row.Count(s.row.ClosingStatus, missing.Len())
	s.unsuccessful(missing)
	s.closeWhenDone()
}

// Progress returns the progress of a run, which may not have had a call yet.
func (e *Exchange) Progress(ctx context.Context, run Run) (v1alpha1.RunProgress, error) {
	var s *runState
	err := e.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		s, err = e.open(tx, run)
		return err
	})
	if err != nil {
		return v1alpha1.RunProgress{}, err
	}
	// A run without inputs is closed from the start.
	s.closeWhenDone()
	return progressOf(&s.row), nil
}

// progressOf converts a run's row to the API's type.
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

// troubleText returns the message of a run's problem. An error that prevents loading the module is understandable only with its type; the
// other messages come from the exchange itself. kubectl prints the text, so it is one line without control characters.
func troubleText(text outcomes.ErrorText, load bool) string {
	if load {
		return printable.Cut(printable.Line("the module cannot be loaded: "+text.Type+": "+text.Message), maxMessageBytes)
	}
	return printable.Cut(printable.Line(text.Message), maxMessageBytes)
}

// RunUIDs returns the UIDs of the runs in the store.
func (e *Exchange) RunUIDs(ctx context.Context) (uids []types.UID, err error) {
	err = e.store.View(ctx, func(tx *outcomes.Tx) error {
		uids, err = tx.RunUIDs()
		return err
	})
	return uids, err
}

// DeleteResults deletes the results, errors and output of a closed run, in chunks. After the first chunk they cannot be read any more.
// An error means that some may be left.
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
				return errors.New("the run is not closed")
			case row.ResultsDeletedMicros == 0:
				if err := tx.BeginDeletingResults(row, e.options.Clock.Now().UnixMicro()); err != nil {
					return err
				}
			}
			namespace = row.Namespace
			next, err = tx.DeleteResultsSome(row, first, deleteChunk)
			return err
		})
		if err != nil {
			return fmt.Errorf("deleting the results of a run: %w", err)
		}
		first = next
	}
	return nil
}

// Forget deletes everything that the store has of a run, in chunks. An error means that some may be left.
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
			done, err = tx.DeleteSome(row, deleteChunk)
			return err
		})
		if err != nil {
			return fmt.Errorf("deleting the outcomes of a run: %w", err)
		}
	}
	e.deadlines.forgetRun(run)
	e.events.notify(run)
	return nil
}
