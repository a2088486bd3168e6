package work

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
)

// The tests TestGuarantee… verify the sentences of docs/exchange.md, "Guarantees", by their numbers.

func TestGuarantee1IndexIsLeasedToOneWorkerAndLeasesSurviveACrash(t *testing.T) {
	c := newCluster(t, nil)
	c.batchesOf(4)
	a, b := c.pod(0), c.pod(1)
	expect(t, a.call(want), exchange.ActionWork, "0-3")
	expect(t, b.call(want), exchange.ActionWork, "4-7")

	c.restart()
	if got := a.call().Revoked; !got.Empty() {
		t.Errorf("the restart revoked %q", got)
	}
	d := c.pod(2)
	expect(t, d.call(want), exchange.ActionWork, "8-9")
	expect(t, c.pod(3).call(want), exchange.ActionWait, "")
}

func TestGuarantee2FirstOutcomeWinsAndRepeatsChangeNothing(t *testing.T) {
	c := newCluster(t, nil)
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	a.call(done(0))
	first := c.outcomes()[0]

	a.call(raised(0))
	b := c.pod(1)
	b.call(func(r *exchange.Request) {
		o := succeeded(0)
		o.Result = []byte(`"another"`)
		r.Outcomes = append(r.Outcomes, o)
	})
	if diff := cmp.Diff(first, c.outcomes()[0]); diff != "" {
		t.Errorf("a repeat changed the outcome (-first +now):\n%s", diff)
	}
	if got := c.progress().Succeeded; got != 1 {
		t.Errorf("%d are counted as succeeded; want 1", got)
	}
}

func TestGuarantee3InputIsDoneOnlyWhenItsOutcomeIsCommitted(t *testing.T) {
	c := newCluster(t, nil)
	a := c.pod(0)
	a.call(want)
	report := a.prepare(done(0), want)
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	if answer, err := a.send(report); err == nil {
		t.Fatalf("a report that could not be stored was acknowledged with %+v", answer)
	}
	c.start()
	if got := c.outcomes(); len(got) != 0 {
		t.Fatalf("there are outcomes without a report: %v", got)
	}
	if _, err := a.send(report); err != nil {
		t.Fatalf("the repeated report: %v", err)
	}
	if _, ok := c.outcomes()[0]; !ok {
		t.Errorf("an acknowledged outcome is not in the store")
	}
}

func TestGuarantee3FinishedOnlyWhenEverythingIsAcknowledged(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.Workers = 2, 1 })
	c.batchesOf(2)
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0-1")
	expect(t, a.call(done(0), want), exchange.ActionWait, "")
	expect(t, a.call(done(1), want), exchange.ActionFinished, "")
}

func TestGuarantee4SameSequenceGetsTheSameAnswer(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Retries = 1 })
	c.batchesOf(3)
	a := c.pod(0)
	a.lost(want)
	first, err := a.send(a.last)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, first, exchange.ActionWork, "0-2")

	// The report of a failure with an attempt left must not be counted twice.
	a.lost(raised(0), want)
	second, err := a.send(a.last)
	if err != nil {
		t.Fatal(err)
	}
	third, err := a.send(a.last)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(second.Inputs, third.Inputs); diff != "" {
		t.Errorf("the same call got another answer (-first +then):\n%s", diff)
	}
	if got := c.outcomes(); len(got) != 0 {
		t.Errorf("a repeated report of one failure used up the retry: %v", got)
	}
	c.restart()
	fourth, err := a.send(a.last)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(second.Inputs, fourth.Inputs); diff != "" {
		t.Errorf("after a restart the same call got another answer (-first +then):\n%s", diff)
	}
}

func TestGuarantee4OlderSequenceIsRejected(t *testing.T) {
	c := newCluster(t, nil)
	a := c.pod(0)
	old := a.prepare(want)
	a.call(want)
	a.call()
	if _, err := c.exchange.Call(context.Background(), a.worker, old); !errors.Is(err, ErrSequence) {
		t.Errorf("an older call got the error %v; want ErrSequence", err)
	}
}

func TestGuarantee4UnlistedInputsAreReturnedWithoutACharge(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 4 })
	c.batchesOf(4)
	a, b := c.pod(0), c.pod(1)
	expect(t, a.call(want), exchange.ActionWork, "0-3")
	a.call(withHeld("0"))
	expect(t, b.call(want), exchange.ActionWork, "1-3")
	if got := a.call(withHeld("0-3")).Revoked.String(); got != "1-3" {
		t.Errorf("%q of the returned inputs is revoked; want 1-3", got)
	}
	b.call(done(1, 2, 3))
	for index, o := range c.outcomes() {
		if o.Attempts != 1 {
			t.Errorf("index %d has %d attempts; want 1", index, o.Attempts)
		}
	}
}

func TestGuarantee5InputsOfALostWorkerGoToOthers(t *testing.T) {
	for name, vanish := range map[string]func(*cluster, *pod){
		"its completion index came back as another pod": func(c *cluster, a *pod) {
			c.podExits[a.worker.PodUID] = disrupted
			c.pod(a.worker.CompletionIndex).call()
		},
		"its pod has ended":   func(_ *cluster, a *pod) { a.end(disrupted) },
		"its lease expired":   func(c *cluster, _ *pod) { c.advance(31 * time.Second) },
		"its pod is gone":     func(_ *cluster, a *pod) { a.end(PodExit{State: PodExitGone}) },
		"it ended with 0":     func(_ *cluster, a *pod) { a.end(completed) },
		"its exit is unknown": func(c *cluster, a *pod) { c.podExits[a.worker.PodUID] = PodExit{}; c.advance(31 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(r *Run) { r.Total = 2 })
			c.batchesOf(2)
			a := c.pod(0)
			expect(t, a.call(want), exchange.ActionWork, "0-1")
			// No lease expires within one lease period after the server's start.
			c.advance(29 * time.Second)
			a.call()
			c.advance(29 * time.Second)
			if got := c.progress().Workers; got != 1 {
				t.Fatalf("a worker that called in time has lost its lease")
			}
			vanish(c, a)
			b := c.pod(1)
			got := handedOut(b.call(want))
			if c.row().Suspects.Len() > 0 {
				got = got.Union(handedOut(b.call(done(got.Min()), want)))
			}
			if got.String() != "0-1" {
				t.Errorf("another worker got %q; want 0-1", got)
			}
			if got := c.row().Deaths; got != 0 {
				t.Errorf("%d deaths are counted", got)
			}
		})
	}
}

func TestGuarantee5DeadlinesAreExtendedAfterAnOutage(t *testing.T) {
	for name, tc := range map[string]struct {
		outage  func(*cluster)
		minutes time.Duration
	}{
		"a server that was stopped for an hour": {outage: func(c *cluster) {
			if err := c.store.Close(); err != nil {
				c.t.Fatal(err)
			}
			c.clock.Step(time.Hour)
			c.start()
		}},
		"a process that was suspended for an hour": {outage: func(c *cluster) { c.clock.Step(time.Hour) }},
		"a store that was unavailable for an hour": {outage: func(c *cluster) {
			if err := c.store.Close(); err != nil {
				c.t.Fatal(err)
			}
			other := c.pod(1)
			for range 120 {
				c.clock.Step(30 * time.Second / sweepsPerLease)
				if _, err := other.send(other.prepare()); err == nil {
					c.t.Fatal("a call was answered without a store")
				}
				// The sweeper continues, so that it does not detect a suspended process.
				_ = c.exchange.Sweep(context.Background())
			}
			if err := c.store.Open(context.Background()); err != nil {
				c.t.Fatal(err)
			}
		}},
		"a clock stepped forward by a day":  {outage: func(c *cluster) { c.clock.stepWall(24 * time.Hour) }},
		"a clock stepped backward by a day": {outage: func(c *cluster) { c.clock.stepWall(-24 * time.Hour) }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, nil)
			a := c.pod(0)
			expect(t, a.call(want), exchange.ActionWork, "0")
			c.advance(20 * time.Second)
			a.call()
			tc.outage(c)
			c.advance(29 * time.Second)
			if got := c.row().Live; got != 1 {
				t.Fatalf("the lease expired within one period after the outage")
			}
			c.advance(31 * time.Second)
			if got := c.row().Live; got != 0 {
				t.Errorf("the lease never expired afterwards")
			}
		})
	}
}

func TestGuarantee5HandlerContinuesAfterAnOutage(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 3 })
	c.batchesOf(3)
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0-2")
	a.call(executing(0))
	c.advance(time.Minute)
	if got := c.row().Live; got != 0 {
		t.Fatalf("the lease did not expire")
	}
	if got := a.call(executing(0)).Revoked; !got.Empty() {
		t.Errorf("%q is revoked although no other worker has leased it", got)
	}
	expect(t, c.pod(1).call(want), exchange.ActionWait, "")

	c.advance(time.Minute)
	c.batchesOf(2)
	expect(t, c.pod(2).call(want), exchange.ActionWork, "0-1")
	if got := a.call(executing(0)).Revoked.String(); got != "0-1" {
		t.Errorf("%q is revoked; want 0-1, which another worker has leased", got)
	}
	expect(t, c.pod(3).call(want), exchange.ActionWait, "")
}

func TestGuarantee5LateReportIsAcceptedAndRevokesTheOtherLease(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.Retries = 2, 1 })
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	c.advance(time.Minute)
	b := c.pod(1)
	expect(t, b.call(want), exchange.ActionWork, "0")

	a.call(done(0))
	if got := c.outcomes()[0]; got.PodName != a.worker.PodName {
		t.Fatalf("the late report was not accepted: the outcome is of %q", got.PodName)
	}
	if got := b.call(executing(0)).Revoked.String(); got != "0" {
		t.Errorf("%q is revoked from the other worker; want 0", got)
	}
	b.call(raised(0))
	if got := c.outcomes()[0].Status; got != outcomes.Succeeded {
		t.Errorf("the first outcome did not win: it is %s", got)
	}
}

func TestGuarantee6PoisonInputFailsAlone(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.Workers = 4, 1 })
	c.batchesOf(4)
	const poison = 2
	finished := false
	for deaths := 0; !finished; {
		if deaths > 3 {
			t.Fatalf("the input killed %d workers; want 3: once with others, and twice alone", deaths)
		}
		p := c.pod(0)
		for alive := true; alive && !finished; {
			answer := p.call(want)
			finished = answer.Action == exchange.ActionFinished
			if p.held.Contains(poison) {
				// The input kills the container before anything is reported.
				p.end(oomKilled)
				deaths++
				alive = false
			}
			for _, input := range answer.Inputs {
				if alive {
					p.call(done(input.Index))
				}
			}
		}
	}
	for index, o := range c.outcomes() {
		if index != poison {
			if o.Status != outcomes.Succeeded || o.Attempts != 1 {
				t.Errorf("index %d, which was leased with the poison input, is %s after %d attempts", index, o.Status, o.Attempts)
			}
			continue
		}
		want := &outcomes.ErrorText{
			Type:    "WorkerDied",
			Message: "the worker's container was killed by the kernel for memory (OOMKilled, exit code 137) while this was its only input",
		}
		if o.Status != outcomes.Failed || o.Attempts != 2 {
			t.Errorf("the poison input is %s after %d charged attempts; want Failed after 2", o.Status, o.Attempts)
		}
		if diff := cmp.Diff(want, o.Error); diff != "" {
			t.Errorf("the error of the poison input (-want +got):\n%s", diff)
		}
	}
}

func TestGuarantee6SuspectsAreHandedOutOneAtATime(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 6 })
	c.batchesOf(3)
	a, b := c.pod(0), c.pod(1)
	expect(t, a.call(want), exchange.ActionWork, "0-2")
	a.end(killed)
	// A worker with another leased input gets no suspect.
	expect(t, b.call(want), exchange.ActionWork, "0")
	expect(t, b.call(want), exchange.ActionWait, "")
	d := c.pod(2)
	expect(t, d.call(want), exchange.ActionWork, "1")
	expect(t, d.call(done(1), want), exchange.ActionWork, "2")
	expect(t, b.call(done(0), want), exchange.ActionWork, "3-4")
}

func TestGuarantee6Charges(t *testing.T) {
	for name, tc := range map[string]struct {
		podExit      PodExit
		held         int
		wantCharged  bool
		wantSuspects bool
	}{
		"none if the pod was disrupted with one input":       {podExit: disrupted, held: 1},
		"none if the pod was disrupted with several inputs":  {podExit: disrupted, held: 3},
		"none if a terminating pod was killed":               {podExit: PodExit{State: PodExitEnded, ExitCode: 137, Terminating: true}, held: 1},
		"none if the container ended with 0":                 {podExit: completed, held: 1},
		"none yet if the container died with several inputs": {podExit: exitedOne, held: 3, wantSuspects: true},
		"none yet if a pod with several inputs is gone":      {podExit: PodExit{State: PodExitGone}, held: 3, wantSuspects: true},
		"none if the exit is unknown":                        {podExit: PodExit{State: PodExitUnknown}, held: 1},
		"the only input if the container died by itself":     {podExit: exitedOne, held: 1, wantCharged: true, wantSuspects: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(r *Run) { r.Total = 3 })
			c.batchesOf(tc.held)
			a := c.pod(0)
			a.call(want)
			a.end(tc.podExit)
			var charged bool
			c.view(func(tx *outcomes.Tx) error {
				attempts, err := tx.Attempts(c.row().ID, indexes("0-2"))
				charged = len(attempts) > 0
				return err
			})
			if charged != tc.wantCharged {
				t.Errorf("charged: %v; want %v", charged, tc.wantCharged)
			}
			if got := !c.row().Suspects.Empty(); got != tc.wantSuspects {
				t.Errorf("suspects: %v; want %v", got, tc.wantSuspects)
			}
		})
	}
}

func TestGuarantee6SigtermFromUserCodeIsIgnored(t *testing.T) {
	for name, tc := range map[string]struct {
		podExit PodExit
		held    string
		want    exchange.Action
	}{
		"the pod runs: the worker continues":                             {podExit: PodExit{State: PodExitRunning}, held: "0", want: exchange.ActionWait},
		"the pod is terminating, and the worker has no inputs: it stops": {podExit: PodExit{State: PodExitRunning, Terminating: true}, held: "", want: exchange.ActionStop},
		"the pod is terminating, and the worker may finish its input":    {podExit: disrupted, held: "0", want: exchange.ActionFinished},
		"the pod is gone: it stops":                                      {podExit: PodExit{State: PodExitGone}, held: "", want: exchange.ActionStop},
		"the exit is unknown: the worker continues":                      {podExit: PodExit{State: PodExitUnknown}, held: "0", want: exchange.ActionWait},
		"the pod is terminating: no further input is handed out":         {podExit: disrupted, held: "", want: exchange.ActionStop},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, nil)
			a := c.pod(0)
			expect(t, a.call(want), exchange.ActionWork, "0")
			c.podExits[a.worker.PodUID] = tc.podExit
			expect(t, a.call(leaving, want, withHeld(tc.held)), tc.want, "")
		})
	}
}

func TestGuarantee6WorkerOfATerminatingPodIsNotified(t *testing.T) {
	c := newCluster(t, nil)
	a, b := c.pod(0), c.pod(1)
	expect(t, b.call(want), exchange.ActionWork, "0")
	for _, p := range []*pod{a, b} {
		c.podExits[p.worker.PodUID] = PodExit{State: PodExitRunning, Terminating: true}
	}
	expectNotified := func(p *pod, held string) {
		t.Helper()
		answer := p.call(want, withHeld(held))
		expect(t, answer, exchange.ActionWork, "")
		if !answer.PodEnding || !answer.Revoked.Empty() {
			t.Errorf("the answer is %+v", answer)
		}
	}
	expectNotified(a, "")
	answer := a.call(leaving)
	expect(t, answer, exchange.ActionStop, "")
	if answer.PodEnding {
		t.Error("podEnding is repeated")
	}
	expectNotified(b, "0")
	expect(t, b.call(leaving, withHeld("0")), exchange.ActionFinished, "")
}

func TestGuarantee8RunFinishesWithItsLastOutcome(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 3 })
	c.batchesOf(2)
	a, b := c.pod(0), c.pod(1)
	expect(t, a.call(want), exchange.ActionWork, "0-1")
	expect(t, b.call(want), exchange.ActionWork, "2")
	// The input queued behind the executing one may still be returned.
	expect(t, b.call(done(2), want), exchange.ActionWait, "")
	a.call(done(0), executing(1))
	// The executing input is not returned.
	expect(t, b.call(want), exchange.ActionFinished, "")
	if got := c.progress(); got.Closed || got.Workers != 1 || got.Running != 1 {
		t.Errorf("while one input is executed the progress is %+v", got)
	}
	expect(t, a.call(done(1)), exchange.ActionFinished, "")
	want := v1alpha1.RunProgress{Total: 3, Succeeded: 3, Closed: true}
	if diff := cmp.Diff(want, c.progress()); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestGuarantee8SuspectKeepsWorkersFromBeingReleased(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 2 })
	c.batchesOf(2)
	a, b := c.pod(0), c.pod(1)
	a.call(want)
	a.end(killed)
	expect(t, b.call(want), exchange.ActionWork, "0")
	expect(t, b.call(done(0), want), exchange.ActionWork, "1")
	expect(t, c.pod(2).call(want), exchange.ActionFinished, "")
}

func TestGuarantee8SuccessorOfALostWorkerIsNotReleased(t *testing.T) {
	for name, successor := range map[string]func(*cluster) *pod{
		"at the same completion index": func(c *cluster) *pod { return c.pod(0) },
		"in the next Job": func(c *cluster) *pod {
			c.change(func(r *Run) { r.JobUID = "job-2" })
			return c.pod(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(r *Run) { r.Total = 1 })
			a := c.pod(0)
			expect(t, a.call(want), exchange.ActionWork, "0")
			// It is dead, but the Kubernetes API is unavailable.
			c.podExits[a.worker.PodUID] = PodExit{State: PodExitUnknown}
			b := successor(c)
			expect(t, b.call(want), exchange.ActionWait, "")
			for range 7 {
				c.advance(5 * time.Second)
				b.call()
			}
			expect(t, b.call(want), exchange.ActionWork, "0")
		})
	}
}

func TestCloseGivesMissingIndexesTheReason(t *testing.T) {
	for name, tc := range map[string]struct {
		reason     string
		wantStatus outcomes.Status
	}{
		"cancelled":           {reason: v1alpha1.ReasonCancelled, wantStatus: outcomes.Cancelled},
		"the Job has failed":  {reason: v1alpha1.ReasonJobFailed, wantStatus: outcomes.Failed},
		"past its deadline":   {reason: v1alpha1.ReasonDeadlineExceeded, wantStatus: outcomes.Cancelled},
		"an unknown reason …": {reason: "SomethingNew", wantStatus: outcomes.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(r *Run) { r.Total = 3*fillChunk + 7 })
			c.batchesOf(3)
			a, b := c.pod(0), c.pod(1)
			if got := handedOut(a.call(want)); !got.Contains(1) {
				t.Fatalf("the first worker got %q", got)
			}
			a.call(done(1), want)

			c.change(func(r *Run) { r.Ending, r.EndingMessage = tc.reason, "because of the test" })
			expect(t, b.call(want), exchange.ActionStop, "")
			if c.progress().Closed {
				t.Fatal("the run is closed before Close")
			}
			ctx := context.Background()
			for range 2 {
				if err := c.exchange.Close(ctx, c.run, tc.reason, "because of the test"); err != nil {
					t.Fatalf("closing: %v", err)
				}
			}
			// Late: every index has its outcome.
			expect(t, a.call(done(0), want), exchange.ActionStop, "")

			progress := c.progress()
			if !progress.Closed || progress.Reason != tc.reason || progress.Succeeded != 1 ||
				progress.Failed+progress.Cancelled != progress.Total-1 || progress.Workers != 0 || progress.Running != 0 {
				t.Errorf("the progress is %+v", progress)
			}
			for index, o := range c.outcomes() {
				switch {
				case index == 1 && o.Status != outcomes.Succeeded:
					t.Errorf("the earlier outcome has become %s", o.Status)
				case index != 1 && (o.Status != tc.wantStatus || o.Error == nil || o.Error.Type != tc.reason || o.Error.Message != "because of the test"):
					t.Fatalf("index %d is %s with %+v", index, o.Status, o.Error)
				}
			}
		})
	}
}

func TestReportBeforeTheFillBecomesTheOutcome(t *testing.T) {
	c := newCluster(t, nil)
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	c.change(func(r *Run) { r.Ending = v1alpha1.ReasonCancelled })
	expect(t, a.call(done(0)), exchange.ActionStop, "")
	if err := c.exchange.Close(context.Background(), c.run, v1alpha1.ReasonCancelled, ""); err != nil {
		t.Fatal(err)
	}
	if got := c.progress(); got.Succeeded != 1 || got.Cancelled != 9 {
		t.Errorf("%d succeeded and %d are cancelled; want 1 and 9", got.Succeeded, got.Cancelled)
	}
}

func TestLastReportClosesTheRun(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 1 })
	a := c.pod(0)
	a.call(want)
	a.call(done(0))
	if err := c.exchange.Close(context.Background(), c.run, v1alpha1.ReasonJobFailed, "too late"); err != nil {
		t.Fatal(err)
	}
	if got := c.progress(); !got.Closed || got.Reason != "" || got.Succeeded != 1 {
		t.Errorf("closing a closed run changed its progress to %+v", got)
	}
}

func TestRestartedServerFinishesAClosing(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 3 * fillChunk })
	a := c.pod(0)
	a.call(want)
	ctx := context.Background()
	// The first two transactions of Close, then a crash.
	err := c.store.Update(ctx, c.run.UID, func(tx *outcomes.Tx) error {
		s, err := c.exchange.open(tx, c.run)
		if err != nil {
			return err
		}
		before := s.row
		s.beginClosing(v1alpha1.ReasonCancelled, outcomes.Cancelled, outcomes.ErrorText{Type: "Cancelled"})
		return errors.Join(s.write(tx, &before), s.fillChunk(tx, fillChunk))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.progress(); got.Closed || got.Cancelled != fillChunk {
		t.Fatalf("during the closing the progress is %+v", got)
	}
	expect(t, a.call(done(2*fillChunk)), exchange.ActionStop, "")
	c.restart()
	if err := c.exchange.finishClosings(ctx); err != nil {
		t.Fatal(err)
	}
	if got := c.progress(); !got.Closed || got.Cancelled != 3*fillChunk-1 || got.Succeeded != 1 {
		t.Errorf("after the restart the progress is %+v", got)
	}
}
