package work

import (
	"testing"

	"sharedcloud.io/function-operator/exchange"
)

func suspecting(text string) request {
	return func(r *exchange.Request) { r.Suspects = exchange.Indexes{Set: indexes(text)} }
}

func TestFullBatchesAreHandedOut(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.BatchSize = 4 })
	a, b := c.pod(0), c.pod(1)
	answer := a.call(want)
	expect(t, answer, exchange.ActionWork, "0-3")
	if answer.BatchSize != 4 {
		t.Errorf("the answer has batchSize %d", answer.BatchSize)
	}
	expect(t, b.call(want), exchange.ActionWork, "4-7")
	expect(t, a.call(want, done(0, 1, 2, 3)), exchange.ActionWork, "8-9")
}

func TestPoisonInputOfABatchIsFound(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.BatchSize, r.Total = 4, 4 })
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0-3")
	// The process died with all four: none is charged, and they are handed out one by one.
	expect(t, a.call(want, withHeld(""), suspecting("0-3")), exchange.ActionWork, "0")
	expect(t, a.call(want, done(0)), exchange.ActionWork, "1")
	expect(t, a.call(want, crashed(1)), exchange.ActionWork, "1")
	expect(t, a.call(want, crashed(1)), exchange.ActionWork, "2")
	expect(t, a.call(want, done(2)), exchange.ActionWork, "3")
	expect(t, a.call(want, done(3)), exchange.ActionFinished, "")
	if o := c.outcomes()[1]; o.Attempts != 2 || o.Status.String() != "Failed" {
		t.Errorf("the outcome of 1 is %+v", o)
	}
	if o := c.outcomes()[3]; o.Attempts != 1 {
		t.Errorf("the outcome of 3 is %+v", o)
	}
}

func TestSuspectsOfOtherWorkersAreIgnored(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.BatchSize = 2 })
	a, b := c.pod(0), c.pod(1)
	expect(t, a.call(want), exchange.ActionWork, "0-1")
	expect(t, b.call(want, suspecting("0-9")), exchange.ActionWork, "2-3")
	if row := c.row(); !row.Suspects.Empty() {
		t.Errorf("suspects are %s", row.Suspects)
	}
}
