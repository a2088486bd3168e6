package outcomes

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
	"sharedcloud.io/function-operator/exchange/indexset"
)

var ctx = context.Background()

func openStore(t testing.TB, path string) *SQLite {
	t.Helper()
	store := NewSQLite(path)
	if err := store.Open(ctx); err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return store
}

// newSQLite opens a store in a path that must be quoted in a connection string.
func newSQLite(t testing.TB) *SQLite {
	t.Helper()
	return openStore(t, filepath.Join(t.TempDir(), "a folder? with #odd% names", "outcomes.db"))
}

func write(t testing.TB, store Store, fn func(*Tx) error) {
	t.Helper()
	if err := store.Update(ctx, "", fn); err != nil {
		t.Fatalf("writing: %v", err)
	}
}

func addRun(t testing.TB, store Store, uid types.UID) *Run {
	t.Helper()
	run := &Run{UID: uid, Namespace: "ns", Name: "run-" + string(uid), Total: 1 << 20, UnsuccessfulCut: -1}
	write(t, store, func(tx *Tx) error { return tx.InsertRun(run) })
	return run
}

func add(t testing.TB, store Store, run *Run, outcomes ...Outcome) {
	t.Helper()
	write(t, store, func(tx *Tx) error { return tx.InsertOutcomes(run.ID, outcomes) })
}

// wholeBytes compares byte slices as a whole: element by element, a megabyte takes minutes under the race detector.
var wholeBytes = cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) })

func set(text string) indexset.Set {
	s, err := indexset.Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

func outcomesOf(t testing.TB, store Store, uid types.UID, from, limit int) (all []Outcome) {
	t.Helper()
	err := Read(ctx, store, uid, All(from), limit, func(o *Outcome) bool {
		all = append(all, *o)
		return true
	})
	if err != nil {
		t.Fatalf("reading outcomes: %v", err)
	}
	return all
}

func TestTheRowOfARunIsReadAsWritten(t *testing.T) {
	store := newStore(t)
	before := Run{
		UID: "uid", Namespace: "ns", Name: "run", Total: 100, GPUs: 2, Next: 40, Returned: set("3-5"), Suspects: set("7,9"),
		Delayed:   []Delay{{DueMicros: 10, Indexes: set("10-11")}, {DueMicros: 20, Indexes: set("6,8")}},
		Succeeded: 1, Failed: 2, TimedOut: 3, Cancelled: 4, Unsuccessful: set("1-2"), UnsuccessfulCut: -1, Live: 5, Busy: 4, Queued: 3,
		DeathsWithoutProgress: 1, Deaths: 2, Trouble: ErrorText{"T", "message\x00with a NUL", "trace"}, TroubleLoad: true, MeanMicros: 12.5, Measured: 7,
		WorkedMicros: 99, Closing: "JobFailed", ClosingStatus: Failed, ClosingError: ErrorText{"C", "m", "t"}, FillNext: 8, Filled: 6,
		CreatedMicros: 1,
	}
	write(t, store, func(tx *Tx) error { return tx.InsertRun(&before) })
	after := before
	after.Next, after.Returned, after.Suspects, after.Unsuccessful, after.UnsuccessfulCut = 50, set("1"), set(""), set("5"), 9
	after.Delayed = []Delay{{DueMicros: 20, Indexes: set("8")}}
	after.Succeeded, after.Failed, after.TimedOut, after.Cancelled, after.Live, after.Busy, after.Queued = 5, 6, 7, 8, 9, 10, 11
	after.DeathsWithoutProgress, after.Deaths, after.Trouble, after.TroubleLoad, after.MeanMicros = 12, 13, ErrorText{"x", "y", "z"}, false, 0.25
	after.Measured, after.WorkedMicros, after.Closing, after.ClosingStatus = 14, 15, "Cancelled", Cancelled
	after.ClosingError, after.FillNext, after.Filled, after.Closed = ErrorText{"1", "2", "3"}, 16, 17, true
	for _, want := range []Run{before, after} {
		write(t, store, func(tx *Tx) error { return tx.UpdateRun(&before, &want) })
		var got *Run
		err := store.View(ctx, func(tx *Tx) (err error) {
			got, err = tx.Run("uid")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("the row (-want +got):\n%s", diff)
		}
	}
}

func TestTheRowOfAWorkerIsReadAsWritten(t *testing.T) {
	store := newStore(t)
	run := addRun(t, store, "uid")
	want := Worker{
		RunID: run.ID, PodUID: "pod", PodName: "name", Node: "node", JobUID: "job", CompletionIndex: 3, Device: "GPU-0", State: WorkerLive,
		Sequence: 9, Batches: []Batch{{5, set("1-3,9")}, {6, set("20")}}, Executing: 2, AnswerAction: "work", AnswerHanded: set("20"),
		ExecutingMicros: 7, FirstMicros: 1, LastMicros: 2, StartupRecorded: true, GPUProduct: "A100", StartupLog: "line\nline",
	}
	read := func() (workers []Worker) {
		t.Helper()
		err := store.View(ctx, func(tx *Tx) error {
			one, err := tx.Worker(run.ID, "pod")
			if err != nil {
				return err
			}
			live, err := tx.LiveWorkers(run.ID)
			siblings, err2 := tx.Siblings(run.ID, "job", 3)
			all, err3 := tx.Workers(run.ID)
			workers = append(append(append([]Worker{*one}, live...), siblings...), all...)
			return errors.Join(err, err2, err3)
		})
		if err != nil {
			t.Fatal(err)
		}
		return workers
	}
	write(t, store, func(tx *Tx) error { return tx.PutWorker(&want) })
	if diff := cmp.Diff([]Worker{want, want, want, want}, read()); diff != "" {
		t.Errorf("the rows (-want +got):\n%s", diff)
	}
	want.State, want.Sequence, want.Batches, want.Alone, want.Executing, want.AnswerAction = WorkerEnded, 10, nil, true, -1, "stop"
	want.AnswerHanded, want.LastMicros, want.Device, want.ExecutingMicros = set(""), 3, "GPU-1", 0
	write(t, store, func(tx *Tx) error { return tx.PutWorker(&want) })
	if diff := cmp.Diff([]Worker{want, want}, read()); diff != "" {
		t.Errorf("the rows after its pod ended (-want +got):\n%s", diff)
	}
}

func TestOutcomesAreReadAsWrittenInOrder(t *testing.T) {
	store := newStore(t)
	run, other := addRun(t, store, "uid"), addRun(t, store, "other")
	worker := &Worker{RunID: run.ID, PodUID: "pod", PodName: "name", Node: "node", Device: "GPU-0", GPUProduct: "A100"}
	write(t, store, func(tx *Tx) error { return tx.PutWorker(worker) })
	full := Outcome{
		Index: 7, Status: Failed, Result: []byte(`{"a": [1, "\u0000"]}`), ResultText: []byte("text\x00"), Error: &ErrorText{"T", "m", "t"},
		Stdout: []byte{0, 1, 255}, Stderr: []byte("err"), StdoutDropped: 1, StderrDropped: 2, Attempts: 3, AssignedMicros: 4, StartMicros: 5,
		CompletionMicros: 6, WorkerID: worker.ID, PodName: "name", Node: "node", Device: "GPU-0", GPUProduct: "A100",
	}
	absent := Outcome{Index: 2, Status: Succeeded, CompletionMicros: 1}
	empty := Outcome{Index: 5, Status: TimedOut, ResultText: []byte{}, Error: &ErrorText{}}
	add(t, store, run, full, absent, empty)
	add(t, store, other, Outcome{Index: 3, Status: Succeeded})
	write(t, store, func(tx *Tx) error { return tx.FillOutcomes(run.ID, 8, 9, Cancelled, 77) })
	filled := Outcome{Status: Cancelled, ByClosing: true, CompletionMicros: 77, Error: &ErrorText{}}
	eight, nine := filled, filled
	eight.Index, nine.Index = 8, 9

	if diff := cmp.Diff([]Outcome{absent, empty, full, eight, nine}, outcomesOf(t, store, "uid", 0, 0)); diff != "" {
		t.Errorf("the outcomes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Outcome{full, eight}, outcomesOf(t, store, "uid", 6, 2)); diff != "" {
		t.Errorf("two outcomes from 6 (-want +got):\n%s", diff)
	}
	if got := outcomesOf(t, store, "nobody", 0, 0); got != nil {
		t.Errorf("an unknown run has %v", got)
	}

	for name, tc := range map[string]struct {
		before, limit int
		want          []Outcome
	}{
		"all, from the end":                     {math.MaxInt, 100, []Outcome{nine, eight, full, empty, absent}},
		"two":                                   {10, 2, []Outcome{nine, eight}},
		"the two before those":                  {8, 2, []Outcome{full, empty}},
		"the last page":                         {5, 2, []Outcome{absent}},
		"below the first":                       {2, 2, nil},
		"below 0, without those of another run": {0, 2, nil},
		"below the smallest integer":            {-5, 2, nil},
	} {
		t.Run("before an index: "+name, func(t *testing.T) {
			var got []Outcome
			if err := store.View(ctx, func(tx *Tx) (err error) {
				got, err = tx.OutcomesBefore(run, tc.before, tc.limit)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("the outcomes below %d (-want +got):\n%s", tc.before, diff)
			}
		})
	}
}

func TestOutcomesBeforeAnIndexAreReadInPagesOfLimitedSize(t *testing.T) {
	store := newStore(t)
	run := addRun(t, store, "uid")
	large := []byte(strings.Repeat("x", pageBytes))
	for index := range 3 {
		add(t, store, run, Outcome{Index: index, Status: Succeeded, Result: large})
	}
	for before := 3; before > 0; before-- {
		var got []Outcome
		if err := store.View(ctx, func(tx *Tx) (err error) {
			got, err = tx.OutcomesBefore(run, before, 10)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Index != before-1 {
			t.Errorf("below %d a page has %d outcomes; want only the greatest", before, len(got))
		}
	}
}

func TestAnyNumberOfOutcomesOfAllKindsIsAdded(t *testing.T) {
	store := newStore(t)
	run := addRun(t, store, "uid")
	index := 0
	for n := range 30 {
		var want []Outcome
		first := index
		for i := range n {
			o := Outcome{Index: index, Status: Succeeded, Result: []byte(strconv.Itoa(index)), Attempts: 1}
			if i%3 == 0 {
				o.Stdout = []byte("out of " + strconv.Itoa(index))
			}
			want = append(want, o)
			index++
		}
		add(t, store, run, want...)
		if diff := cmp.Diff(want, outcomesOf(t, store, "uid", first, 0)); diff != "" {
			t.Fatalf("%d in one call (-want +got):\n%s", n, diff)
		}
	}
}

func TestReadingGoesThroughPagesOfAnySize(t *testing.T) {
	store := newStore(t)
	run := addRun(t, store, "uid")
	const total = 3*PageOutcomes + 5
	var all []Outcome
	for index := range total {
		o := Outcome{Index: index, Status: Succeeded, Result: []byte(strconv.Itoa(index))}
		if index == 10 || index == 11 {
			// Larger than the maximum of a page.
			o.Result = []byte(strings.Repeat("x", pageBytes))
		}
		all = append(all, o)
	}
	add(t, store, run, all...)
	next := 0
	err := Read(ctx, store, "uid", All(0), 0, func(o *Outcome) bool {
		if o.Index != next {
			t.Fatalf("got index %d, want %d", o.Index, next)
		}
		next++
		return next < total-1
	})
	if err != nil || next != total-1 {
		t.Errorf("reading stopped at %d with %v; want at %d, where the reader stopped it", next, err, total-1)
	}
}

func TestReadingReturnsWorkersAndAppliesItsLimitAcrossPages(t *testing.T) {
	store := newStore(t)
	run := addRun(t, store, "uid")
	var workers []*Worker
	for i := range 3 {
		w := &Worker{RunID: run.ID, PodUID: types.UID(strconv.Itoa(i)), PodName: "pod-" + strconv.Itoa(i), Node: "node-" + strconv.Itoa(i)}
		write(t, store, func(tx *Tx) error { return tx.PutWorker(w) })
		workers = append(workers, w)
	}
	const total = 2*PageOutcomes + 7
	var all []Outcome
	for index := range total {
		o := Outcome{Index: index, Status: Succeeded, Result: []byte("1")}
		if who := index % 4; who < 3 {
			o.WorkerID = workers[who].ID // every fourth has no worker
		}
		all = append(all, o)
	}
	add(t, store, run, all...)
	for _, limit := range []int{1, PageOutcomes - 1, PageOutcomes, PageOutcomes + 1, 2 * PageOutcomes, total, 0} {
		got := outcomesOf(t, store, "uid", 0, limit)
		if want := limit; len(got) != want && (limit != 0 || len(got) != total) {
			t.Fatalf("%d outcomes with the limit %d", len(got), limit)
		}
		for index, o := range got {
			want := ""
			if who := index % 4; who < 3 {
				want = strconv.Itoa(who)
			}
			if o.Index != index || o.PodName != strings.TrimSuffix("pod-"+want, "pod-") || o.Node != strings.TrimSuffix("node-"+want, "node-") {
				t.Fatalf("index %d: %+v", index, o)
			}
		}
	}
	ended, cancel := context.WithCancel(ctx)
	seen := 0
	err := Read(ended, store, "uid", All(0), 0, func(*Outcome) bool {
		if seen++; seen == 10 {
			cancel()
		}
		return true
	})
	if !errors.Is(err, context.Canceled) || seen != 10 {
		t.Errorf("a reader that stopped after 10 got %d and the error %v", seen, err)
	}
}

func TestAFailedTransactionIsRolledBackAndTheOthersOfItsGroupAreCommitted(t *testing.T) {
	store := newStore(t)
	run := addRun(t, store, "uid")
	refused := errors.New("refused")
	var wait sync.WaitGroup
	errs := make([]error, 60)
	// This update blocks the writer until all others wait, so that they become one group.
	busy, release := make(chan struct{}), make(chan struct{})
	wait.Go(func() {
		_ = store.Update(ctx, "", func(*Tx) error {
			select {
			case <-busy:
			default:
				close(busy)
			}
			<-release
			return nil
		})
	})
	<-busy
	for i := range errs {
		wait.Go(func() {
			errs[i] = store.Update(ctx, "", func(tx *Tx) error {
				if i%10 == 3 {
					return refused // before any write
				}
				if err := tx.InsertOutcomes(run.ID, []Outcome{{Index: i, Status: Succeeded}}); err != nil {
					return err
				}
				switch i % 10 {
				case 5:
					return refused // after a write
				case 6:
					panic("a bug")
				case 7:
					return tx.InsertOutcomes(run.ID, []Outcome{{Index: i, Status: Failed}}) // rejected by the engine
				}
				return nil
			})
		})
	}
	for waitingUpdates(store) < len(errs) {
		<-time.After(time.Millisecond)
	}
	close(release)
	wait.Wait()
	have := map[int]bool{}
	for _, o := range outcomesOf(t, store, "uid", 0, 0) {
		have[o.Index] = true
	}
	for i, err := range errs {
		wantErr := map[int]string{3: "refused", 5: "refused", 6: "panic in a transaction: a bug", 7: wordsOf(store, "UNIQUE constraint", "duplicate key")}[i%10]
		switch {
		case wantErr == "" && (err != nil || !have[i]):
			t.Errorf("the transaction of %d got %v; in the store: %v", i, err, have[i])
		case wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr) || have[i]):
			t.Errorf("the transaction of %d got %v; in the store: %v; want the error %q and nothing in the store", i, err, have[i], wantErr)
		}
	}
}

func TestACancelledUpdateThatHasNotStartedWritesNothing(t *testing.T) {
	store := newStore(t)
	run := addRun(t, store, "uid")
	busy, release := make(chan struct{}), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		_ = store.Update(ctx, "", func(*Tx) error {
			close(busy)
			<-release
			return nil
		})
	})
	<-busy
	going, cancel := context.WithCancel(ctx)
	result := make(chan error)
	go func() {
		result <- store.Update(going, "", func(tx *Tx) error {
			return tx.InsertOutcomes(run.ID, []Outcome{{Index: 1, Status: Succeeded}})
		})
	}()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled caller got %v", err)
	}
	close(release)
	wait.Wait()
	write(t, store, func(*Tx) error { return nil })
	if got := outcomesOf(t, store, "uid", 0, 0); len(got) != 0 {
		t.Errorf("it has written %v", got)
	}
}

func TestAViewCannotWrite(t *testing.T) {
	store := newStore(t)
	err := store.View(ctx, func(tx *Tx) error { return tx.InsertRun(&Run{UID: "uid"}) })
	if err == nil || !strings.Contains(err.Error(), wordsOf(store, "readonly", "read-only transaction")) {
		t.Errorf("writing in a view got the error %v", err)
	}
	if err := store.View(ctx, func(*Tx) error { return nil }); err != nil {
		t.Errorf("the next view got the error %v", err)
	}
}

func TestDeleteSomeDeletesOneRunInSteps(t *testing.T) {
	store := newStore(t)
	run, other := addRun(t, store, "uid"), addRun(t, store, "other")
	for _, r := range []*Run{run, other} {
		write(t, store, func(tx *Tx) error {
			return errors.Join(tx.FillOutcomes(r.ID, 0, 24, Failed, 1), tx.PutWorker(&Worker{RunID: r.ID, PodUID: "pod"}),
				tx.PutLoadOutput(r.ID, &LoadOutput{WorkerID: r.ID, Stdout: []byte("loading")}), tx.PutAttempts(r.ID, []Attempts{{Index: 1, Crashes: 1}}))
		})
	}
	steps := 0
	for done := false; !done; steps++ {
		write(t, store, func(tx *Tx) (err error) {
			done, err = tx.DeleteSome(run, 10)
			return err
		})
	}
	if steps < 5 {
		t.Errorf("25 outcomes in steps of 10, and the other rows, took %d transactions", steps)
	}
	var uids []types.UID
	_ = store.View(ctx, func(tx *Tx) (err error) {
		uids, err = tx.RunUIDs()
		return err
	})
	if diff := cmp.Diff([]types.UID{"other"}, uids); diff != "" {
		t.Errorf("the runs that are left (-want +got):\n%s", diff)
	}
	if got := len(outcomesOf(t, store, "other", 0, 0)); got != 25 {
		t.Errorf("the other run has %d outcomes left of 25", got)
	}
}

func TestResultsAreDeletedInStepsAndOtherColumnsAreKept(t *testing.T) {
	store := newStore(t)
	run, other := addRun(t, store, "uid"), addRun(t, store, "other")
	large := []byte(strings.Repeat("x", pageBytes))
	given := []Outcome{
		{Index: 0, Status: Succeeded, Result: []byte("1"), Attempts: 1, AssignedMicros: 2, StartMicros: 3, CompletionMicros: 4},
		{Index: 1, Status: Succeeded, ResultText: []byte("(1,)"), Stdout: []byte("out"), StdoutDropped: 5, Stderr: []byte("err"), StderrDropped: 6},
		{Index: 2, Status: Failed, Error: &ErrorText{"T", "m", "t"}, Attempts: 2, CompletionMicros: 9},
		{Index: 3, Status: Succeeded, Result: large}, {Index: 4, Status: Succeeded, Result: large}, {Index: 5, Status: TimedOut},
	}
	var want []Outcome
	for _, o := range given {
		o.Result, o.ResultText, o.Error, o.Stdout, o.StdoutDropped, o.Stderr, o.StderrDropped = nil, nil, nil, nil, 0, nil, 0
		want = append(want, o)
	}
	add(t, store, run, given...)
	add(t, store, other, given...)
	worker := &Worker{RunID: run.ID, PodUID: "pod", State: WorkerLive, Executing: 5, Batches: []Batch{{Indexes: set("5")}}}
	write(t, store, func(tx *Tx) error { return tx.PutWorker(worker) })
	write(t, store, func(tx *Tx) error {
		return tx.PutLiveOutput(run.ID, &LiveOutput{WorkerID: worker.ID, Index: 5, Stdout: LiveText{Bytes: []byte("secret")}})
	})
	write(t, store, func(tx *Tx) error {
		if err := tx.PutLoadOutput(run.ID, &LoadOutput{WorkerID: worker.ID, Stdout: []byte("an earlier load")}); err != nil {
			return err
		}
		before := *run
		if err := tx.PutLoadOutput(run.ID, &LoadOutput{WorkerID: worker.ID, Stdout: []byte("secret"), Stderr: []byte("too")}); err != nil {
			return err
		}
		var err error
		run.StoredBytes, err = tx.MeasureRun(run.ID)
		return errors.Join(err, tx.UpdateRun(&before, run))
	})
	steps := 0
	for first := 0; first >= 0; steps++ {
		write(t, store, func(tx *Tx) (err error) {
			if steps == 0 {
				err = tx.BeginDeletingResults(run, 7e6)
			}
			if err == nil {
				first, err = tx.DeleteResultsSome(run, first, 4)
			}
			return err
		})
		var deleted *ResultsDeletedError
		if err := Read(ctx, store, "uid", All(0), 0, func(*Outcome) bool { return true }); !errors.As(err, &deleted) || !deleted.At.Equal(time.Unix(7, 0)) {
			t.Fatalf("after %d steps reading returned %v", steps+1, err)
		}
	}
	// Steps: indexes 0 to 3, of which the last one exceeds the page; 4, which exceeds it alone; 5; and a step that finds
	// nothing.
	if steps < 3 {
		t.Errorf("it took %d transactions", steps)
	}
	var got []Outcome
	var row *Run
	var live int
	var loads []int64
	var measured int64
	if err := store.View(ctx, func(tx *Tx) (err error) {
		if got, err = tx.Outcomes(run, 0, 100); err == nil {
			if row, err = tx.Run("uid"); err == nil {
				var texts []LiveOutput
				texts, err = tx.LiveOutputs(run.ID)
				live = len(texts)
				var err1, err2 error
				loads, err1 = tx.LoadWorkers(run.ID)
				measured, err2 = tx.MeasureRun(run.ID)
				err = errors.Join(err, err1, err2)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the remaining outcomes (-want +got):\n%s", diff)
	}
	if row.ResultsDeletedMicros != 7e6 || live != 0 {
		t.Errorf("deleted at %d, %d live outputs", row.ResultsDeletedMicros, live)
	}
	if len(loads) != 0 || row.StoredBytes != measured {
		t.Errorf("%d outputs of loads are left; the run counts %d bytes, and has %d", len(loads), row.StoredBytes, measured)
	}
	if diff := cmp.Diff(given, outcomesOf(t, store, "other", 0, 0), wholeBytes); diff != "" {
		t.Errorf("the other run (-want +got):\n%s", diff)
	}
}

func TestASecondServerWaitsForTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outcomes.db")
	first := openStore(t, path)
	addRun(t, first, "uid")
	second := NewSQLite(path)
	if err := second.Update(ctx, "", func(*Tx) error { return nil }); !errors.Is(err, ErrNotReady) {
		t.Errorf("a store that is not open got %v; want ErrNotReady", err)
	}
	opened := make(chan error, 1)
	go func() { opened <- second.Open(ctx) }()
	for second.Ready() == nil || !strings.Contains(second.Ready().Error(), "another server uses it") {
		select {
		case err := <-opened:
			t.Fatalf("the second server did not wait: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Close() })
	if err := second.Ready(); err != nil {
		t.Errorf("the second server is not ready: %v", err)
	}
	if err := first.View(ctx, func(*Tx) error { return nil }); !errors.Is(err, ErrNotReady) {
		t.Errorf("the first server, closed, got %v; want ErrNotReady", err)
	}
}

func TestWaitingForTheLockEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outcomes.db")
	openStore(t, path)
	over, cancel := context.WithCancel(ctx)
	cancel()
	if err := NewSQLite(path).Open(over); !errors.Is(err, context.Canceled) {
		t.Errorf("opening got %v; want the context's error", err)
	}
}

func TestAFullDiskReturnsErrFullAndLosesNoAcknowledgedOutcome(t *testing.T) {
	store := newSQLite(t)
	run := addRun(t, store, "uid")
	// The engine's size limit returns the same error as a full disk, on the same code path.
	write(t, store, func(tx *Tx) error {
		return tx.query("", func(func(...any) error) error { return nil }, `PRAGMA max_page_count = 60`)
	})
	acknowledged, full := 0, false
	for index := 0; !full && index < 1000; index++ {
		err := store.Update(ctx, "", func(tx *Tx) error {
			return tx.InsertOutcomes(run.ID, []Outcome{{Index: index, Status: Succeeded, Result: []byte(strings.Repeat("x", 9000))}})
		})
		switch {
		case err == nil:
			acknowledged++
		case errors.Is(err, ErrFull):
			full = true
		default:
			t.Fatalf("a full disk got the error %v", err)
		}
	}
	if !full || acknowledged == 0 {
		t.Fatalf("the disk was never full, after %d outcomes", acknowledged)
	}
	if got := len(outcomesOf(t, store, "uid", 0, 0)); got != acknowledged {
		t.Errorf("%d outcomes are stored; %d were acknowledged", got, acknowledged)
	}
	write(t, store, func(tx *Tx) error {
		return tx.query("", func(func(...any) error) error { return nil }, `PRAGMA max_page_count = 6000`)
	})
	add(t, store, run, Outcome{Index: 5000, Status: Succeeded})
}

func TestAFileThatIsNotAStoreIsRejectedWithAReason(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, path string)
		want    error
		words   string
	}{
		"another file": {prepare: func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: ErrDamaged, words: "restore its volume from a backup"},
		"a store of a newer server": {prepare: func(t *testing.T, path string) {
			store := NewSQLite(path)
			if err := store.Open(ctx); err != nil {
				t.Fatal(err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`); err != nil {
				t.Fatal(err)
			}
		}, words: "a newer server has migrated it"},
		"a folder": {prepare: func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, want: ErrDisk},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "outcomes.db")
			tc.prepare(t, path)
			store := NewSQLite(path)
			err := store.Open(ctx)
			if err == nil || !strings.Contains(err.Error(), tc.words) || (tc.want != nil && !errors.Is(err, tc.want)) {
				t.Errorf("opening it got %v; want %v with %q", err, tc.want, tc.words)
			}
			if ready := store.Ready(); !errors.Is(ready, ErrNotReady) || !strings.Contains(ready.Error(), tc.words) {
				t.Errorf("Ready returned %v", ready)
			}
		})
	}
}

func TestNetworkFileSystemsAreRejected(t *testing.T) {
	for magic, name := range map[uint32]string{0x6969: "NFS", 0xff534d42: "CIFS", 0x65735546: "FUSE"} {
		if err := refuse("/data", magic); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "local disk") {
			t.Errorf("%s got the error %v", name, err)
		}
	}
	for magic, name := range map[uint32]string{0xef53: "ext4", 0x58465342: "xfs", 0x01021994: "tmpfs", 0x794c7630: "overlay"} {
		if err := refuse("/data", magic); err != nil {
			t.Errorf("%s is rejected: %v", name, err)
		}
	}
}

func TestOlderThanComparesNumbersNotText(t *testing.T) {
	for version, want := range map[string]bool{
		"3.51.2": true, "3.51.3": false, "3.51.10": false, "3.9.9": true, "4.0": false, "3.51": true, "": true, "3.100.0": false,
	} {
		if got := olderThan(version, "3.51.3"); got != want {
			t.Errorf("%q is older than 3.51.3: %v; want %v", version, got, want)
		}
	}
}

// TestParametersAreBoundByNumber: if an engine bound $2, $1 in the order of appearance, the arguments of every statement
// would be swapped.
func TestParametersAreBoundByNumber(t *testing.T) {
	store := newStore(t)
	var first, second string
	err := store.View(ctx, func(tx *Tx) error {
		return tx.query("", func(row func(...any) error) error { return row(&first, &second) }, `SELECT $2, $1`, "one", "two")
	})
	if err != nil || first != "two" || second != "one" {
		t.Errorf("$2, $1 gave %q, %q, %v", first, second, err)
	}
}

// TestEveryAcknowledgedOutcomeSurvivesAKilledServer runs this test binary as a server that writes outcomes and prints the
// acknowledged ones, kills it with SIGKILL, and reads the store.
func TestEveryAcknowledgedOutcomeSurvivesAKilledServer(t *testing.T) {
	if path := os.Getenv("OUTCOMES_TEST_CHILD"); path != "" {
		writeUntilKilled(t, path)
	}
	path := filepath.Join(t.TempDir(), "outcomes.db")
	if postgrestest.OnPostgreSQL(t) {
		path = postgrestest.URL(t)
	}
	acknowledged := map[int]bool{}
	for life := range 3 {
		child := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$") //nolint:gosec // this binary
		child.Env = append(os.Environ(), "OUTCOMES_TEST_CHILD="+path, fmt.Sprintf("OUTCOMES_TEST_FROM=%d", life*1_000_000))
		output, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(output)
		for enough := len(acknowledged) + 400; lines.Scan(); {
			index, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatalf("the child printed %q", lines.Text())
			}
			acknowledged[index] = true
			if len(acknowledged) == enough {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait()
	}
	store := openAny(t, path)
	have := map[int]bool{}
	for _, o := range outcomesOf(t, store, "uid", 0, 0) {
		have[o.Index] = true
		if string(o.Result) != strconv.Itoa(o.Index) {
			t.Errorf("the outcome of %d has the result %q", o.Index, o.Result)
		}
	}
	for index := range acknowledged {
		if !have[index] {
			t.Errorf("the outcome of %d was acknowledged and is lost", index)
		}
	}
	if len(acknowledged) < 1200 {
		t.Errorf("only %d outcomes were acknowledged in three starts", len(acknowledged))
	}
}

func writeUntilKilled(t *testing.T, path string) {
	store := openAny(t, path)
	var run *Run
	write(t, store, func(tx *Tx) (err error) {
		if run, err = tx.Run("uid"); err == nil && run == nil {
			run = &Run{UID: "uid", Total: 1 << 30, UnsuccessfulCut: -1}
			err = tx.InsertRun(run)
		}
		return err
	})
	from, err := strconv.Atoi(os.Getenv("OUTCOMES_TEST_FROM"))
	if err != nil {
		t.Fatal(err)
	}
	for writer := range 4 {
		go func() {
			for index := from + writer; ; index += 4 {
				add(t, store, run, Outcome{Index: index, Status: Succeeded, Result: []byte(strconv.Itoa(index))})
				fmt.Println(index)
			}
		}()
	}
	select {}
}
