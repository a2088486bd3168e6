package transfer

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// place returns the URL of an empty store of an engine.
func place(t *testing.T, engine string) string {
	t.Helper()
	if engine == "PostgreSQL" {
		return postgrestest.URL(t)
	}
	return outcomes.SQLiteURL(filepath.Join(t.TempDir(), "a folder", "outcomes.db"))
}

func openAt(t *testing.T, where string) outcomes.Database {
	t.Helper()
	store, err := outcomes.New(outcomes.FixedURL(where))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Open(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// furnish adds rows of every kind to a store.
func furnish(t *testing.T, store outcomes.Store, names ...string) {
	t.Helper()
	for _, name := range names {
		uid := types.UID(name)
		run := &outcomes.Run{
			UID: uid, Namespace: "ns", Name: name, Total: 400, UnsuccessfulCut: -1, Next: 7, Returned: set("3-5"), MeanMicros: 12.5,
			Trouble: outcomes.ErrorText{Type: "T", Message: "message\x00with a NUL", Traceback: "trace"}, CreatedMicros: 1<<53 + 1,
		}
		write(t, store, func(tx *outcomes.Tx) error {
			if err := tx.InsertRun(run); err != nil {
				return err
			}
			var workers []*outcomes.Worker
			for i := range 3 {
				w := &outcomes.Worker{
					RunID: run.ID, PodUID: types.UID(fmt.Sprintf("%s-pod-%d", name, i)), PodName: "pod", Node: fmt.Sprintf("node of %s %d", name, i), State: outcomes.WorkerLive,
					Sequence: 9, Batches: []outcomes.Batch{{AssignedMicros: 5, Indexes: set("1-3")}}, Executing: -1, StartupRecorded: true, GPUProduct: "A100", StartupLog: "line\nline ü",
				}
				if err := tx.PutWorker(w); err != nil {
					return err
				}
				workers = append(workers, w)
			}
			if err := tx.PutLoadOutput(run.ID, &outcomes.LoadOutput{WorkerID: workers[1].ID, Stdout: []byte("loaded\x00 ü"), Stderr: []byte{}}); err != nil {
				return err
			}
			all := []outcomes.Outcome{
				{Index: 0, Status: outcomes.Succeeded, WorkerID: workers[2].ID},
				{Index: 1, Status: outcomes.TimedOut, ResultText: []byte{}, Error: &outcomes.ErrorText{}, WorkerID: workers[0].ID},
				{
					Index: 2, Status: outcomes.Failed, Result: []byte(`{"a": 1.50, "b": "\u0000"}`), ResultText: []byte("x\x00"), Error: &outcomes.ErrorText{Type: "T", Message: "m", Traceback: "t\xff"},
					Stdout: []byte{0, 255}, StdoutDropped: 7, Stderr: bytes.Repeat([]byte("e"), 100_000), Attempts: 2, AssignedMicros: 1, StartMicros: 2, CompletionMicros: 3,
				},
			}
			for index := 3; index < 300; index++ {
				all = append(all, outcomes.Outcome{Index: index, Status: outcomes.Succeeded, Result: []byte(name + strconv.Itoa(index)), WorkerID: workers[index%3].ID})
			}
			if err := errors.Join(tx.InsertOutcomes(run.ID, all), tx.PutAttempts(run.ID, []outcomes.Attempts{{Index: 301, Failures: 2, Crashes: 1}})); err != nil {
				return err
			}
			before := *run
			var err error
			run.StoredBytes, err = tx.MeasureRun(run.ID)
			return errors.Join(err, tx.UpdateRun(&before, run))
		})
		upload(t, store, "ns", "sha256:"+name)
	}
}

// contents is the content of a store without the ids that it assigned.
type contents struct {
	Run      outcomes.Run
	Workers  []outcomes.Worker
	Attempts map[int]outcomes.Attempts
	Outcomes []outcomes.Outcome
	Loads    []outcomes.LoadOutput
	Upload   *outcomes.Upload
	Chunks   []outcomes.Chunk
}

var withoutNumbers = cmp.Options{
	cmpopts.IgnoreFields(outcomes.Run{}, "ID"), cmpopts.IgnoreFields(outcomes.Upload{}, "ID"), cmpopts.IgnoreFields(outcomes.Worker{}, "ID", "RunID"), cmpopts.IgnoreFields(outcomes.Outcome{}, "WorkerID"),
	cmp.Transformer("text", func(l outcomes.LoadOutput) [3]string { return [3]string{l.PodName, string(l.Stdout), string(l.Stderr)} }),
	cmp.Comparer(func(a, b indexset.Set) bool { return a.Equal(b) }),
	bytesAtOnce,
}

// bytesAtOnce compares byte slices as a whole: element by element, a megabyte takes minutes under the race detector.
var bytesAtOnce = cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) })

func contentsOf(t *testing.T, store outcomes.Store) map[types.UID]contents {
	t.Helper()
	all := map[types.UID]contents{}
	var uids []types.UID
	if err := store.View(ctx, func(tx *outcomes.Tx) (err error) {
		uids, err = tx.RunUIDs()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, uid := range uids {
		c := contents{Outcomes: outcomesOf(t, store, uid, 0, 0)}
		c.Upload, c.Chunks = uploaded(t, store, "ns", "sha256:"+string(uid))
		if err := store.View(ctx, func(tx *outcomes.Tx) error {
			run, err := tx.Run(uid)
			if err != nil {
				return err
			}
			c.Run = *run
			workers, err1 := tx.Workers(run.ID)
			attempts, err2 := tx.Attempts(run.ID, indexset.Span(0, 1000))
			ids, err3 := tx.LoadWorkers(run.ID)
			for _, id := range ids {
				load, err := tx.LoadOutput(run.ID, id)
				if err != nil {
					return err
				}
				c.Loads = append(c.Loads, *load)
			}
			c.Workers, c.Attempts = workers, attempts
			return errors.Join(err1, err2, err3)
		}); err != nil {
			t.Fatal(err)
		}
		all[uid] = c
	}
	return all
}

// copyClosed copies a store that has been closed: PostgreSQL may take a moment to end its connections.
func copyClosed(from, to string) (Counts, error) {
	for begun := time.Now(); ; <-time.After(10 * time.Millisecond) {
		counts, err := Copy(ctx, outcomes.FixedURL(from), outcomes.FixedURL(to))
		if !errors.Is(err, outcomes.ErrInUse) || time.Since(begun) > 30*time.Second {
			return counts, err
		}
	}
}

func TestACopyHasAllRows(t *testing.T) {
	for _, way := range [][2]string{{"SQLite", "PostgreSQL"}, {"PostgreSQL", "SQLite"}, {"SQLite", "SQLite"}, {"PostgreSQL", "PostgreSQL"}} {
		t.Run(way[0]+" to "+way[1], func(t *testing.T) {
			from, to := place(t, way[0]), place(t, way[1])
			store := openAt(t, from)
			// The first run is deleted, so that ids differ in the copy.
			furnish(t, store, "gone", "one", "two")
			for done := false; !done; {
				write(t, store, func(tx *outcomes.Tx) error {
					run, err := tx.Run("gone")
					if err != nil {
						return err
					}
					done, err = tx.DeleteSome(run, 1000)
					return err
				})
			}
			// Incomplete uploads are not copied, because they cannot be identified.
			for _, name := range []string{"a", "b"} {
				write(t, store, func(tx *outcomes.Tx) error {
					id, err := tx.InsertUpload("ns", nsUID, 1)
					_, err1 := tx.AddChunk(id, outcomes.Chunk{Inputs: 1, Data: []byte(name)}, 1)
					return errors.Join(err, err1, tx.PutArriving("ns", name, id, []byte("state")))
				})
			}
			want := contentsOf(t, store)
			if _, err := Copy(ctx, outcomes.FixedURL(from), outcomes.FixedURL(to)); !errors.Is(err, outcomes.ErrInUse) {
				t.Fatalf("copying a store that a server uses got %v", err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			counts, err := copyClosed(from, to)
			if err != nil {
				t.Fatal(err)
			}
			if want := "2 runs, 6 workers, 2 load_output, 2 attempts, 600 outcomes, 3 uploads, 6 upload_chunks"; counts.String() != want {
				t.Errorf("copied: %s; want %s", counts, want)
			}
			copied := openAt(t, to)
			if diff := cmp.Diff(want, contentsOf(t, copied), withoutNumbers); diff != "" {
				t.Errorf("the copy (-want +got):\n%s", diff)
			}
			// The copy is a normal store: new rows get new ids.
			furnish(t, copied, "three")
			if err := copied.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := copyClosed(from, to); !errors.Is(err, ErrNotEmpty) {
				t.Errorf("copying into a store that is not empty got %v", err)
			}
		})
	}
}

func TestAnExportIsOneStateWhileServersWriteAndCanBeImportedAnywhere(t *testing.T) {
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		t.Run(engine, func(t *testing.T) {
			from := place(t, engine)
			store := openAt(t, from)
			furnish(t, store, "quiet")
			run := addRun(t, store, "busy")
			stop, stopped := make(chan struct{}), make(chan struct{})
			begun := make(chan struct{})
			go func() {
				defer close(stopped)
				before := *run
				for index := 0; ; index++ {
					after := before
					after.Next, after.Succeeded = index+1, index+1
					if err := store.Update(ctx, "busy", func(tx *outcomes.Tx) error {
						return errors.Join(tx.InsertOutcomes(run.ID, []outcomes.Outcome{{Index: index, Status: outcomes.Succeeded}}), tx.UpdateRun(&before, &after))
					}); err != nil {
						t.Errorf("writing meanwhile: %v", err)
					}
					before = after
					if index == 20 {
						close(begun)
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			}()
			<-begun
			// The reader of the export is slow.
			var file bytes.Buffer
			if _, err := Export(ctx, outcomes.FixedURL(from), &slowWriter{to: &file, run: run, store: store}); err != nil {
				t.Fatal(err)
			}
			close(stop)
			<-stopped
			want := contentsOf(t, store)
			for _, other := range []string{"SQLite", "PostgreSQL"} {
				to := place(t, other)
				imported, err := Import(ctx, outcomes.FixedURL(to), bytes.NewReader(file.Bytes()))
				if err != nil {
					t.Fatal(err)
				}
				got := contentsOf(t, openAt(t, to))
				if diff := cmp.Diff(want["quiet"], got["quiet"], withoutNumbers); diff != "" {
					t.Errorf("the rows that were not written meanwhile (-want +got):\n%s", diff)
				}
				busy := got["busy"]
				if n := len(busy.Outcomes); n < 21 || busy.Run.Succeeded != n || busy.Run.Next != n || imported.Added["outcomes"] != int64(300+n) {
					t.Errorf("the run counts %d outcomes, %d are stored, and %s were added", busy.Run.Succeeded, n, imported.Added)
				}
				if n, now := len(busy.Outcomes), len(want["busy"].Outcomes); n >= now {
					t.Errorf("the export has %d outcomes of %d: nothing was written meanwhile", n, now)
				}
			}
		})
	}
}

// slowWriter blocks its first write until a few more outcomes are stored.
type slowWriter struct {
	to     io.Writer
	store  outcomes.Store
	run    *outcomes.Run
	waited bool
}

func (w *slowWriter) Write(p []byte) (int, error) {
	next := func() (n int) {
		_ = w.store.View(ctx, func(tx *outcomes.Tx) error {
			run, err := tx.Run(w.run.UID)
			if err == nil {
				n = run.Next
			}
			return err
		})
		return n
	}
	if first := next(); !w.waited {
		for next() < first+5 {
			continue
		}
		w.waited = true
	}
	return w.to.Write(p)
}

func TestImportSkipsRunsThatTheStoreHas(t *testing.T) {
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		t.Run(engine, func(t *testing.T) {
			from, to := place(t, engine), place(t, engine)
			first := openAt(t, from)
			furnish(t, first, "one", "two")
			var file bytes.Buffer
			if _, err := Export(ctx, outcomes.FixedURL(from), &file); err != nil {
				t.Fatal(err)
			}
			second := openAt(t, to)
			addRun(t, second, "zero")
			mine := addRun(t, second, "two")
			add(t, second, mine, outcomes.Outcome{Index: 9, Status: outcomes.Cancelled})
			upload(t, second, "ns", "sha256:two")
			before := contentsOf(t, second)
			if err := second.Close(); err != nil {
				t.Fatal(err)
			}
			imported, err := Import(ctx, outcomes.FixedURL(to), bytes.NewReader(file.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := imported.Added.String()+"; "+imported.Skipped.String(), "1 runs, 3 workers, 1 load_output, 1 attempts, 300 outcomes, 1 uploads, 2 upload_chunks; 1 runs, 3 workers, 1 load_output, 1 attempts, 300 outcomes, 1 uploads, 2 upload_chunks"; got != want {
				t.Errorf("added and skipped: %s; want %s", got, want)
			}
			want := contentsOf(t, first)
			want["zero"], want["two"] = before["zero"], before["two"]
			if diff := cmp.Diff(want, contentsOf(t, openAt(t, to)), withoutNumbers); diff != "" {
				t.Errorf("the store (-want +got):\n%s", diff)
			}
		})
	}
}

func TestADamagedFileImportsNothing(t *testing.T) {
	from := place(t, "SQLite")
	furnish(t, openAt(t, from), "one")
	var file bytes.Buffer
	if _, err := Export(ctx, outcomes.FixedURL(from), &file); err != nil {
		t.Fatal(err)
	}
	unzip, err := gzip.NewReader(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	zip := func(text string) []byte {
		var zipped bytes.Buffer
		writer := gzip.NewWriter(&zipped)
		_, _ = writer.Write([]byte(text))
		_ = writer.Close()
		return zipped.Bytes()
	}
	whole := string(text)
	lines := strings.SplitAfter(whole, "\n")
	for name, tc := range map[string]struct {
		file  []byte
		words string
	}{
		"nothing":                           {nil, "not an export"},
		"something else":                    {[]byte("PK something else"), "not an export"},
		"other lines":                       {zip("{}\n"), "not an export"},
		"truncated in the middle":           {file.Bytes()[:file.Len()/2], "nothing was imported"},
		"truncated before its last bytes":   {file.Bytes()[:file.Len()-9], "nothing was imported"},
		"lines are missing at the end":      {zip(strings.Join(lines[:len(lines)-2], "")), "truncated"},
		"truncated in a line":               {zip(whole[:len(whole)/2]), "truncated"},
		"a line is missing":                 {zip(strings.Join(append(append([]string{}, lines[:20]...), lines[21:]...), "")), "checksum"},
		"a changed character":               {zip(strings.Replace(whole, `"ns"`, `"nz"`, 1)), "checksum"},
		"of a newer version":                {zip(strings.Replace(whole, `"version":1`, `"version":2`, 1)), "has version 2 and this program supports 1"},
		"with an unknown table":             {zip(strings.Replace(whole, `"table":"workers"`, `"table":"weather"`, 1)), `a table "weather"`},
		"with an unknown column":            {zip(strings.Replace(whole, `"alone"`, `"together"`, 1)), `a column "together" of workers`},
		"with a row of too few columns":     {zip(strings.Replace(whole, `,"startup_log"`, ``, 1)), "values and"},
		"with a text for a number":          {zip(strings.Replace(whole, `12.5`, `"12.5"`, 1)), "a row of runs"},
		"with a row before the first table": {zip(lines[0] + "[1]\n"), "before the first table"},
	} {
		for _, engine := range []string{"SQLite", "PostgreSQL"} {
			t.Run(name+" into "+engine, func(t *testing.T) {
				to := place(t, engine)
				if _, err := Import(ctx, outcomes.FixedURL(to), bytes.NewReader(tc.file)); err == nil || !strings.Contains(err.Error(), tc.words) {
					t.Errorf("importing got %v; want words like %q", err, tc.words)
				}
				if got := contentsOf(t, openAt(t, to)); len(got) != 0 {
					t.Errorf("the store has %d runs", len(got))
				}
			})
		}
	}
	if _, err := Import(ctx, outcomes.FixedURL(place(t, "SQLite")), bytes.NewReader(zip(whole))); err != nil {
		t.Errorf("the undamaged file got %v", err)
	}
}

func TestAnExportThatCannotBeWrittenFails(t *testing.T) {
	from := place(t, "PostgreSQL")
	furnish(t, openAt(t, from), "one")
	if _, err := Export(ctx, outcomes.FixedURL(from), brokenWriter{}); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("got %v", err)
	}
	within, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Export(within, outcomes.FixedURL(from), io.Discard); err == nil {
		t.Error("an export continued after its context was cancelled")
	}
	if _, err := Export(ctx, outcomes.FixedURL("sqlite:///no/such/file.db"), io.Discard); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing file got %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no room") }

// snapshotOfEmptyStore opens a snapshot of a new store of an engine. It is closed when the test ends.
func snapshotOfEmptyStore(t *testing.T, engine string) *outcomes.Snapshot {
	t.Helper()
	where := place(t, engine)
	openAt(t, where)
	s, err := outcomes.OpenSnapshot(ctx, outcomes.FixedURL(where), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestEveryTableIsExported: a new table, or a new column that contains the id of another row, must be added to tables.
func TestEveryTableIsExported(t *testing.T) {
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		s := snapshotOfEmptyStore(t, engine)
		names, err := s.Tables(ctx)
		if err != nil {
			t.Fatal(err)
		}
		listed := map[string]table{}
		for _, entry := range tables {
			listed[entry.name] = entry
		}
		for _, name := range names {
			entry, ok := listed[name]
			if name == "goose_db_version" || slices.Contains(notExported, name) {
				continue
			}
			if !ok {
				t.Errorf("%s: the table %s is neither exported nor copied: add it to tables", engine, name)
			}
			columns, _, err := s.Columns(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, column := range columns {
				if strings.HasSuffix(column, "_id") && entry.refers[column] == "" {
					t.Errorf("%s: the column %s of %s contains an id that the copy assigns anew: add it to refers", engine, column, name)
				}
			}
		}
	}
}

// TestBothEnginesHaveTheSameColumns: a migration of one engine needs a migration of the other.
func TestBothEnginesHaveTheSameColumns(t *testing.T) {
	kinds := map[string]string{"INTEGER": "INT8", "REAL": "FLOAT8", "BLOB": "BYTEA", "TEXT": "TEXT"}
	columns := map[string]map[string]string{}
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		s := snapshotOfEmptyStore(t, engine)
		columns[engine] = map[string]string{}
		for _, entry := range tables {
			names, types, err := s.Columns(ctx, entry.name)
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range names {
				kind := types[i]
				if engine == "SQLite" {
					kind = kinds[kind]
				}
				columns[engine][entry.name+"."+name] = kind
			}
		}
	}
	if diff := cmp.Diff(columns["SQLite"], columns["PostgreSQL"]); diff != "" {
		t.Errorf("the columns (-SQLite +PostgreSQL):\n%s", diff)
	}
}
