package work

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
)

// at makes the calls of the pod go to another server.
func (p *pod) at(server *Exchange, do func()) {
	before := p.c.exchange
	p.c.exchange = server
	defer func() { p.c.exchange = before }()
	do()
}

func TestCallsToAnyServerKeepTheLease(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 2 })
	other := c.join()
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	// Only the other server is called from now on: this one sees the heartbeat.
	for range 12 {
		c.advance(10 * time.Second)
		a.at(other, func() { a.call(executing(0)) })
		if got := c.row().Live; got != 1 {
			t.Fatalf("the lease of a worker that calls another server expired")
		}
	}
	c.advance(31 * time.Second)
	if got := c.row().Live; got != 0 {
		t.Errorf("the lease of a worker that calls no server never expired")
	}
}

func TestAnyRemainingServerExpiresALease(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 1 })
	other := c.join()
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	// The server that was called has stopped: it does not sweep.
	c.exchange, c.others = other, nil
	c.advance(61 * time.Second)
	if got := c.row().Live; got != 0 {
		t.Errorf("the lease that another server granted never expired")
	}
	expect(t, c.pod(1).call(want), exchange.ActionWork, "0")
}

// Between the read of the leases and the transaction that ends one, the worker calls another server.
func TestExpiryChecksTheHeartbeatAgain(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 1 })
	other := c.join()
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	ctx := context.Background()
	for range 12 {
		c.clock.Step(5 * time.Second)
		if err := c.exchange.observe(ctx); err != nil {
			t.Fatal(err)
		}
		c.exchange.deadlines.mu.Lock()
		c.exchange.deadlines.lastSweep = c.exchange.deadlines.now()
		c.exchange.deadlines.mu.Unlock()
	}
	due := c.exchange.deadlines.expired()
	if len(due) != 1 {
		t.Fatalf("%d leases have expired; want 1", len(due))
	}
	a.at(other, func() { a.call(executing(0)) })
	if err := c.exchange.expire(ctx, due[0], c.exchange.deadlines.names(due[0])); err != nil {
		t.Fatal(err)
	}
	if got := c.row().Live; got != 1 {
		t.Errorf("the lease of a worker that has just called another server was ended")
	}
}

func TestOpenCallKeepsTheLeaseAtOtherServers(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 1 })
	c.batchesOf(1)
	other := c.join()
	a, idle := c.pod(0), c.pod(1)
	a.call(want)
	idle.worker.JobUID = "job-2" // so that it is not released
	for _, server := range c.servers() {
		server.options.Lease, server.deadlines.lease, server.deadlines.notBefore = 6*time.Second, 6*time.Second, 0
	}
	call := idle.keepOpen(want, waiting(20))
	for range 6 {
		a.call(executing(0))
		written := func() int64 {
			var worker *outcomes.Worker
			c.view(func(tx *outcomes.Tx) (err error) {
				worker, err = tx.Worker(c.row().ID, idle.worker.PodUID)
				return err
			})
			return worker.LastMicros
		}
		before := written()
		c.clock.Step(3 * time.Second)
		c.until("the heartbeat of the open call is stored again", func() bool { return written() != before })
		if err := other.Sweep(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := c.row().Live; got != 2 {
			t.Fatalf("%d workers have a lease; want 2", got)
		}
	}
	c.clock.Step(3 * time.Second)
	expect(t, call.wait(t), exchange.ActionWait, "")
}

func TestOpenCallSeesChangesOfAnotherServer(t *testing.T) {
	for name, tc := range map[string]struct {
		happens func(c *cluster, a *pod)
		action  exchange.Action
		handed  string
	}{
		"an input is returned":              {func(_ *cluster, a *pod) { a.call(withHeld("0"), executing(0)) }, exchange.ActionWork, "1"},
		"a worker with leased inputs dies":  {func(_ *cluster, a *pod) { a.end(disrupted) }, exchange.ActionWork, "0-1"},
		"no input can be returned any more": {func(_ *cluster, a *pod) { a.call(done(0), executing(1)) }, exchange.ActionFinished, ""},
		"the run is closed": {func(c *cluster, a *pod) {
			if err := a.c.exchange.Close(context.Background(), c.run, "JobFailed", ""); err != nil {
				t.Fatal(err)
			}
		}, exchange.ActionStop, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(r *Run) { r.Total = 2 })
			c.batchesOf(2)
			here, other := c.exchange, c.join()
			a, idle := c.pod(0), c.pod(1)
			expect(t, a.call(want), exchange.ActionWork, "0-1")
			call := idle.keepOpen(want, waiting(20))
			if err := here.checkOtherServers(context.Background()); err != nil {
				t.Fatal(err)
			}
			c.until("the call is kept open again", func() bool { return c.watchers() > 0 })
			a.at(other, func() { tc.happens(c, a) })
			if err := here.checkOtherServers(context.Background()); err != nil {
				t.Fatal(err)
			}
			expect(t, call.wait(t), tc.action, tc.handed)
		})
	}
}

func TestWorkedTimeIsCountedOnceAcrossServers(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 1 })
	other := c.join()
	a := c.pod(0)
	a.call(want)
	for range 5 {
		c.clock.Step(5 * time.Second)
		a.at(other, func() { a.call(executing(0)) })
		c.clock.Step(5 * time.Second)
		a.call(executing(0))
	}
	if got := time.Duration(c.row().WorkedMicros) * time.Microsecond; got != 50*time.Second {
		t.Errorf("a worker that worked 50 s is counted with %v", got)
	}
}

func TestConcurrentClosesFillARunOnce(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 5 * fillChunk })
	other := c.join()
	errs := make(chan error)
	for _, server := range []*Exchange{c.exchange, other} {
		go func() { errs <- server.Close(context.Background(), c.run, "JobFailed", "the end") }()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Errorf("closing: %v", err)
		}
	}
	if got := c.row(); !got.Closed || got.Failed != got.Total {
		t.Errorf("the row has closed %v, %d failed of %d", got.Closed, got.Failed, got.Total)
	}
	for range 2 {
		go func() { errs <- other.Forget(context.Background(), c.run.UID) }()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Errorf("forgetting: %v", err)
		}
	}
	var uids []types.UID
	c.view(func(tx *outcomes.Tx) (err error) {
		uids, err = tx.RunUIDs()
		return err
	})
	if len(uids) != 0 {
		t.Errorf("the store still has %v", uids)
	}
}
