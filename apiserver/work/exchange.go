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
	// DefaultLease is how long a worker's lease lasts without a call.
	DefaultLease = 30 * time.Second
	// maxAnswerBytes is the approximate maximum size of the inputs in one answer. Inputs that do not fit are leased as well; the worker
	// does not list them in its next call, so they are returned.
	maxAnswerBytes = 8 << 20
)

// Options of an exchange. The zero value has the defaults.
type Options struct {
	// Lease is how long a worker's lease lasts without a call. DefaultLease.
	Lease time.Duration
	// Limits are what an outcome may hold. DefaultLimits.
	Limits exchange.Limits
	// Clock measures time. Decisions depend only on its Since, which is monotonic. The real clock.
	Clock clock.WithTicker
	// Changed is called after each commit that changes a run's Progress. It must not block.
	Changed func(run types.UID)
	// Quotas limit what the runs of a namespace may store; nil means no limits.
	Quotas *quotas.Quotas
	// Joined is called after the commit of a worker's first call. It must not block. It is not called if the server stops between
	// the two.
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
	// fillChunk is how many outcomes one transaction adds while a run is closed, so that calls are answered in between.
	fillChunk int
	// closing has an element when a run may have to be closed.
	closing chan struct{}
	// seen is what the latest checkOtherServers read. Only Run uses it.
	seen map[types.UID]waitState
}

// NewExchange returns an exchange. Leases expire only while Run runs.
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

// Call is one call of a worker: see docs/exchange.md. It returns ErrNoRun, ErrSequence, a *RequestError, or an error after which the
// worker repeats the same call. If the request allows waiting, Call waits until an input can be handed out, the time in the request
// has passed, or ctx ends.
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
	// An open call is evidence for the other servers that its worker is alive.
	var heartbeats <-chan time.Time
	for mayWait := timeout != nil; ; {
		// Subscribe before the decision, so that no event after it is missed.
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
		// The call of a worker with leased inputs is never kept open: the worker must be able to report them.
		if c.action != exchange.ActionWait || !mayWait || !c.self.Held().Empty() {
			release()
			return e.answer(ctx, run, c)
		}
		if heartbeats == nil {
			ticker := e.options.Clock.NewTicker(e.heartbeatInterval())
			defer ticker.Stop()
			heartbeats = ticker.C()
		}
		delayEnded, stop := e.after(c.nextDue())
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
		// A lease granted to a disconnected caller would be unused until its next call.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if run, err = e.runOf(ctx, worker); err != nil {
			return nil, err
		}
	}
}

// after returns a channel that receives when the time has passed, or nil, which never receives, if there is nothing to wait for.
func (e *Exchange) after(left time.Duration) (<-chan time.Time, func()) {
	if left <= 0 {
		return nil, func() {}
	}
	timer := e.options.Clock.NewTimer(left)
	return timer.C(), func() { timer.Stop() }
}

// heartbeatInterval is the maximum age of a heartbeat while its worker's call is kept open.
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

// answer builds the answer from a decision and the inputs that it hands out.
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
			// If the worker repeats this call, the answer is stop.
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

// RunChanged notes that a run's Ending or Suspended may have changed: its open calls are decided again.
func (e *Exchange) RunChanged(run types.UID) { e.events.notify(run) }

// Drain answers every open call, and keeps no call open from now on: the server is about to stop.
func (e *Exchange) Drain() { e.events.drain() }

// logger returns the logger of the context with the run.
func logger(ctx context.Context, run Run) klog.Logger {
	return klog.FromContext(ctx).WithValues("run", klog.KRef(run.Namespace, run.Name))
}
