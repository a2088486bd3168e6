package work

import (
	"context"
	"errors"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/exchange"
)

// decide is the transaction of a call.
func (e *Exchange) decide(ctx context.Context, run Run, worker Worker, request *exchange.Request, podExit PodExit, podEnding bool) (*call, error) {
	lease := leaseKey{run.UID, worker.PodUID}
	var c *call
	var before outcomes.Run
	wrote := false
	err := e.store.Update(ctx, run.UID, func(tx *outcomes.Tx) error {
		wrote = false
		var err error
		if c, err = e.readCall(tx, run, worker, request); err != nil {
			return err
		}
		c.podExit, c.podEnding = podExit, podEnding
		before = c.row
		if err := c.decide(); err != nil {
			return err
		}
		if c.nothingNew() && c.known && c.elapsed < e.heartbeatInterval() {
			return nil
		}
		wrote = true
		if err := c.write(tx, &before); err != nil {
			return err
		}
		e.options.Quotas.Added(quotas.Results, run.Namespace, c.row.StoredBytes-before.StoredBytes)
		return nil
	})
	if err != nil {
		return nil, e.storeError(err)
	}
	stored := heartbeatOf(&c.self)
	if !wrote {
		stored = heartbeatOf(c.before)
	}
	e.deadlines.called(lease, c.self.State == outcomes.WorkerLive, stored, wrote)
	e.options.Quotas.Refused(quotas.Outcome, run.Namespace, c.discarded, c.discardedBytes)
	e.options.Quotas.Refused(quotas.LiveOutput, run.Namespace, c.liveDiscarded, c.liveDiscardedBytes)
	e.announce(c.runState, &before)
	if c.before == nil {
		e.options.Joined(run.UID, worker)
	}
	return c, nil
}

// readCall reads the rows that the decision about a call depends on.
func (e *Exchange) readCall(tx *outcomes.Tx, run Run, worker Worker, request *exchange.Request) (*call, error) {
	state, err := e.open(tx, run)
	if err != nil {
		return nil, err
	}
	c := &call{runState: state, request: request, limits: e.options.Limits, reported: request.Reported()}
	if state.row.ID != 0 {
		if c.before, err = tx.Worker(state.row.ID, worker.PodUID); err != nil {
			return nil, err
		}
		if c.have, err = tx.HaveOutcome(state.row.ID, c.reported); err != nil {
			return nil, err
		}
		if state.attempts, err = tx.Attempts(state.row.ID, c.reported); err != nil {
			return nil, err
		}
	}
	if c.before == nil {
		c.self = newWorker(worker, state.row.ID, state.now)
	} else {
		c.self = *c.before
		c.elapsed, c.known = e.deadlines.elapsed(leaseKey{run.UID, worker.PodUID}, heartbeatOf(c.before), state.now)
	}
	if state.row.ID != 0 && state.row.Next >= state.row.Total {
		if c.orphans, err = tx.Orphans(state.row.ID, &c.self); err != nil {
			return nil, err
		}
	}
	if !c.leasedByOthers().Empty() {
		if c.others, err = tx.LiveWorkers(state.row.ID); err != nil {
			return nil, err
		}
	}
	return c, c.measureRoom(tx, e.options.Quotas)
}

// open reads the run's row. If there is none, it prepares one that is written with the decision.
func (e *Exchange) open(tx *outcomes.Tx, run Run) (*runState, error) {
	s := &runState{run: run, now: e.options.Clock.Now().UnixMicro()}
	row, err := tx.Run(run.UID)
	if err != nil {
		return nil, err
	}
	if row == nil {
		s.row = newRow(run, s.now)
		s.row.NamespaceUID, _ = e.options.Quotas.UID(run.Namespace)
	} else {
		s.row = *row
	}
	return s, nil
}

// nothingNew reports whether a call that was kept open still gets nothing.
func (c *call) nothingNew() bool {
	return c.repeated() && c.action == exchange.ActionWait && c.self.AnswerAction == c.before.AnswerAction &&
		c.self.State == c.before.State && c.self.Held().Equal(c.before.Held())
}

// write writes what was decided about a call.
func (c *call) write(tx *outcomes.Tx, before *outcomes.Run) error {
	c.endLive(&c.self)
	for i := range c.changedOthers {
		c.endLive(&c.changedOthers[i])
	}
	if err := c.takeLive(tx); err != nil {
		return err
	}
	if err := c.takeLoad(tx); err != nil {
		return err
	}
	if c.self.ID == 0 {
		c.row.StoredBytes += outcomes.WorkerBytes
	}
	if err := c.runState.write(tx, before); err != nil {
		return err
	}
	c.self.RunID = c.row.ID
	if err := tx.PutWorker(&c.self); err != nil {
		return err
	}
	// If all leases have just ended, those of the others have ended too. These rows would restore them.
	for i := range c.changedOthers {
		if c.fenced {
			break
		}
		if err := tx.PutWorker(&c.changedOthers[i]); err != nil {
			return err
		}
	}
	if err := c.writeLive(tx); err != nil {
		return err
	}
	if err := c.writeLoad(tx); err != nil {
		return err
	}
	for i := range c.added {
		if c.added[i].WorkerID == 0 {
			c.added[i].WorkerID = c.self.ID
		}
	}
	return tx.InsertOutcomes(c.row.ID, c.added)
}

// write writes what was decided about a run, except the outcomes, which may need the row of their worker first.
func (s *runState) write(tx *outcomes.Tx, before *outcomes.Run) error {
	s.countRow(before)
	if s.fenced && s.row.ID != 0 {
		live, err := tx.DeleteLiveOutputs(s.row.ID)
		if err != nil {
			return err
		}
		s.row.StoredBytes -= live
	}
	if s.row.ID == 0 {
		if err := tx.InsertRun(&s.row); err != nil {
			return err
		}
	} else if err := tx.UpdateRun(before, &s.row); err != nil {
		return err
	}
	if s.fenced {
		if err := tx.FenceWorkers(s.row.ID); err != nil {
			return err
		}
	}
	return tx.PutAttempts(s.row.ID, s.attempted)
}

// announce notifies everything that waits for the change that was committed.
func (e *Exchange) announce(s *runState, before *outcomes.Run) {
	row := &s.row
	if s.freed {
		e.events.notify(row.UID)
	}
	if row.Closing != "" && !row.Closed {
		e.closeSoon()
	}
	was, is := progressOf(before), progressOf(row)
	// GPUSeconds grows with every call; the next change of another field reports it too.
	was.GPUSeconds = is.GPUSeconds
	if was != is {
		e.options.Changed(row.UID)
	}
}

func (e *Exchange) closeSoon() {
	select {
	case e.closing <- struct{}{}:
	default:
	}
}

// storeError notes an error of the store: workers that could not be served must not lose their leases because of it.
func (e *Exchange) storeError(err error) error {
	var request *exchange.RequestError
	if errors.Is(err, ErrSequence) || errors.As(err, &request) || errors.Is(err, context.Canceled) {
		return err
	}
	e.deadlines.outage()
	return err
}
