// Package localexchange serves the work exchange (docs/exchange.md) to one worker on this machine: it hands out inputs, takes outcomes,
// and stores nothing. `kubectl function test` runs the same runner as the cluster against it.
//
// What lives here: the decisions of the protocol as far as one worker needs them; its types are those of package exchange. What
// must not: Kubernetes, and how the runner is started.
package localexchange

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/exchange/indexset"
)

const (
	// leaseSeconds is how often the worker has to call. No other worker waits for its inputs.
	leaseSeconds = 30
	// batchMicros is the time that the inputs of one answer take: inputs that take long are handed out one by one.
	batchMicros = 20_000
	maxBatch    = 256
)

// Exchange serves one run to one worker.
type Exchange struct {
	token     string
	timeout   int
	batchSize int
	report    func(exchange.Outcome)
	loaded    func(exchange.LoadOutput)
	listener  net.Listener
	server    *http.Server

	mu        sync.Mutex
	inputs    []exchange.Input
	pending   indexset.Set
	suspects  indexset.Set // were in one call of the handler whose process ended: they are handed out one by one
	leased    indexset.Set
	done      indexset.Set
	sequence  int64
	last      []byte
	micros    int64 // total execution time
	loadError *exchange.ErrorText
	ending    bool
}

// New serves the inputs on a port of this machine to the worker that presents Token. It calls report with each outcome, one
// after the other, and loaded with what the module printed while it was loaded, if the load succeeded. batchSize is the maximum number of
// inputs in one call of the handler.
func New(inputs []exchange.Input, timeoutSeconds, batchSize int, report func(exchange.Outcome), loaded func(exchange.LoadOutput)) (*Exchange, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a port on this machine: %w", err)
	}
	e := &Exchange{
		token: rand.Text(), timeout: timeoutSeconds, batchSize: max(batchSize, 1), report: report, loaded: loaded, listener: listener,
		inputs: inputs, pending: indexset.Span(0, len(inputs)-1),
	}
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = e.server.Serve(listener) }()
	return e, nil
}

// URL is the address that the worker calls.
func (e *Exchange) URL() string {
	return "http://" + e.listener.Addr().String() + exchange.PathOf("local", "test")
}

// Token is the token that the worker presents.
func (e *Exchange) Token() string { return e.token }

// Close stops the server.
func (e *Exchange) Close() { _ = e.server.Close() }

// End makes the worker stop at its next call.
func (e *Exchange) End() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ending = true
}

// Left returns the number of inputs without an outcome.
func (e *Exchange) Left() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.inputs) - e.done.Len()
}

// LoadError is why the module could not be loaded, with what it printed before, nil if it could.
func (e *Exchange) LoadError() *exchange.ErrorText {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.loadError
}

// ServeHTTP answers one call.
func (e *Exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+e.token {
		refuse(w, http.StatusUnauthorized, errors.New("this is not the worker's token"))
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, exchange.MaxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		refuse(w, http.StatusRequestEntityTooLarge, exchange.ErrTooLarge)
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, err)
		return
	}
	request, err := exchange.ParseRequest(text)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	answer, err := e.process(request)
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	write(w, http.StatusOK, answer)
}

func refuse(w http.ResponseWriter, status int, err error) {
	refusal := exchange.Refusal{Error: err.Error()}
	var request *exchange.RequestError
	if errors.As(err, &request) {
		refusal.Index = request.Index
	}
	text, _ := json.Marshal(refusal)
	write(w, status, text)
}

func write(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

var errSequence = errors.New("a later call has been answered")

// process records what a call reports and returns the answer. With one worker there is nothing to wait for: pending inputs
// are handed out, and when none is pending or held, the run has finished.
func (e *Exchange) process(r *exchange.Request) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case r.Sequence == e.sequence && e.last != nil:
		return e.last, nil
	case r.Sequence <= e.sequence:
		return nil, errSequence
	}
	if r.LoadOutput.Bytes() > 0 && r.LoadError == nil {
		e.loaded(*r.LoadOutput)
	}
	for _, o := range r.Outcomes {
		if !e.leased.Contains(o.Index) {
			continue
		}
		e.done = e.done.Union(indexset.Of(o.Index))
		e.leased = e.leased.Minus(indexset.Of(o.Index))
		e.micros += o.DurationMicros
		e.report(o)
	}
	returned := e.leased.Minus(r.Held.Set)
	suspects := returned.And(r.Suspects.Set)
	e.leased = e.leased.Minus(returned)
	e.suspects = e.suspects.Union(suspects)
	e.pending = e.pending.Union(returned.Minus(suspects))
	if r.LoadError != nil {
		failed := r.LoadOutput.AddTo(*r.LoadError)
		e.loadError = &failed
	}
	text, err := json.Marshal(e.answer(r))
	if err != nil {
		return nil, err
	}
	e.sequence, e.last = r.Sequence, text
	return text, nil
}

func (e *Exchange) answer(r *exchange.Request) exchange.Answer {
	a := exchange.Answer{Action: exchange.ActionWork, LeaseSeconds: leaseSeconds, TimeoutSeconds: e.timeout, HandBackMillis: 1000, BatchSize: e.batchSize,
		Limits: exchange.Limits{ResultBytes: 16 << 20, OutputBytes: 256 << 10}}
	switch {
	case e.ending || e.loadError != nil:
		a.Action = exchange.ActionStop
	case e.done.Len() == len(e.inputs):
		a.Action = exchange.ActionFinished
	case r.Want && !e.suspects.Empty() && e.leased.Empty():
		var suspect indexset.Set
		suspect, e.suspects = e.suspects.Take(1)
		a.Inputs = e.lease(suspect)
	case r.Want && !e.pending.Empty() && e.suspects.Empty():
		var batch indexset.Set
		batch, e.pending = e.pending.Take((e.batch() + e.batchSize - 1) / e.batchSize * e.batchSize)
		a.Inputs = e.lease(batch)
	case r.Want:
		a.Action = exchange.ActionWait
	}
	return a
}

// lease hands out inputs.
func (e *Exchange) lease(indexes indexset.Set) []exchange.Input {
	e.leased = e.leased.Union(indexes)
	inputs := make([]exchange.Input, 0, indexes.Len())
	for index := range indexes.All() {
		inputs = append(inputs, e.inputs[index])
	}
	return inputs
}

// batch is the number of inputs to hand out at once, from their mean execution time so far.
func (e *Exchange) batch() int {
	if e.done.Empty() {
		return 1
	}
	each := max(e.micros/int64(e.done.Len()), 1)
	return int(min(max(batchMicros/each, 1), maxBatch))
}
