package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/work"
)

// load is one run and its simulated workers: they speak the exchange over TLS on loopback, and have no handler but time
// that passes.
type load struct {
	store           outcomes.Store
	tuples, workers int
	each            time.Duration

	name  string
	mu    sync.Mutex
	calls []time.Duration
	most  atomic.Int64
}

var runs atomic.Int64

// run works through all tuples and returns how long that took.
func (l *load) run(ctx context.Context) (took time.Duration, err error) {
	l.name = strconv.FormatInt(runs.Add(1), 10)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	exchange := work.NewExchange(l.store, l, l, l, work.Options{})
	go exchange.Run(ctx)
	server := httptest.NewTLSServer(work.Handler(exchange, l))
	defer server.Close()
	if transport, ok := server.Client().Transport.(*http.Transport); ok {
		transport.MaxIdleConnsPerHost = l.workers
	}
	begun := time.Now()
	errs := make([]error, l.workers)
	var group sync.WaitGroup
	for w := range l.workers {
		group.Go(func() { errs[w] = l.work(ctx, server, w) })
	}
	group.Wait()
	took = time.Since(begun)
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	progress, err := exchange.Progress(ctx, l.described())
	if err == nil && int(progress.Succeeded) != l.tuples {
		err = fmt.Errorf("only %d of %d outcomes are stored", progress.Succeeded, l.tuples)
	}
	return took, err
}

// work is one worker.
func (l *load) work(ctx context.Context, server *httptest.Server, number int) error {
	address := server.URL + "/work/v1/namespaces/bench/runs/" + l.name + "/exchange"
	var done bytes.Buffer
	for sequence := 1; ; sequence++ {
		body := fmt.Sprintf(`{"protocol":1,"sequence":%d,"held":"","want":true,"waitSeconds":5,"outcomes":[%s]}`, sequence, done.Bytes())
		asked := time.Now()
		answer, err := l.post(ctx, server.Client(), address, number, body)
		if err != nil {
			return err
		}
		if answer.Action == work.ActionFinished || answer.Action == work.ActionStop {
			return nil
		}
		l.note(time.Since(asked), len(answer.Tuples))
		done.Reset()
		for i, tuple := range answer.Tuples {
			began := time.Now()
			if l.each > 0 {
				time.Sleep(l.each)
			}
			if i > 0 {
				done.WriteByte(',')
			}
			fmt.Fprintf(&done, `{"index":%d,"status":"Succeeded","result":%d,"startTime":%d,"durationMicros":%d}`,
				tuple.Index, tuple.Index*2, began.UnixMicro(), time.Since(began).Microseconds())
		}
	}
}

func (l *load) post(ctx context.Context, client *http.Client, address string, number int, body string) (*work.Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+strconv.Itoa(number))
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	answer := &work.Answer{}
	if err := json.Unmarshal(text, answer); err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the exchange answers %d: %.200s", response.StatusCode, text)
	}
	return answer, nil
}

func (l *load) note(took time.Duration, tuples int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tuples > 0 {
		l.calls = append(l.calls, took)
	}
	if n := int64(tuples); n > l.most.Load() {
		l.most.Store(n)
	}
}

// batch is how many outcomes a call has that brings many.
func (l *load) batch() int { return max(1, int(l.most.Load())) }

// percentile is how long that share of the calls that brought something took at most.
func (l *load) percentile(share float64) time.Duration {
	sorted := slices.Sorted(slices.Values(l.calls))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

func (l *load) described() work.Run {
	return work.Run{UID: types.UID("bench-" + l.name), Namespace: "bench", Name: l.name, Total: l.tuples, Workers: l.workers, TimeoutSeconds: 600, JobUID: "job"}
}

// Run implements work.Runs.
func (l *load) Run(context.Context, string, string) (work.Run, error) { return l.described(), nil }

// Tuples implements work.Inputs.
func (l *load) Tuples(_ context.Context, _ work.Run, first, last int) ([]work.Tuple, error) {
	tuples := make([]work.Tuple, 0, last-first+1)
	for i := first; i <= last; i++ {
		tuples = append(tuples, work.Tuple{JSON: fmt.Appendf(nil, "[%d]", i)})
	}
	return tuples, nil
}

// Fate implements work.Fates: nothing dies here.
func (l *load) Fate(context.Context, string, string, types.UID) work.Fate {
	return work.Fate{State: work.FateRunning}
}

// Worker implements work.Authenticator: the token says which worker calls.
func (l *load) Worker(r *http.Request, namespace, run string) (work.Worker, error) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	index, err := strconv.Atoi(name)
	if err != nil {
		return work.Worker{}, work.ErrUnauthenticated
	}
	return work.Worker{Namespace: namespace, Run: run, PodName: "worker-" + name, Node: "here",
		PodUID: types.UID(run + "-" + name), JobUID: "job", CompletionIndex: index}, nil
}
