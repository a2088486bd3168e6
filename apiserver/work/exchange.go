package work

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/exchange"
)

const (
	// DefaultLease is how long a worker may be silent.
	DefaultLease = 30 * time.Second
	// answerBytes is about how much of inputs an answer has at most. What does not fit is leased all the same; as the worker does
	// not list it in its next call, it goes back.
	maxAnswerBytes = 8 << 20
)

// Options of an exchange. The zero value has the defaults.
type Options struct {
	// Lease is how long a worker may be silent before what it holds goes to others. DefaultLease.
	Lease time.Duration
	// Limits are what an outcome may hold. DefaultLimits.
	Limits exchange.Limits
	// Clock is the time. Only its Since, which is monotonic, decides anything. The real clock.
	Clock clock.WithTicker
	// Changed is called after each commit that changed a run's Progress. It must not block.
	Changed func(run types.UID)
	// Quotas bound what the runs of a namespace may store; nil for no bounds.
	Quotas *quotas.Quotas
	// Joined is called after the commit of a worker's first call. It must not block. A server that ends in between never
	// calls it.
	Joined func(run types.UID, worker Worker)
}

// Exchange is the server's side of the work exchange. Its methods may be called from any goroutine.
type Exchange struct {
	store    outcomes.Store
	runs     Runs
	inputs   Inputs
	podExits PodExits
	options  Options

	deadlines *deadlines
	events    *events
	// fillChunk is how many outcomes of a closing one transaction adds: calls are answered in between.
	fillChunk int
	// closing has an element when some run's closing may have to go on.
	closing chan struct{}
	// seen is what lookAtOthers saw, which only Run calls.
	seen map[types.UID]waitState
}

// NewExchange makes an exchange. Run must be called for leases to run out.
func NewExchange(store outcomes.Store, runs Runs, inputs Inputs, podExits PodExits, options Options) *Exchange {
	if options.Lease <= 0 {
		options.Lease = DefaultLease
	}
	if options.Limits == (exchange.Limits{}) {
		options.Limits = DefaultLimits
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Changed == nil {
		options.Changed = func(types.UID) {}
	}
	if options.Joined == nil {
		options.Joined = func(types.UID, Worker) {}
	}
	return &Exchange{
		store:     store,
		runs:      runs,
		inputs:    inputs,
		podExits:  podExits,
		options:   options,
		deadlines: newDeadlines(options.Clock, options.Lease),
		events:    newEvents(),
		fillChunk: 4096,
		closing:   make(chan struct{}, 1),
	}
}

// Call is one call of a worker: docs/exchange.md. It returns ErrNoRun, ErrSequence, a *RequestError, or an error that says
// that the worker shall try the same call again. Asked to wait, it waits: until there is something to hand out, for as
// long as the request allows, or until ctx ends.
func (e *Exchange) Call(ctx context.Context, worker Worker, request *exchange.Request) (*exchange.Answer, error) {
	run, err := e.runOf(ctx, worker)
	if err != nil {
		return nil, err
	}
	lease := leaseKey{run.UID, worker.PodUID}
	known := e.deadlines.enter(lease, leaseNames{run.Namespace, run.Name, worker.PodName})
	defer e.deadlines.leave(lease)
	if !known {
		if err := e.endPredecessors(ctx, run, worker); err != nil {
			return nil, err
		}
	}
	var podExit PodExit
	podEnding := false
	if request.Leaving {
		podExit = e.podExits.PodExit(ctx, run.Namespace, worker.PodName, worker.PodUID)
	} else {
		podEnding = e.podExits.Ending(run.Namespace, worker.PodName, worker.PodUID)
	}
	var timeout <-chan time.Time
	if request.WaitSeconds > 0 {
		timer := e.options.Clock.NewTimer(time.Duration(request.WaitSeconds) * time.Second)
		defer timer.Stop()
		timeout = timer.C()
	}
	// A call that is kept open shows the other servers that its worker lives.
	var heartbeats <-chan time.Time
	for mayWait := timeout != nil; ; {
		// Before the decision, so that nothing that happens after it is missed.
		changed, release := e.events.of(run.UID)
		c, err := e.decide(ctx, run, worker, request, podExit, podEnding)
		if err != nil {
			release()
			return nil, err
		}
		if c.refused != nil {
			release()
			return nil, c.refused
		}
		// A worker that holds something must be able to report it: its call is never kept open.
		if c.action != exchange.ActionWait || !mayWait || !c.self.Held().Empty() {
			release()
			return e.answer(ctx, run, c)
		}
		if heartbeats == nil {
			ticker := e.options.Clock.NewTicker(e.heartbeatInterval())
			defer ticker.Stop()
			heartbeats = ticker.C()
		}
		delayEnded, stop := e.when(c.nextDue())
		select {
		case <-changed:
		case <-heartbeats:
		case <-delayEnded:
		case <-timeout:
			mayWait = false
		case <-e.events.drained:
			mayWait = false
		case <-ctx.Done():
		}
		stop()
		release()
		// Nothing is handed to a caller who has gone: it would lie there until his next call.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if run, err = e.runOf(ctx, worker); err != nil {
			return nil, err
		}
	}
}

// when is a channel that tells when the time is over; nil, which never tells, where there is none.
func (e *Exchange) when(left time.Duration) (<-chan time.Time, func()) {
	if left <= 0 {
		return nil, func() {}
	}
	timer := e.options.Clock.NewTimer(left)
	return timer.C(), func() { timer.Stop() }
}

// beatInterval is how old a beat may get while its worker's call is kept open.
func (e *Exchange) heartbeatInterval() time.Duration { return e.options.Lease / 3 }

func (e *Exchange) runOf(ctx context.Context, worker Worker) (Run, error) {
	run, err := e.runs.Run(ctx, worker.Namespace, worker.Run)
	if err != nil {
		return Run{}, err
	}
	if worker.RunUID != "" && worker.RunUID != run.UID {
		return Run{}, ErrNoRun
	}
	return run, nil
}

// decide is a call's transaction.
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
	says := heartbeatOf(&c.self)
	if !wrote {
		says = heartbeatOf(c.before)
	}
	e.deadlines.called(lease, c.self.State == outcomes.WorkerLive, says, wrote)
	e.options.Quotas.Refused(quotas.Outcome, run.Namespace, c.discarded, c.discardedBytes)
	e.options.Quotas.Refused(quotas.LiveOutput, run.Namespace, c.liveDiscarded, c.liveDiscardedBytes)
	e.announce(c.runState, &before)
	if c.before == nil {
		e.options.Joined(run.UID, worker)
	}
	return c, nil
}

// gather reads what a call is decided by.
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

// open reads a run's row, or makes one that is written with the rest.
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

// nothingNew: a call that was kept open and still has nothing to get.
func (c *call) nothingNew() bool {
	return c.repeated() && c.action == exchange.ActionWait && c.self.AnswerAction == c.before.AnswerAction &&
		c.self.State == c.before.State && c.self.Held().Equal(c.before.Held())
}

// write writes what a call has decided.
func (c *call) write(tx *outcomes.Tx, before *outcomes.Run) error {
	c.endLive(&c.self)
	for i := range c.changedOthers {
		c.endLive(&c.changedOthers[i])
	}
	if err := c.takeLive(tx); err != nil {
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
	// Where all leases were just ended, those of the others were too: as they are here, they would live again.
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
	for i := range c.added {
		if c.added[i].WorkerID == 0 {
			c.added[i].WorkerID = c.self.ID
		}
	}
	return tx.InsertOutcomes(c.row.ID, c.added)
}

// write writes what a ledger has decided, but the outcomes, which may need the row of their worker first.
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

// announce tells those who wait for it what was committed.
func (e *Exchange) announce(s *runState, before *outcomes.Run) {
	row := &s.row
	if s.freed {
		e.events.notify(row.UID)
	}
	if row.Closing != "" && !row.Closed {
		e.closeSoon()
	}
	was, is := progressOf(before), progressOf(row)
	// It grows with every call; the next change of anything else brings it along.
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

// unsettled takes note of an error of the store: workers that could not get through must not lose their leases for it.
func (e *Exchange) storeError(err error) error {
	var request *exchange.RequestError
	if errors.Is(err, ErrSequence) || errors.As(err, &request) || errors.Is(err, context.Canceled) {
		return err
	}
	e.deadlines.outage()
	return err
}

// answer puts a decision into words, with the inputs that it hands out.
func (e *Exchange) answer(ctx context.Context, run Run, c *call) (*exchange.Answer, error) {
	answer := &exchange.Answer{
		Action:         c.action,
		PodEnding:      c.podEnding,
		Revoked:        exchange.Indexes{Set: c.revoked},
		LeaseSeconds:   e.options.Lease.Seconds(),
		TimeoutSeconds: run.TimeoutSeconds,
		HandBackMillis: handBack(c.row.MeanMicros).Milliseconds(),
		BatchSize:      run.BatchSize,
		LiveMillis:     liveInterval(c.row.Live).Milliseconds(),
		Limits:         e.options.Limits,
	}
	size := 0
	for r := range c.handed.Ranges() {
		inputs, err := e.inputs.Inputs(ctx, run, r.First, r.Last)
		if errors.Is(err, ErrInputs) {
			// Whoever repeats this call is told to stop.
			err = errors.Join(err, e.Close(ctx, run, v1alpha1.ReasonInputsUnavailable, err.Error()))
		}
		if err != nil {
			return nil, fmt.Errorf("reading the inputs %d to %d: %w", r.First, r.Last, err)
		}
		if len(inputs) != r.Len() {
			return nil, fmt.Errorf("reading the inputs %d to %d: there are %d", r.First, r.Last, len(inputs))
		}
		for i, input := range inputs {
			if size += len(input.JSON) + len(input.Literal); size > maxAnswerBytes && len(answer.Inputs) > 0 {
				return answer, nil
			}
			answer.Inputs = append(answer.Inputs, exchange.Input{Index: r.First + i, JSON: input.JSON, Literal: input.Literal})
		}
	}
	return answer, nil
}

// RunChanged says that a run's Ending or Suspended may have changed: calls that are kept open look again.
func (e *Exchange) RunChanged(run types.UID) { e.events.notify(run) }

// Drain answers every call that is kept open and keeps none open from now on: the server is about to end.
func (e *Exchange) Drain() { e.events.drain() }

// logger is the context's, with the run.
func logger(ctx context.Context, run Run) klog.Logger {
	return klog.FromContext(ctx).WithValues("run", klog.KRef(run.Namespace, run.Name))
}
