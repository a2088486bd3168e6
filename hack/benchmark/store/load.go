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
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/apiserver/work"
	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// load is one run and its simulated workers: they speak the exchange over TLS on loopback, and have no handler but time
// that passes.
type load struct {
	store           outcomes.Store
	inputs, workers int
	each            time.Duration

	name  string
	mu    sync.Mutex
	calls []time.Duration
	most  atomic.Int64
}

var runs atomic.Int64

// run works through all inputs and returns how long that took.
func (l *load) run(ctx context.Context) (took time.Duration, err error) {
	l.name = strconv.FormatInt(runs.Add(1), 10)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	served := work.NewExchange(l.store, l, l, l, work.Options{Quotas: quotas.New(quotas.Limits{Results: 1 << 40}, l, clock.RealClock{})})
	go served.Run(ctx)
	server := httptest.NewTLSServer(work.Handler(served, l))
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
	progress, err := served.Progress(ctx, l.described())
	if err == nil && int(progress.Succeeded) != l.inputs {
		err = fmt.Errorf("only %d of %d outcomes are stored", progress.Succeeded, l.inputs)
	}
	return took, err
}

// work is one worker. As the real one it asks for more as soon as it executes the last input that it holds.
func (l *load) work(ctx context.Context, server *httptest.Server, number int) error {
	w := worker{load: l, client: server.Client(), address: server.URL + exchange.PathOf("bench", l.name), number: number}
	for {
		if len(w.holds) == 0 {
			if err := w.call(ctx, maxWaitSeconds); err != nil || w.over {
				return err
			}
		}
		began := time.Now()
		if l.each > 0 && len(w.holds) == 1 {
			if err := w.call(ctx, 0); err != nil || w.over {
				return err
			}
		}
		time.Sleep(time.Until(began.Add(l.each)))
		w.finish(began)
	}
}

// maxWaitSeconds is the time for which the call of a worker without inputs is kept open.
const maxWaitSeconds = 5

type worker struct {
	load     *load
	client   *http.Client
	address  string
	number   int
	sequence int64
	// holds are the indexes in hand, the one that is executed first.
	holds []int
	// done are outcomes to report.
	done []exchange.Outcome
	over bool
}

// call reports what is done and asks for more.
func (w *worker) call(ctx context.Context, wait int) error {
	w.sequence++
	request := &exchange.Request{Protocol: exchange.Protocol, Sequence: w.sequence, Want: true, WaitSeconds: wait, Outcomes: w.done}
	if len(w.holds) > 0 {
		request.Held.Set = indexset.Of(w.holds[0]) // a worker that asks for more never holds more than one
	}
	asked := time.Now()
	answer, err := w.load.post(ctx, w.client, w.address, w.number, request)
	if err != nil {
		return err
	}
	w.done = w.done[:0]
	w.over = answer.Action == exchange.ActionFinished || answer.Action == exchange.ActionStop
	w.load.note(time.Since(asked), len(answer.Inputs))
	for _, input := range answer.Inputs {
		w.holds = append(w.holds, input.Index)
	}
	return nil
}

// finish ends the execution of the first input that the worker holds.
func (w *worker) finish(began time.Time) {
	w.done = append(w.done, exchange.Outcome{Index: w.holds[0], Status: v1alpha1.OutcomeSucceeded, Result: strconv.AppendInt(nil, int64(w.holds[0]*2), 10),
		StartTime: began.UnixMicro(), DurationMicros: w.load.each.Microseconds()})
	w.holds = w.holds[1:]
}

func (l *load) post(ctx context.Context, client *http.Client, address string, number int, call *exchange.Request) (*exchange.Answer, error) {
	body, err := json.Marshal(call)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
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
	answer := &exchange.Answer{}
	if err := json.Unmarshal(text, answer); err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the exchange answers %d: %.200s", response.StatusCode, text)
	}
	return answer, nil
}

func (l *load) note(took time.Duration, inputs int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if inputs > 0 {
		l.calls = append(l.calls, took)
	}
	if n := int64(inputs); n > l.most.Load() {
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
	return work.Run{UID: types.UID("bench-" + l.name), Namespace: "bench", Name: l.name, Total: l.inputs, Workers: l.workers, TimeoutSeconds: 600, JobUID: "job"}
}

// Run implements work.Runs.
func (l *load) Run(context.Context, string, string) (work.Run, error) { return l.described(), nil }

// Lookup implements quotas.Namespaces.
func (l *load) Lookup(name string) (types.UID, map[string]string, bool) {
	return types.UID(name + "-uid"), nil, true
}

// Inputs implements work.Inputs.
func (l *load) Inputs(_ context.Context, _ work.Run, first, last int) ([]work.Input, error) {
	inputs := make([]work.Input, 0, last-first+1)
	for i := first; i <= last; i++ {
		inputs = append(inputs, work.Input{JSON: fmt.Appendf(nil, "[%d]", i)})
	}
	return inputs, nil
}

// PodExit implements work.PodExits: nothing dies here.
func (l *load) PodExit(context.Context, string, string, types.UID) work.PodExit {
	return work.PodExit{State: work.PodExitRunning}
}

// Ending implements work.PodExits.
func (l *load) Ending(string, string, types.UID) bool { return false }

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
