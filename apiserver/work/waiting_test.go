package work

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// openCall is a call that is kept open.
type openCall struct {
	answer *exchange.Answer
	err    error
	done   chan struct{}
	cancel context.CancelFunc
}

// keepOpen makes a call and returns when the exchange keeps it open.
func (p *pod) keepOpen(changes ...request) *openCall {
	p.c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	call := &openCall{done: make(chan struct{}), cancel: cancel}
	p.c.t.Cleanup(cancel)
	request := p.prepare(changes...)
	watchers, timers := p.c.watchers(), p.c.clock.Waiters()
	go func() {
		defer close(call.done)
		call.answer, call.err = p.sendIn(ctx, request)
	}()
	p.c.until("the call is kept open", func() bool {
		select {
		case <-call.done:
			p.c.t.Fatalf("the call was not kept open: %+v, %v", call.answer, call.err)
		default:
		}
		// It waits for its timeout and the next heartbeat.
		return p.c.watchers() > watchers && p.c.clock.Waiters() >= timers+2
	})
	return call
}

func (c *cluster) watchers() int {
	c.exchange.events.mu.Lock()
	defer c.exchange.events.mu.Unlock()
	n := 0
	for _, e := range c.exchange.events.waiting {
		n += e.watchers
	}
	return n
}

// until waits for another goroutine.
func (c *cluster) until(what string, is func() bool) {
	c.t.Helper()
	for start := time.Now(); !is(); <-time.After(time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			c.t.Fatalf("this did not happen: %s", what)
		}
	}
}

func (p *openCall) wait(t *testing.T) *exchange.Answer {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		t.Fatal("the call is still kept open")
	}
	if p.err != nil {
		t.Fatalf("the call that was kept open: %v", p.err)
	}
	return p.answer
}

func TestOpenCallIsAnsweredWhen(t *testing.T) {
	type setting struct {
		c       *cluster
		a, idle *pod
		call    *openCall
	}
	for name, tc := range map[string]struct {
		happens func(*setting)
		action  exchange.Action
		handed  string
	}{
		"an input is returned": {
			happens: func(s *setting) { s.a.call(withHeld("0"), executing(0)) }, action: exchange.ActionWork, handed: "1",
		},
		"a worker with leased inputs dies": {
			happens: func(s *setting) { s.a.end(disrupted) }, action: exchange.ActionWork, handed: "0-1",
		},
		"no input can be returned any more": {
			happens: func(s *setting) { s.a.call(done(0), executing(1)) }, action: exchange.ActionFinished,
		},
		"the run is ending": {
			happens: func(s *setting) { s.c.change(func(r *Run) { r.Ending = "Cancelled" }) }, action: exchange.ActionStop,
		},
		"the run is suspended": {
			happens: func(s *setting) { s.c.change(func(r *Run) { r.Suspended = true }) }, action: exchange.ActionStop,
		},
		"its time has passed": {
			happens: func(s *setting) { s.c.clock.Step(5 * time.Second) }, action: exchange.ActionWait,
		},
		"the server is about to stop": {
			happens: func(s *setting) { s.c.exchange.Drain() }, action: exchange.ActionWait,
		},
		"a lease expires": {
			happens: func(s *setting) {
				// Before the call's timeout.
				s.c.exchange.deadlines.mu.Lock()
				s.c.exchange.deadlines.notBefore = 0
				s.c.exchange.deadlines.leases[leaseKey{s.c.run.UID, s.a.worker.PodUID}].deadline = 0
				s.c.exchange.deadlines.mu.Unlock()
				if err := s.c.exchange.Sweep(context.Background()); err != nil {
					s.c.t.Fatal(err)
				}
			}, action: exchange.ActionWork, handed: "0-1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(r *Run) { r.Total = 2 })
			c.batchesOf(2)
			s := &setting{c: c, a: c.pod(0), idle: c.pod(1)}
			expect(t, s.a.call(want), exchange.ActionWork, "0-1")
			s.call = s.idle.keepOpen(want, waiting(5))
			tc.happens(s)
			expect(t, s.call.wait(t), tc.action, tc.handed)
			if got := c.watchers(); got != 0 {
				t.Errorf("%d calls are still open", got)
			}
		})
	}
}

func TestDisconnectedCallerGetsNoLease(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 2 })
	c.batchesOf(2)
	a, idle := c.pod(0), c.pod(1)
	a.call(want)
	call := idle.keepOpen(want, waiting(20))
	call.cancel()
	<-call.done
	if !errors.Is(call.err, context.Canceled) {
		t.Errorf("the call got %v", call.err)
	}
	a.end(disrupted)
	expect(t, c.pod(2).call(want), exchange.ActionWork, "0-1")
}

func TestOpenCallKeepsTheLease(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 1 })
	c.batchesOf(1)
	a, idle := c.pod(0), c.pod(1)
	a.call(want)
	// From another Job, so that the idle worker is not released.
	c.podExits[a.worker.PodUID] = PodExit{State: PodExitRunning}
	idle.worker.JobUID = "job-2"
	// The lease is shorter than the call is kept open.
	c.exchange.options.Lease, c.exchange.deadlines.lease, c.exchange.deadlines.notBefore = 6*time.Second, 6*time.Second, 0
	call := idle.keepOpen(want, waiting(20))
	for range 6 {
		a.call(executing(0))
		c.advance(3 * time.Second)
		if got := c.row().Live; got != 2 {
			t.Fatalf("%d workers have a lease; want 2", got)
		}
	}
	c.clock.Step(3 * time.Second)
	expect(t, call.wait(t), exchange.ActionWait, "")
}

func TestCallOfAWorkerWithLeasesIsNotKeptOpen(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 2 })
	a, b := c.pod(0), c.pod(1)
	a.call(want)
	b.call(want)
	expect(t, a.call(executing(0), want, waiting(20)), exchange.ActionWait, "")
}

// TestConcurrentWorkersExecuteEachInputOnce runs workers as goroutines, with lost answers, open calls, the sweeper and the reporter, so that
// the race detector can find data races.
func TestConcurrentWorkersExecuteEachInputOnce(t *testing.T) {
	const inputs, workers = 3000, 8
	c := newCluster(t, func(r *Run) { r.Total, r.Workers = inputs, workers })
	ctx, cancel := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { c.exchange.Run(ctx) })
	background.Go(func() {
		for ctx.Err() == nil {
			if _, err := c.exchange.Progress(ctx, c.run); err != nil && ctx.Err() == nil {
				t.Errorf("progress: %v", err)
				return
			}
			<-time.After(time.Millisecond)
		}
	})
	var executed [inputs]atomic.Int32
	var wait sync.WaitGroup
	for index := range workers {
		p := c.pod(index)
		random := rand.New(rand.NewPCG(uint64(index), 1))
		wait.Go(func() {
			if err := p.workThrough(ctx, random, func(index int) { executed[index].Add(1) }); err != nil {
				t.Errorf("worker %d: %v", index, err)
			}
		})
	}
	wait.Wait()
	cancel()
	background.Wait()
	for index := range executed {
		if got := executed[index].Load(); got != 1 {
			t.Fatalf("index %d was executed %d times", index, got)
		}
	}
	if got := c.progress(); !got.Closed || got.Succeeded != inputs {
		t.Errorf("the progress is %+v", got)
	}
}

// workThrough is a supervisor: it works until it is released.
func (p *pod) workThrough(ctx context.Context, random *rand.Rand, execute func(int)) error {
	var results []request
	for calls := 0; ; calls++ {
		if calls > 100_000 {
			return fmt.Errorf("it is never released")
		}
		request := p.prepare(append(results, want, waiting(5))...)
		if random.IntN(5) == 0 {
			// The answer is lost.
			if _, err := p.c.exchange.Call(ctx, p.worker, request); err != nil {
				return err
			}
		}
		answer, err := p.sendIn(ctx, request)
		if err != nil {
			return err
		}
		results = nil
		switch answer.Action {
		case exchange.ActionFinished:
			return nil
		case exchange.ActionStop:
			return fmt.Errorf("it got the action stop")
		}
		for _, input := range answer.Inputs {
			execute(input.Index)
			results = append(results, doneIn(input.Index, 20))
		}
		p.held = indexset.Set{}
	}
}

func doneIn(index int, micros int64) request {
	return func(r *exchange.Request) {
		o := succeeded(index)
		o.DurationMicros = micros
		r.Outcomes = append(r.Outcomes, o)
	}
}
