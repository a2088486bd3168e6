package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/work"
	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/runtimes"
)

// job is one run: its inputs, and how many workers it has.
type job struct {
	inputs  []work.Input
	workers int
}

// bench is the little that the exchange needs to be told, where there is no cluster.
type bench struct {
	jobs []job
	// gate holds each worker's first call until all have called: workers are warm when the clock starts.
	gate    sync.WaitGroup
	arrived sync.Map
}

// measure runs the jobs at the same time on warm workers and returns the time from the first claim to the last outcome
// stored.
func measure(ctx context.Context, code string, jobs []job) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	folder, err := os.MkdirTemp("", "exchange-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	store := outcomes.NewSQLite(filepath.Join(folder, "store", "outcomes.db"))
	if err := store.Open(ctx); err != nil {
		return 0, err
	}
	defer func() { _ = store.Close() }()

	b := &bench{jobs: jobs}
	changed := make(chan struct{}, 1)
	served := work.NewExchange(store, b, b, b, work.Options{Changed: func(types.UID) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}})
	go served.Run(ctx)
	server := httptest.NewTLSServer(b.gated(work.Handler(served, b)))
	defer server.Close()
	stop, err := b.start(ctx, folder, code, server)
	if err != nil {
		return 0, err
	}
	defer stop()
	b.gate.Wait()
	start := time.Now()
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, fmt.Errorf("the workers did not come to an end: %w", ctx.Err())
		}
		took := time.Since(start)
		if closed, err := b.closed(ctx, served); err != nil || closed {
			return took, err
		}
	}
}

func (b *bench) closed(ctx context.Context, served *work.Exchange) (bool, error) {
	for i := range b.jobs {
		progress, err := served.Progress(ctx, b.run(i))
		if err != nil || !progress.Closed {
			return false, err
		}
		if int(progress.Succeeded) != len(b.jobs[i].inputs) {
			return false, fmt.Errorf("only %d of %d inputs succeeded", progress.Succeeded, len(b.jobs[i].inputs))
		}
	}
	return true, nil
}

// start starts the workers of all jobs as processes, each with a token that says which one it is.
func (b *bench) start(ctx context.Context, folder, code string, server *httptest.Server) (stop func(), err error) {
	runtime, ok := runtimes.Lookup("python311")
	if !ok {
		return nil, fmt.Errorf("there is no runtime python311")
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	files := map[string][]byte{runtime.RunnerFile: []byte(runtime.Runner), runtime.HandlerFile: []byte(code), "ca.crt": certificate}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	var started []*exec.Cmd
	stop = func() {
		for _, cmd := range started {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	for i, job := range b.jobs {
		for w := range job.workers {
			b.gate.Add(1)
			token := filepath.Join(folder, fmt.Sprintf("token-%d-%d", i, w))
			if err := os.WriteFile(token, fmt.Appendf(nil, "%d/%d", i, w), 0o600); err != nil {
				return stop, err
			}
			cmd := exec.Command(runtime.Command[0], append(runtime.Command[1:], filepath.Join(folder, runtime.RunnerFile))...)
			cmd.Env = append(os.Environ(),
				"SHAREDCLOUD_EXCHANGE_URL="+server.URL+exchange.PathOf("bench", strconv.Itoa(i)),
				"SHAREDCLOUD_TOKEN_FILE="+token, "SHAREDCLOUD_CA_FILE="+filepath.Join(folder, "ca.crt"),
				"SHAREDCLOUD_CODE="+filepath.Join(folder, runtime.HandlerFile))
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				stop()
				return nil, fmt.Errorf("starting a worker: %w", err)
			}
			started = append(started, cmd)
		}
	}
	return stop, nil
}

func (b *bench) gated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, before := b.arrived.LoadOrStore(r.Header.Get("Authorization"), true); !before {
			b.gate.Done()
			b.gate.Wait()
		}
		next.ServeHTTP(w, r)
	})
}

func uidOf(i int) types.UID { return types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i)) }

// Run implements work.Runs.
func (b *bench) Run(_ context.Context, _, name string) (work.Run, error) {
	i, err := strconv.Atoi(name)
	if err != nil || i >= len(b.jobs) {
		return work.Run{}, work.ErrNoRun
	}
	return b.run(i), nil
}

func (b *bench) run(i int) work.Run {
	return work.Run{UID: uidOf(i), Namespace: "bench", Name: strconv.Itoa(i), Total: len(b.jobs[i].inputs), Workers: b.jobs[i].workers,
		TimeoutSeconds: 600, JobUID: "job"}
}

// Inputs implements work.Inputs.
func (b *bench) Inputs(_ context.Context, run work.Run, first, last int) ([]work.Input, error) {
	i, err := strconv.Atoi(run.Name)
	if err != nil {
		return nil, err
	}
	return b.jobs[i].inputs[first : last+1], nil
}

// PodExit implements work.PodExits: nothing dies here.
func (b *bench) PodExit(context.Context, string, string, types.UID) work.PodExit {
	return work.PodExit{State: work.PodExitRunning}
}

// Ending implements work.PodExits.
func (b *bench) Ending(string, string, types.UID) bool { return false }

// Worker implements work.Authenticator: the token says which worker calls.
func (b *bench) Worker(r *http.Request, namespace, run string) (work.Worker, error) {
	_, name, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "/")
	index, err := strconv.Atoi(name)
	if err != nil {
		return work.Worker{}, work.ErrUnauthenticated
	}
	return work.Worker{Namespace: namespace, Run: run, PodName: "worker-" + name, Node: "here",
		PodUID: types.UID(run + "-" + name), JobUID: "job", CompletionIndex: index}, nil
}
