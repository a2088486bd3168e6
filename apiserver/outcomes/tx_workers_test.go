package outcomes

import (
	"database/sql"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
	"k8s.io/apimachinery/pkg/types"
)

func TestAStartupIsRecordedOnceAndNotOverwrittenByTheExchange(t *testing.T) {
	store := newStore(t)
	run, other := addRun(t, store, "uid"), addRun(t, store, "other")
	worker := Worker{RunID: run.ID, PodUID: "pod", PodName: "name", Node: "node", State: WorkerLive, Executing: -1}
	twin, gone := worker, worker
	twin.RunID = other.ID
	gone.PodUID, gone.State = "gone", WorkerLeft
	for _, w := range []*Worker{&worker, &twin, &gone} {
		write(t, store, func(tx *Tx) error { return tx.PutWorker(w) })
	}
	pending := func() (leases []Lease) {
		t.Helper()
		if err := store.View(ctx, func(tx *Tx) (err error) {
			leases, err = tx.LeasesWithoutStartup()
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return leases
	}
	lease := func(run types.UID) Lease {
		return Lease{Run: run, Pod: "pod", Namespace: "ns", RunName: "run-" + string(run), PodName: "name", Node: "node"}
	}
	if diff := cmp.Diff([]Lease{lease("uid"), lease("other")}, pending()); diff != "" {
		t.Errorf("leases without a startup (-want +got):\n%s", diff)
	}
	for pod, want := range map[types.UID]bool{"pod": true, "unknown": false} {
		write(t, store, func(tx *Tx) error {
			if found, err := tx.SetStartup("uid", pod, "A100", "Scheduled\nStarted"); err != nil || found != want {
				t.Errorf("the startup of %s was recorded: %v, %v; want %v", pod, found, err, want)
			}
			return nil
		})
	}
	if diff := cmp.Diff([]Lease{lease("other")}, pending()); diff != "" {
		t.Errorf("leases without a startup afterwards (-want +got):\n%s", diff)
	}
	worker.Sequence = 2
	write(t, store, func(tx *Tx) error { return tx.PutWorker(&worker) })
	worker.StartupRecorded, worker.GPUProduct, worker.StartupLog = true, "A100", "Scheduled\nStarted"
	var got []Worker
	if err := store.View(ctx, func(tx *Tx) (err error) {
		got, err = tx.Workers(run.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Worker{worker, gone}, got); diff != "" {
		t.Errorf("the rows (-want +got):\n%s", diff)
	}
}

func TestAWorkerWithoutItsIndexExecutesNothing(t *testing.T) {
	store := newStore(t)
	run := addRun(t, store, "uid")
	worker := Worker{RunID: run.ID, PodUID: "pod", State: WorkerLive, Batches: []Batch{{5, set("1-3")}}, Executing: 2, ExecutingMicros: 7}
	kept := worker
	if kept.Keep(set("2")); kept.Executing != 2 || kept.ExecutingMicros != 7 {
		t.Errorf("a worker that keeps its index executes %d since %d", kept.Executing, kept.ExecutingMicros)
	}
	if kept.Keep(set("3")); kept.Executing != -1 || kept.ExecutingMicros != 0 {
		t.Errorf("a worker that lost its index executes %d since %d", kept.Executing, kept.ExecutingMicros)
	}
	write(t, store, func(tx *Tx) error { return errors.Join(tx.PutWorker(&worker), tx.FenceWorkers(run.ID)) })
	worker.State, worker.Batches, worker.Executing, worker.ExecutingMicros = WorkerLeft, nil, -1, 0
	var got *Worker
	if err := store.View(ctx, func(tx *Tx) (err error) {
		got, err = tx.Worker(run.ID, "pod")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&worker, got); diff != "" {
		t.Errorf("the row after the fence (-want +got):\n%s", diff)
	}
}

// TestAStoreOfTheFirstVersionKeepsItsRows migrates a file with workers and outcomes.
func TestAStoreOfTheFirstVersionKeepsItsRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outcomes.db")
	store := NewSQLite(path)
	folder, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", store.dsn(""))
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, folder)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO runs VALUES (1, 'uid', 'ns', 'run', 9, 0, 9, '', '', 1, 0, 0, 0, '', -1, 1, 1, 0, 0, 0, 0, '', '', '',
		0, 0, 0, '', 0, '', '', '', 0, 0, 0, 5);
		INSERT INTO workers VALUES (3, 1, 'pod', 'name', 'node', 'job', 0, '', 1, 4, '5:2', 0, 2, 'work', '', 6, 7);
		INSERT INTO outcomes (id, status, completion_us, worker_id) VALUES (4294967296, 1, 8, 3)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	upgraded := openStore(t, path)
	var workers []Worker
	if err := upgraded.View(ctx, func(tx *Tx) (err error) {
		workers, err = tx.Workers(1)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := []Worker{{
		ID: 3, RunID: 1, PodUID: "pod", PodName: "name", Node: "node", JobUID: "job", State: WorkerLive, Sequence: 4,
		Batches: []Batch{{5, set("2")}}, Executing: 2, AnswerAction: "work", FirstMicros: 6, LastMicros: 7,
	}}
	if diff := cmp.Diff(want, workers); diff != "" {
		t.Errorf("the worker (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Outcome{{Status: Succeeded, CompletionMicros: 8, WorkerID: 3, PodName: "name", Node: "node"}}, outcomesOf(t, upgraded, "uid", 0, 0)); diff != "" {
		t.Errorf("the outcome (-want +got):\n%s", diff)
	}
}
