// Command store measures the outcome store on SQLite and on PostgreSQL (a server that it starts itself, from Debian's
// package): outcomes of simulated workers through the exchange compared with bare inserts of the same rows, the cost of many
// concurrent workers, and reading a million outcomes in order compared with a bare SELECT.
//
// main.go has the comparisons, load.go the simulated workers, bare.go the plain SQL of the other side.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
	"sharedcloud.io/function-operator/hack/benchmark/figures"
)

// engine is a database engine to measure.
type engine struct {
	name string
	// where is the URL of an empty store.
	where func(folder string) string
}

func main() {
	inputs := flag.Int("inputs", 200_000, "number of outcomes through the exchange")
	rows := flag.Int("rows", 1_000_000, "number of outcomes to read")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *inputs, *rows); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, inputs, rows int) error {
	// Synchronous commits, as in production: an acknowledged outcome is durable.
	server, err := postgrestest.Start("fsync=on")
	if err != nil {
		return err
	}
	defer server.Stop()
	for _, e := range []engine{
		{"SQLite", func(folder string) string { return "sqlite://" + filepath.Join(folder, "outcomes.db") }},
		{"PostgreSQL", func(string) string { return server.SocketURL() }},
	} {
		if err := e.measure(ctx, inputs, rows); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

func (e engine) measure(ctx context.Context, inputs, rows int) (err error) {
	folder, err := os.MkdirTemp("", "store-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	where := e.where(folder)
	store, err := outcomes.New(outcomes.FixedURL(where))
	if err != nil {
		return err
	}
	if err := store.Open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	l := &load{store: store, inputs: inputs, workers: 8}
	took, err := l.run(ctx)
	if err != nil {
		return err
	}
	bare, err := bareInserts(ctx, where, inputs, l.batch())
	if err != nil {
		return err
	}
	figures.Figure{
		Name: fmt.Sprintf("%s: %d outcomes through the exchange / bare prepared inserts of the same rows, %d a transaction (%.0f / %.0f a second)",
			e.name, inputs, l.batch(), float64(inputs)/took.Seconds(), float64(inputs)/bare.Seconds()),
		Ours: took, Theirs: bare, AtMost: 2,
	}.Print(os.Stdout)

	if err := e.crowd(ctx, store); err != nil {
		return err
	}

	if err := fill(ctx, store, rows); err != nil {
		return err
	}
	out := &sink{header: http.Header{}}
	streamed, err := stream(ctx, store, out)
	if err != nil {
		return err
	}
	selected, err := bareSelect(ctx, where, rows)
	if err != nil {
		return err
	}
	figures.Figure{
		Name: fmt.Sprintf("%s: %d outcomes streamed in order as NDJSON, %d MB, %.0f MB/s / a bare SELECT of the same rows",
			e.name, rows, out.bytes>>20, float64(out.bytes)/1e6/streamed.Seconds()),
		Ours: streamed, Theirs: selected, AtMost: 3,
	}.Print(os.Stdout)
	return nil
}

// crowd measures 1 and 64 workers with inputs of 50 ms.
func (e engine) crowd(ctx context.Context, store outcomes.Store) error {
	const each = 50 * time.Millisecond
	var p99 [2]time.Duration
	for i, workers := range []int{1, 64} {
		l := &load{store: store, inputs: workers * 100, workers: workers, each: each}
		took, err := l.run(ctx)
		if err != nil {
			return err
		}
		p99[i] = l.percentile(0.99)
		figures.Figure{
			Name: fmt.Sprintf("%s: %d inputs of 50 ms on %d workers / no time lost (hand-outs take %s, 99 %% of them at most %s)",
				e.name, l.inputs, workers, l.percentile(0.5).Round(10*time.Microsecond), p99[i].Round(10*time.Microsecond)),
			Ours: took, Theirs: 100 * each, AtMost: 1.05,
		}.Print(os.Stdout)
	}
	figures.Figure{Name: e.name + ": hand-out with 64 workers, p99 / with one", Ours: p99[1], Theirs: p99[0], AtMost: 10}.Print(os.Stdout)
	return nil
}
