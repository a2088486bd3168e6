package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/clock"
	_ "modernc.org/sqlite" // the driver sqlite

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/subresources"
)

// rowsAtOnce is the number of rows of one bare insert, tuned to each engine.
func rowsAtOnce(where string) int {
	if strings.HasPrefix(where, "sqlite:") {
		return 8
	}
	return 64
}

func openBare(where string) (*sql.DB, error) {
	driver, address := "pgx", where
	if path, ok := strings.CutPrefix(where, "sqlite://"); ok {
		query := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)"}, "_txlock": {"immediate"}}
		driver, address = "sqlite", "file:"+path+"?"+query.Encode()
	}
	db, err := sql.Open(driver, address)
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// bareInserts inserts as many rows as the exchange did, from one program that does nothing else, under the id of a run
// that does not exist.
func bareInserts(ctx context.Context, where string, inputs, batch int) (took time.Duration, err error) {
	db, err := openBare(where)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	const columns = 8
	prepare := func(rows int) (*sql.Stmt, error) {
		var text strings.Builder
		text.WriteString(`INSERT INTO outcomes (id, status, attempts, assigned_us, start_us, completion_us, worker_id, result) VALUES `)
		for i := range rows * columns {
			switch {
			case i == 0:
				text.WriteByte('(')
			case i%columns == 0:
				text.WriteString("),(")
			default:
				text.WriteByte(',')
			}
			text.WriteString("$" + strconv.Itoa(i+1))
		}
		return db.PrepareContext(ctx, text.String()+")")
	}
	rows := rowsAtOnce(where)
	one, err := prepare(1)
	if err != nil {
		return 0, err
	}
	defer one.Close()
	many, err := prepare(rows)
	if err != nil {
		return 0, err
	}
	defer many.Close()
	now := time.Now().UnixMicro()
	begun := time.Now()
	for first := 0; first < inputs; first += batch {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return 0, err
		}
		for index, last := first, min(first+batch, inputs); index < last; {
			n, prepared := 1, one
			if last-index >= rows {
				n, prepared = rows, many
			}
			args := make([]any, 0, columns*n)
			for i := index; i < index+n; i++ {
				args = append(args, int64(1)<<52+int64(i), 1, 1, now, now, now, int64(1), []byte(strconv.Itoa(2*i)))
			}
			if _, err := tx.StmtContext(ctx, prepared).ExecContext(ctx, args...); err != nil { //nolint:sqlclosecheck // closed with its transaction
				return 0, errors.Join(err, tx.Rollback())
			}
			index += n
		}
		if err := tx.Commit(); err != nil {
			return 0, err
		}
	}
	return time.Since(begun), nil
}

const readUID = types.UID("read")

// fill adds a run with the given number of outcomes.
func fill(ctx context.Context, store outcomes.Store, rows int) error {
	run := &outcomes.Run{UID: readUID, Namespace: "bench", Name: "read", Total: rows, Next: rows, Succeeded: rows, UnsuccessfulCut: -1, Closed: true}
	worker := &outcomes.Worker{PodUID: "pod", PodName: "read-1-0-abcde", Node: "node-1", State: outcomes.WorkerLeft, Executing: -1}
	for first := 0; first < rows; first += 10_000 {
		err := store.Update(ctx, readUID, func(tx *outcomes.Tx) error {
			if first == 0 {
				if err := tx.InsertRun(run); err != nil {
					return err
				}
				worker.RunID = run.ID
				if err := tx.PutWorker(worker); err != nil {
					return err
				}
			}
			var some []outcomes.Outcome
			for i := first; i < min(first+10_000, rows); i++ {
				some = append(some, outcomes.Outcome{
					Index: i, Status: outcomes.Succeeded, Result: fmt.Appendf(nil, `{"accuracy":0.97,"step":%d}`, i), Attempts: 1,
					AssignedMicros: 1, StartMicros: 1795521600000000, CompletionMicros: 1795521600050000, WorkerID: worker.ID,
				})
			}
			return tx.InsertOutcomes(run.ID, some)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sink is a client that reads without delay.
type sink struct {
	header http.Header
	bytes  int64
}

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(int)     {}
func (s *sink) Write(p []byte) (int, error) {
	s.bytes += int64(len(p))
	return len(p), nil
}

// read serves the run whose results are read.
type read struct{ store outcomes.Store }

func (read) Get(context.Context, string, string) (*v1alpha1.FunctionRun, error) {
	run := &v1alpha1.FunctionRun{}
	run.UID = readUID
	return run, nil
}

func (r read) Read(ctx context.Context, run types.UID, selected outcomes.Selection, limit int, yield func(*outcomes.Outcome) bool) error {
	return outcomes.Read(ctx, r.store, run, selected, limit, yield)
}

// refusal records an error response.
type refusal struct{ err error }

func (*refusal) Object(int, runtime.Object) {}
func (r *refusal) Error(err error)          { r.err = err }

// stream reads all outcomes through functionruns/results.
func stream(ctx context.Context, store outcomes.Store, out *sink) (time.Duration, error) {
	results := subresources.NewResults(ctx, read{store}, read{store}, clock.RealClock{})
	refused := &refusal{}
	handler, err := results.Connect(apirequest.WithNamespace(ctx, "bench"), "read", nil, refused)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	handler.ServeHTTP(out, httptest.NewRequestWithContext(ctx, http.MethodGet, "/?format=ndjson", nil))
	return time.Since(begun), refused.err
}

// bareSelect reads the same rows in order and discards them.
func bareSelect(ctx context.Context, where string, rows int) (took time.Duration, err error) {
	db, err := openBare(where)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	begun := time.Now()
	found, err := db.QueryContext(ctx, `SELECT outcomes.id, status, attempts, start_us, completion_us, result, pod_name, node
		FROM outcomes LEFT JOIN workers ON workers.id = worker_id JOIN runs ON runs.uid = 'read'
		WHERE outcomes.id BETWEEN runs.id * 4294967296 AND runs.id * 4294967296 + 2147483647 ORDER BY outcomes.id`)
	if err != nil {
		return 0, err
	}
	defer found.Close()
	n := 0
	var id, status, attempts, start, completion int64
	var result []byte
	var pod, node string
	for ; found.Next(); n++ {
		if err := found.Scan(&id, &status, &attempts, &start, &completion, &result, &pod, &node); err != nil {
			return 0, err
		}
	}
	if err := found.Err(); err != nil {
		return 0, err
	}
	if n != rows {
		return 0, fmt.Errorf("a bare SELECT finds %d rows of %d", n, rows)
	}
	return time.Since(begun), nil
}
