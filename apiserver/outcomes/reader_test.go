package outcomes

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAWorkerExecutesTheReportedIndexElseTheSmallestItHolds(t *testing.T) {
	batches := []Batch{{10, set("4-6")}, {20, set("8")}}
	for name, tc := range map[string]struct {
		worker Worker
		index  int
		since  int64
	}{
		"it reported one":      {Worker{State: WorkerLive, Executing: 5, ExecutingMicros: 50, Batches: batches}, 5, 50},
		"it has reported none": {Worker{State: WorkerLive, Executing: -1, Batches: batches}, 4, 10},
		"it holds none":        {Worker{State: WorkerLive, Executing: -1}, -1, 0},
		"its pod has ended":    {Worker{State: WorkerEnded, Executing: 5, ExecutingMicros: 50, Batches: batches}, -1, 0},
		"it has left the run":  {Worker{State: WorkerLeft, Executing: -1, Batches: batches}, -1, 0},
		"it executes the last": {Worker{State: WorkerLive, Executing: 8, ExecutingMicros: 70, Batches: batches}, 8, 70},
	} {
		if index, since := tc.worker.Current(); index != tc.index || since != tc.since {
			t.Errorf("%s: index %d since %d, want %d since %d", name, index, since, tc.index, tc.since)
		}
	}
}

func TestAReaderReadsOneRun(t *testing.T) {
	store := newStore(t)
	run, _ := addRun(t, store, "uid"), addRun(t, store, "another")
	done := Worker{RunID: run.ID, PodUID: "done", PodName: "pod-done", State: WorkerEnded, Executing: -1}
	busy := Worker{RunID: run.ID, PodUID: "busy", PodName: "pod-busy", State: WorkerLive, Executing: 7, ExecutingMicros: 5, Batches: []Batch{{5, set("7")}}}
	write(t, store, func(tx *Tx) error {
		if err := errors.Join(tx.PutWorker(&done), tx.PutWorker(&busy)); err != nil {
			return err
		}
		return tx.InsertOutcomes(run.ID, []Outcome{{Index: 0, Status: Succeeded, WorkerID: done.ID}, {Index: 2, Status: Failed, WorkerID: done.ID}, {Index: 3, Status: TimedOut, WorkerID: done.ID}})
	})
	pods := func(state RunState) (uids []string) {
		for _, w := range state.Workers {
			uids = append(uids, string(w.PodUID))
		}
		return uids
	}
	indexes := func(state RunState) (list []int) {
		for _, o := range state.Outcomes {
			list = append(list, o.Index)
		}
		return list
	}
	check := func(what string, err error, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}
	r := NewReader(store)
	finished, err := r.Finished(ctx, "uid", set("0-1,3"))
	check("finished", err, "0,3", finished.String())
	unsuccessful, err := r.Unsuccessful(ctx, "uid")
	check("unsuccessful", err, "2-3", unsuccessful.String())
	executes, err := r.Executes(ctx, "uid")
	check("a run with a busy worker executes", err, true, executes)
	executes, err = r.Executes(ctx, "another")
	check("a run without workers executes", err, false, executes)
	state, err := r.Workers(ctx, "uid")
	check("all workers", err, []string{"done", "busy"}, pods(state))
	state, err = r.Before(ctx, "uid", 3, 10)
	check("outcomes below 3", err, []int{2, 0}, indexes(state))
	state, err = r.At(ctx, "uid", 2)
	check("the outcome of 2", err, []int{2}, indexes(state))
	check("the worker of 2", err, []string{"done"}, pods(state))
	state, err = r.At(ctx, "uid", 7)
	check("7 has no outcome", err, []int(nil), indexes(state))
	check("the live workers", err, []string{"busy"}, pods(state))
	write(t, store, func(tx *Tx) error {
		return errors.Join(tx.PutLoadOutput(run.ID, &LoadOutput{WorkerID: busy.ID, Stderr: []byte("b")}), tx.PutLoadOutput(run.ID, &LoadOutput{WorkerID: done.ID, Stdout: []byte("a")}))
	})
	var loads []string
	ids, err := r.LoadWorkers(ctx, "uid")
	for _, id := range ids {
		l, err := r.LoadOutput(ctx, "uid", id)
		if err != nil || l == nil {
			t.Fatal(l, err)
		}
		loads = append(loads, fmt.Sprintf("%s %q %q", l.PodName, l.Stdout, l.Stderr))
	}
	check("the output of loads", err, []string{`pod-done "a" ""`, `pod-busy "" "b"`}, loads)
	ids, err = r.LoadWorkers(ctx, "another")
	check("another run has none", err, []int64(nil), ids)
	other, err := r.LoadOutput(ctx, "another", done.ID)
	check("the load of another run's worker", err, (*LoadOutput)(nil), other)
	state, err = r.Workers(ctx, "unknown")
	check("a run that the store does not have", err, true, state.Run == nil && state.Workers == nil)
}
