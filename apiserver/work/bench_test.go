package work

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
	"sharedcloud.io/function-operator/exchange"
)

// BenchmarkExchange measures the server's work for a run of trivial inputs with 8 workers: decoding requests, decisions, storing and syncing,
// encoding answers. For comparison, it stores the same outcomes as bare prepared multi-row inserts in sequential transactions of the mean
// batch size, on the same engine with the same settings.
//
//	go test -run '^$' -bench Exchange ./apiserver/work
func BenchmarkExchange(b *testing.B) {
	for _, inputs := range []int{8000, 100_000} {
		b.Run("SQLite/"+strconv.Itoa(inputs), func(b *testing.B) { benchmarkExchange(b, inputs, func() string { return "" }, bareInserts) })
	}
	server, err := postgrestest.Start("fsync=on", "full_page_writes=on")
	if err != nil {
		b.Fatal(err)
	}
	defer server.Stop()
	for _, inputs := range []int{8000, 100_000} {
		b.Run("PostgreSQL/"+strconv.Itoa(inputs), func(b *testing.B) {
			benchmarkExchange(b, inputs, func() string { return server.Schema(b) }, func(b *testing.B, inputs, batch int) time.Duration {
				return barePostgres(b, server.Schema(b), inputs, batch)
			})
		})
	}
}

func benchmarkExchange(b *testing.B, inputs int, place func() string, bareInserts func(b *testing.B, inputs, batch int) time.Duration) {
	b.Helper()
	for b.Loop() {
		var calls int
		run, runCPU := measured(b, func() time.Duration {
			spent, made := exchangeAll(b, place(), inputs, 8)
			calls = made
			return spent
		})
		bare, bareCPU := measured(b, func() time.Duration { return bareInserts(b, inputs, max(1, inputs/calls)) })
		b.ReportMetric(float64(inputs)/run.Seconds(), "outcomes/s")
		b.ReportMetric(float64(inputs)/bare.Seconds(), "bare-outcomes/s")
		b.ReportMetric(bare.Seconds()/run.Seconds(), "of-bare-speed")
		b.ReportMetric(runCPU.Seconds(), "cpu-s")
		b.ReportMetric(bareCPU.Seconds(), "bare-cpu-s")
		b.ReportMetric(bareCPU.Seconds()/runCPU.Seconds(), "of-bare-cpu")
		b.ReportMetric(float64(calls), "calls")
		b.ReportMetric(0, "ns/op")
	}
}

// measured returns the time that do returns, and the CPU time of this process meanwhile: on a shared machine only the CPU time is
// reproducible.
func measured(b *testing.B, do func() time.Duration) (wall, cpu time.Duration) {
	b.Helper()
	runtime.GC()
	used := func() time.Duration {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	before := used()
	wall = do()
	return wall, used() - before
}

// exchangeAll executes a run through the handler with workers that need no time, and returns the duration and the number of calls.
func exchangeAll(b *testing.B, where string, inputs, workers int) (spent time.Duration, calls int) {
	b.Helper()
	c := newClusterAt(b, where, func(r *Run) { r.Total, r.Workers = inputs, workers })
	var count sync.Mutex
	var wait sync.WaitGroup
	start := time.Now()
	for index := range workers {
		p := c.pod(index)
		serve := Handler(c.exchange, &onlyWorker{worker: p.worker})
		wait.Go(func() {
			made, err := p.post(serve)
			if err != nil {
				b.Error(err)
			}
			count.Lock()
			calls += made
			count.Unlock()
		})
	}
	wait.Wait()
	spent = time.Since(start)
	if got := c.progress(); got.Succeeded != int32(inputs) {
		b.Fatalf("%d succeeded of %d", got.Succeeded, inputs)
	}
	return spent, calls
}

// post executes inputs until the run has finished, over HTTP without a network. It formats bodies as text, so that the cost of encoding
// requests, which a server does not have, is small.
func (p *pod) post(serve http.Handler) (calls int, err error) {
	var done bytes.Buffer
	for sequence := 1; ; sequence++ {
		body := fmt.Sprintf(`{"protocol":1,"sequence":%d,"held":"","want":true,"waitSeconds":5,"outcomes":[%s]}`, sequence, done.Bytes())
		r := httptest.NewRequest(http.MethodPost, address, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		serve.ServeHTTP(w, r)
		var answer exchange.Answer
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
			return calls, fmt.Errorf("%d %s: %w", w.Code, w.Body, err)
		}
		calls++
		if answer.Action == exchange.ActionFinished || answer.Action == exchange.ActionStop {
			return calls, nil
		}
		done.Reset()
		for i, input := range answer.Inputs {
			if i > 0 {
				done.WriteByte(',')
			}
			fmt.Fprintf(&done, `{"index":%d,"status":"Succeeded","result":%d,"startTime":1795521600000000,"durationMicros":12}`, input.Index, input.Index*input.Index)
		}
	}
}

func bareInserts(b *testing.B, inputs, batch int) time.Duration {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bare.db")
	store := outcomes.NewSQLite(path)
	if err := store.Open(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	return bareInto(b, db, 8, inputs, batch)
}

// barePostgres is bareInserts on PostgreSQL, with as many rows per statement as the store uses there.
func barePostgres(b *testing.B, where string, inputs, batch int) time.Duration {
	b.Helper()
	store := outcomes.NewPostgres(outcomes.FixedURL(where))
	if err := errors.Join(store.Open(context.Background()), store.Close()); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("pgx", where)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	return bareInto(b, db, 64, inputs, batch)
}

func bareInto(b *testing.B, db *sql.DB, rows, inputs, batch int) time.Duration {
	b.Helper()
	const columns = 8
	statement := func(rows int) *sql.Stmt {
		var text strings.Builder
		text.WriteString(`INSERT INTO outcomes (id, status, attempts, assigned_us, start_us, completion_us, worker_id, result) VALUES `)
		for row := range rows {
			if row > 0 {
				text.WriteByte(',')
			}
			for column := range columns {
				text.WriteString([]string{",", "("}[number(column == 0)])
				text.WriteString("$" + strconv.Itoa(row*columns+column+1))
			}
			text.WriteByte(')')
		}
		prepared, err := db.Prepare(text.String())
		if err != nil {
			b.Fatal(err)
		}
		return prepared
	}
	one, many := statement(1), statement(rows)
	start := time.Now()
	for first := 0; first < inputs; first += batch {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		for index, last := first, min(first+batch, inputs); index < last; {
			n, prepared := 1, one
			if last-index >= rows {
				n, prepared = rows, many
			}
			args := make([]any, 0, columns*n)
			for i := range n {
				args = append(args, int64(1)<<32+int64(index+i), 1, 1, int64(1795521600000000), int64(1795521600000000), int64(1795521600000012),
					int64(1), []byte(strconv.Itoa((index+i)*(index+i))))
			}
			if _, err := tx.Stmt(prepared).Exec(args...); err != nil { //nolint:sqlclosecheck // closed with its transaction
				b.Fatal(err)
			}
			index += n
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
