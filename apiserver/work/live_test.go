package work

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/exchange/indexset"
)

func printed(index int, start int64, from int64, stdout string) func(*exchange.Request) {
	return func(r *exchange.Request) {
		r.Executing = &index
		r.Live = &exchange.Live{Index: index, StartTime: start, StdoutFrom: from, Stdout: []byte(stdout)}
	}
}

func (c *cluster) liveOutputs() (all []outcomes.LiveOutput) {
	c.t.Helper()
	c.view(func(tx *outcomes.Tx) error {
		row, err := tx.Run(c.run.UID)
		if err != nil {
			return err
		}
		all, err = tx.LiveOutputs(row.ID)
		return err
	})
	return all
}

func TestLiveOutputIsKeptUntilTheOutcome(t *testing.T) {
	c := newCluster(t, nil)
	c.batchesOf(2)
	a := c.pod(0)
	answer := a.call(want)
	expect(t, answer, exchange.ActionWork, "0-1")
	if answer.LiveMillis < 300 {
		t.Errorf("output is reported every %d ms", answer.LiveMillis)
	}
	expectLive := func(want ...string) {
		t.Helper()
		var got []string
		for _, l := range c.liveOutputs() {
			got = append(got, fmt.Sprintf("%d %d %q", l.Index, l.Stdout.From, l.Stdout.Bytes))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("live output (-want +got):\n%s", diff)
		}
	}
	a.call(printed(0, 5, 0, "one "))
	a.call(printed(0, 5, 4, "two "))
	expectLive(`0 0 "one two "`)
	a.call(printed(0, 5, 2, "e two three")) // part of it is stored already
	expectLive(`0 0 "one two three"`)
	a.call(printed(0, 5, 100, "later")) // a part is missing
	expectLive(`0 100 "later"`)
	a.call(printed(0, 9, 0, "again")) // another attempt
	expectLive(`0 0 "again"`)
	c.restart()
	expectLive(`0 0 "again"`)
	a.call(done(0), printed(1, 20, 0, strings.Repeat("x", maxLiveBytes)))
	a.call(printed(1, 20, maxLiveBytes, "yy"))
	expectLive(fmt.Sprintf("1 2 %q", strings.Repeat("x", maxLiveBytes-2)+"yy"))
	a.call(done(1))
	expectLive()
	if err := c.exchange.Forget(context.Background(), c.run.UID); err != nil {
		t.Error(err)
	}
}

func TestLiveOutputOfAnotherInputIsRejected(t *testing.T) {
	for name, change := range map[string]func(*exchange.Request){
		"no input is executed":      func(r *exchange.Request) { r.Live = &exchange.Live{Index: 0} },
		"another input is executed": func(r *exchange.Request) { r.Executing = new(int); r.Live = &exchange.Live{Index: 1} },
		"the offset is negative":    func(r *exchange.Request) { r.Executing = new(int); r.Live = &exchange.Live{StdoutFrom: -1} },
	} {
		t.Run(name, func(t *testing.T) {
			request := &exchange.Request{Protocol: 1, Sequence: 1}
			request.Held.Set = indexset.Span(0, 1)
			change(request)
			var refused *exchange.RequestError
			if err := request.Validate(); !errors.As(err, &refused) {
				t.Errorf("it is accepted: %v", err)
			}
		})
	}
}

func TestLiveIntervalGrowsWithTheWorkers(t *testing.T) {
	if few, many := liveInterval(1), liveInterval(2000); many < 10*few {
		t.Errorf("the interval is %s for one worker and %s for many", few, many)
	}
}

func TestRunWithUnavailableInputsEnds(t *testing.T) {
	c := newCluster(t, nil)
	a := c.pod(0)
	c.inputsFail = fmt.Errorf("%w: they were deleted", ErrInputs)
	request := a.prepare(want)
	if _, err := c.exchange.Call(context.Background(), a.worker, request); err == nil || errors.Is(err, ErrNoRun) {
		t.Errorf("the error is %v", err)
	}
	if answer, err := c.exchange.Call(context.Background(), a.worker, request); err != nil || answer.Action != exchange.ActionStop {
		t.Errorf("the repeated call gets %+v, %v", answer, err)
	}
	progress := c.progress()
	if !progress.Closed || progress.Failed != 10 || progress.Reason != "InputsUnavailable" || !strings.Contains(progress.Message, "they were deleted") {
		t.Errorf("the progress is %+v", progress)
	}
}
