package work

import (
	"context"
	"testing"
	"time"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
)

func TestRetryDelayDoublesUpToFiveMinutes(t *testing.T) {
	for name, tc := range map[string]struct {
		seconds, failures int
		want              time.Duration
	}{
		"the delay itself after the first":   {seconds: 3, failures: 1, want: 3 * time.Second},
		"twice that after the second":        {seconds: 3, failures: 2, want: 6 * time.Second},
		"eight times that after the fourth":  {seconds: 3, failures: 4, want: 24 * time.Second},
		"at most five minutes":               {seconds: 200, failures: 2, want: 300 * time.Second},
		"five minutes after the hundredth":   {seconds: 1, failures: 100, want: 300 * time.Second},
		"none if the delay is 0":             {seconds: 0, failures: 7, want: 0},
		"none if the delay is negative":      {seconds: -5, failures: 2, want: 0},
		"the delay itself without a failure": {seconds: 3, failures: 0, want: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := retryDelay(tc.seconds, tc.failures); got != tc.want {
				t.Errorf("got %v; want %v", got, tc.want)
			}
		})
	}
}

func TestRetryIsDelayed(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.Retries, r.RetryDelaySeconds = 2, 2, 10 })
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	expect(t, a.call(raised(0), want), exchange.ActionWork, "1")
	if got := c.progress(); got.Pending != 1 || got.Running != 1 {
		t.Errorf("with one delayed and one executing there are %d pending and %d running; want 1 and 1", got.Pending, got.Running)
	}
	// It is not released: the delayed input is handed out again.
	expect(t, a.call(done(1), want), exchange.ActionWait, "")
	c.restart()
	c.advance(9 * time.Second)
	expect(t, a.call(want), exchange.ActionWait, "")
	c.advance(2 * time.Second)
	expect(t, a.call(want), exchange.ActionWork, "0")
	// The second wait is twice as long.
	expect(t, a.call(raised(0), want), exchange.ActionWait, "")
	c.advance(19 * time.Second)
	expect(t, a.call(want), exchange.ActionWait, "")
	c.advance(3 * time.Second)
	expect(t, a.call(want), exchange.ActionWork, "0")
	expect(t, a.call(raised(0), want), exchange.ActionFinished, "")
	if got := c.outcomes()[0]; got.Status != outcomes.Failed || got.Attempts != 3 {
		t.Errorf("after its last attempt the input is %s after %d; want Failed after 3", got.Status, got.Attempts)
	}
}

func TestCrashIsRetriedWithoutADelay(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.Retries, r.RetryDelaySeconds = 1, 2, 10 })
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	expect(t, a.call(crashed(0), want), exchange.ActionWork, "0")
}

func TestOpenCallIsAnsweredWhenADelayEnds(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.Retries, r.RetryDelaySeconds = 1, 1, 4 })
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	call := a.keepOpen(raised(0), want, waiting(20))
	c.until("the exchange waits for the timeout, the next heartbeat and the delay", func() bool { return c.clock.Waiters() >= 3 })
	c.clock.Step(5 * time.Second)
	expect(t, call.wait(t), exchange.ActionWork, "0")
}

func TestOpenCallLearnsOfANewDelay(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.Retries, r.RetryDelaySeconds = 2, 1, 4 })
	c.batchesOf(2)
	a, b := c.pod(0), c.pod(1)
	expect(t, a.call(want), exchange.ActionWork, "0-1")
	call := b.keepOpen(want, waiting(20))
	a.call(raised(0), executing(1))
	// The timeout, the next heartbeat, and the delay.
	c.until("the exchange waits for the delay", func() bool { return c.clock.Waiters() >= 3 })
	c.clock.Step(5 * time.Second)
	expect(t, call.wait(t), exchange.ActionWork, "0")
}

func TestClockStepDoesNotProlongADelay(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.Retries, r.RetryDelaySeconds = 1, 1, 10 })
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	expect(t, a.call(raised(0), want), exchange.ActionWait, "")
	c.clock.stepWall(-24 * time.Hour)
	expect(t, a.call(want), exchange.ActionWork, "0")
}

func TestDelaysOfManyFailuresAreGrouped(t *testing.T) {
	s := &runState{run: Run{Total: 2000, Retries: 1, RetryDelaySeconds: 4}, row: outcomes.Run{Total: 2000, Next: 2000}, now: testStart.UnixMicro()}
	for index := range 2000 {
		s.now += 1000
		s.fail(index, "ValueError")
		s.postpone(index)
	}
	// Two seconds are half of the delay.
	if got := len(s.row.Delayed); got > delayGrain/2+2 {
		t.Errorf("2000 inputs that raised within two seconds have %d times", got)
	}
	if got := s.row.Waiting(); got.String() != "0-1999" {
		t.Errorf("%q wait; want 0-1999", got)
	}
	s.now += 4_300_000
	if s.returnDue(); s.row.Returned.String() != "0-1999" || len(s.row.Delayed) != 0 {
		t.Errorf("after the delay %q may be handed out", s.row.Returned)
	}
}

func TestLateReportOfADelayedInputIsItsOutcome(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.Retries, r.RetryDelaySeconds = 1, 3, 10 })
	a, b := c.pod(0), c.pod(1)
	expect(t, a.call(want), exchange.ActionWork, "0")
	c.advance(time.Minute)
	expect(t, b.call(want), exchange.ActionWork, "0")
	expect(t, b.call(raised(0), want), exchange.ActionWait, "")
	a.call(done(0))
	expect(t, b.call(want), exchange.ActionFinished, "")
	if got := c.outcomes()[0].Status; got != outcomes.Succeeded {
		t.Errorf("the input is %s; want Succeeded", got)
	}
}

func TestDelayedInputSurvivesASuspension(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.Retries, r.RetryDelaySeconds = 1, 1, 5 })
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	a.call(raised(0))
	c.change(func(r *Run) { r.Suspended = true })
	expect(t, a.call(want), exchange.ActionStop, "")
	c.advance(time.Minute)
	c.change(func(r *Run) { r.Suspended, r.JobUID = false, "job-2" })
	expect(t, c.pod(0).call(want), exchange.ActionWork, "0")
}

func TestNonRetryableErrorIsFinal(t *testing.T) {
	for name, tc := range map[string]struct {
		listed []string
		want   exchange.Action
	}{
		"a type that is listed":               {listed: []string{"KeyError", "ValueError"}, want: exchange.ActionFinished},
		"a type that is not listed":           {listed: []string{"KeyError"}, want: exchange.ActionWork},
		"a type that is listed with a module": {listed: []string{"builtins.ValueError"}, want: exchange.ActionWork},
		"no type is listed":                   {want: exchange.ActionWork},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(r *Run) { r.Total, r.Retries, r.NonRetryable = 1, 3, tc.listed })
			a := c.pod(0)
			expect(t, a.call(want), exchange.ActionWork, "0")
			if got := a.call(raised(0), want).Action; got != tc.want {
				t.Errorf("a ValueError is answered with %s; want %s", got, tc.want)
			}
		})
	}
}

func TestRunEndsAfterMaxFailures(t *testing.T) {
	timedOut := func(index int) request {
		return func(r *exchange.Request) {
			done(index)(r)
			r.Outcomes[0].Status, r.Outcomes[0].Result = v1alpha1.OutcomeTimedOut, nil
		}
	}
	for name, tc := range map[string]struct {
		maxFailures int
		reports     []request
		wantEnded   bool
		message     string
	}{
		"the first failure if none is allowed": {
			maxFailures: 0, reports: []request{raised(0)}, wantEnded: true,
			message: "1 input failed or timed out, and the limit is 0 (spec.maxFailures): the inputs without an outcome were not executed to the end",
		},
		"the second failure or timeout if one is allowed": {
			maxFailures: 1, reports: []request{raised(0), timedOut(1)}, wantEnded: true,
			message: "2 inputs failed or timed out, and the limit is 1 (spec.maxFailures): the inputs without an outcome were not executed to the end",
		},
		"as many as are allowed": {maxFailures: 2, reports: []request{raised(0), timedOut(1)}},
		"none failed":            {maxFailures: 0, reports: []request{done(0), done(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(r *Run) { r.Total, r.MaxFailures = 5, &tc.maxFailures })
			a, b := c.pod(0), c.pod(1)
			expect(t, a.call(want), exchange.ActionWork, "0")
			var last *exchange.Answer
			for _, report := range tc.reports {
				last = a.call(report, want)
			}
			if ended := last.Action == exchange.ActionStop; ended != tc.wantEnded {
				t.Fatalf("the answer is %s", last.Action)
			}
			if !tc.wantEnded {
				return
			}
			expect(t, b.call(want), exchange.ActionStop, "")
			if err := c.exchange.finishClosings(context.Background()); err != nil {
				t.Fatal(err)
			}
			got := c.progress()
			if !got.Closed || got.Reason != v1alpha1.ReasonMaxFailuresExceeded || got.Message != tc.message {
				t.Errorf("the progress is %+v", got)
			}
			if want := 5 - len(tc.reports); int(got.Cancelled) != want {
				t.Errorf("%d are cancelled; want %d", got.Cancelled, want)
			}
			if o := c.outcomes()[4]; o.Error == nil || o.Error.Message != tc.message || o.Attempts != 0 {
				t.Errorf("an input that was not executed has the outcome %+v with %+v", o, o.Error)
			}
		})
	}
}

func TestReportThatEndsTheRunEndsTheOtherLease(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.MaxFailures = 3, new(int) })
	c.batchesOf(1)
	a, b := c.pod(0), c.pod(1)
	expect(t, a.call(want), exchange.ActionWork, "0")
	expect(t, b.call(want), exchange.ActionWork, "1")
	// An input that was leased to the other worker, and the failure that exceeds the limit.
	expect(t, a.call(raised(0), done(1)), exchange.ActionStop, "")
	if row := c.row(); row.Live != 0 || row.Closing == "" {
		t.Errorf("%d workers are live, closing is %q", row.Live, row.Closing)
	}
	if err := c.check(); err != nil {
		t.Errorf("the invariant: %v", err)
	}
	expect(t, b.call(want, executing(1)), exchange.ActionStop, "")
}

func TestLastFailureClosesTheRunWithoutAReason(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.MaxFailures = 1, new(int) })
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0")
	expect(t, a.call(raised(0), want), exchange.ActionFinished, "")
	if got := c.progress(); !got.Closed || got.Reason != "" {
		t.Errorf("the progress is %+v; want closed without a reason", got)
	}
}

func TestDeathBeyondMaxFailuresEndsTheRun(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total, r.MaxFailures = 3, new(int) })
	for range maxCrashes {
		a := c.pod(0)
		expect(t, a.call(want), exchange.ActionWork, "0")
		a.end(oomKilled)
	}
	if got := c.row().Closing; got != v1alpha1.ReasonMaxFailuresExceeded {
		t.Errorf("the run is closing for %q", got)
	}
}
