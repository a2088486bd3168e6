package work

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
)

func loaded(stdout, stderr string) request {
	return func(r *exchange.Request) { r.LoadOutput = &exchange.LoadOutput{Stdout: stdout, Stderr: stderr} }
}

func (c *cluster) expectLoads(want ...string) {
	c.t.Helper()
	var got []string
	c.view(func(tx *outcomes.Tx) error {
		got = nil
		row, err := tx.Run(c.run.UID)
		if err != nil {
			return err
		}
		ids, err := tx.LoadWorkers(row.ID)
		for _, id := range ids {
			l, err := tx.LoadOutput(row.ID, id)
			if err != nil {
				return err
			}
			got = append(got, fmt.Sprintf("%q %q", l.Stdout, l.Stderr))
		}
		return err
	})
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("the output of loads (-want +got):\n%s", diff)
	}
	if err := c.checkBytes(c.row()); err != nil {
		c.t.Error(err)
	}
}

func TestLoadOutputIsKeptUntilTheResultsAreDeleted(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 3 })
	c.batchesOf(1)
	a, b := c.pod(0), c.pod(1)
	a.call(loaded("weights: 7 GB\n", ""), want) // a first call, which adds the worker
	c.expectLoads(`"weights: 7 GB\n" ""`)
	b.call(want)
	repeated := b.prepare(loaded("", "warning"))
	for range 2 {
		if _, err := b.send(repeated); err != nil {
			t.Fatal(err)
		}
	}
	a.call(done(0), want)
	a.call() // a worker that sends none keeps it
	c.expectLoads(`"weights: 7 GB\n" ""`, `"" "warning"`)
	a.call(loaded("again\n", "e")) // a new process has loaded the module again
	c.restart()
	c.expectLoads(`"again\n" "e"`, `"" "warning"`)
	a.end(exitedOne)
	c.expectLoads(`"again\n" "e"`, `"" "warning"`)
	ctx := context.Background()
	if err := c.exchange.Close(ctx, c.run, "Cancelled", "because"); err != nil {
		t.Fatal(err)
	}
	c.pod(2).call(loaded("late", "")) // it was loading when the run was closed
	c.expectLoads(`"again\n" "e"`, `"" "warning"`, `"late" ""`)
	if err := c.exchange.DeleteResults(ctx, c.run.UID); err != nil {
		t.Fatal(err)
	}
	c.pod(3).call(loaded("too late", ""))
	c.expectLoads()
	if err := c.exchange.Forget(ctx, c.run.UID); err != nil {
		t.Error(err)
	}
}

func TestLoadOutputIsInTheErrorOfARunWhoseModuleWasNotLoaded(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 2 })
	for range 4 {
		c.pod(0).call(cannotLoad, loaded("reading weights\n", "no such file\n"))
	}
	if err := c.exchange.finishClosings(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := &outcomes.ErrorText{
		Type: "SyntaxError", Message: "invalid syntax (handler.py, line 3)",
		Traceback: "Traceback\n\nThe module printed this to stdout while it was loaded:\nreading weights\n\nThe module printed this to stderr while it was loaded:\nno such file\n",
	}
	all := c.outcomes()
	if len(all) != 2 {
		t.Fatalf("there are %d outcomes", len(all))
	}
	for index, o := range all {
		if diff := cmp.Diff(want, o.Error); diff != "" {
			t.Errorf("the error of index %d (-want +got):\n%s", index, diff)
		}
	}
	const each = `"reading weights\n" "no such file\n"`
	c.expectLoads(each, each, each, each)
	if err := c.exchange.DeleteResults(context.Background(), c.run.UID); err != nil {
		t.Fatal(err)
	}
	c.expectLoads()
	if row := c.row(); row.Trouble.Traceback != "" || row.ClosingError.Traceback != "" || row.ClosingError.Message != want.Message {
		t.Errorf("after the results were deleted, the run has %+v and %+v", row.Trouble, row.ClosingError)
	}
}

//security:attack worker | Modules print while they are loaded until the namespace is over its quota. | What does not fit is not stored, and the workers continue.
func TestLoadOutputOverTheQuotaIsNotStored(t *testing.T) {
	c := limitedTo(t, 64<<10, func(r *Run) { r.Total, r.Workers = 8, 8 })
	text := strings.Repeat("x", exchange.MaxLoadOutput)
	for completion := range 8 {
		if answer := c.pod(completion).call(want, loaded(text, text)); answer.Action != exchange.ActionWork {
			t.Fatalf("a worker whose output does not fit gets the action %s", answer.Action)
		}
	}
	kept := 0
	c.view(func(tx *outcomes.Tx) error {
		ids, err := tx.LoadWorkers(c.row().ID)
		kept = len(ids)
		return err
	})
	if kept == 0 || kept > 3 {
		t.Errorf("%d outputs of 16 KiB are stored; the quota is 64 KiB", kept)
	}
	if err := c.checkBytes(c.row()); err != nil {
		t.Error(err)
	}
}
