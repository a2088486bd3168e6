// Package localexchange is the server's side of the work exchange (docs/exchange.md) for one worker on this machine: it hands
// out inputs, takes outcomes, and keeps nothing. `kubectl function test` runs the very runner of the cluster against it.
//
// What lives here: the protocol as far as one worker needs it. What must not: Kubernetes, and how the runner is started.
package localexchange

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Input is one input, in one of its two forms.
type Input struct {
	Index   int             `json:"index"`
	JSON    json.RawMessage `json:"json,omitempty"`
	Literal string          `json:"literal,omitempty"`
}

// Fault is what went wrong.
type Fault struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Traceback string `json:"traceback,omitempty"`
}

// Outcome is what became of an input.
type Outcome struct {
	Index          int             `json:"index"`
	Status         string          `json:"status"`
	Result         json.RawMessage `json:"result"`
	ResultText     *string         `json:"resultText"`
	Error          *Fault          `json:"error"`
	StartTime      int64           `json:"startTime"`
	DurationMicros int64           `json:"durationMicros"`
	Stdout         []byte          `json:"stdout"`
	Stderr         []byte          `json:"stderr"`
	StdoutDropped  int64           `json:"stdoutDropped"`
	StderrDropped  int64           `json:"stderrDropped"`
}

// call is the part of a request that matters here.
type call struct {
	Protocol    int       `json:"protocol"`
	Sequence    int       `json:"sequence"`
	Held        string    `json:"held"`
	Want        bool      `json:"want"`
	WaitSeconds int       `json:"waitSeconds"`
	Outcomes    []Outcome `json:"outcomes"`
	Leaving     bool      `json:"leaving"`
	LoadError   *Fault    `json:"loadError"`
	Suspects    string    `json:"suspects"`
}

type answer struct {
	Action         string         `json:"action"`
	Inputs         []Input        `json:"inputs,omitempty"`
	LeaseSeconds   float64        `json:"leaseSeconds"`
	TimeoutSeconds int            `json:"timeoutSeconds"`
	HandBackMillis int            `json:"handBackMillis"`
	BatchSize      int            `json:"batchSize,omitempty"`
	Limits         map[string]int `json:"limits"`
}

const (
	// leaseSeconds is how often the worker has to call; nobody else waits for its inputs.
	leaseSeconds = 30
	// batchMicros is how much work is handed out at once: what takes long is reported one by one.
	batchMicros = 20_000
	mostAtOnce  = 256
	// bodyLimit is that of the protocol.
	bodyLimit = 32 << 20
)

// Exchange serves one run to one worker.
type Exchange struct {
	token    string
	timeout  int
	together int
	report   func(Outcome)
	listener net.Listener
	server   *http.Server

	mu        sync.Mutex
	inputs    []Input
	pending   []int
	suspects  []int // one call of the handler had them all when its process ended: they go out one by one
	leased    map[int]bool
	done      map[int]bool
	sequence  int
	last      []byte
	micros    int64 // of what was executed
	loadError *Fault
	ending    bool
}

// New serves the inputs on a port of this machine that only its worker can use: it must show Token. report is called with
// each outcome, one after the other. One call of the handler gets so many inputs together.
func New(inputs []Input, timeoutSeconds, together int, report func(Outcome)) (*Exchange, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a port on this machine: %w", err)
	}
	e := &Exchange{
		token: rand.Text(), timeout: timeoutSeconds, together: max(together, 1), report: report, listener: listener,
		inputs: inputs, leased: map[int]bool{}, done: map[int]bool{},
	}
	for i := range inputs {
		e.pending = append(e.pending, i)
	}
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = e.server.Serve(listener) }()
	return e, nil
}

// URL is where the worker calls, Token what it shows.
func (e *Exchange) URL() string {
	return "http://" + e.listener.Addr().String() + "/work/v1/namespaces/local/runs/test/exchange"
}

// Token is what the worker shows.
func (e *Exchange) Token() string { return e.token }

// Close ends the server.
func (e *Exchange) Close() { _ = e.server.Close() }

// End lets the worker stop at its next call.
func (e *Exchange) End() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ending = true
}

// Left is how many inputs have no outcome, LoadError why the module could not be loaded.
func (e *Exchange) Left() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.inputs) - len(e.done)
}

// LoadError is why the module could not be loaded, nil where it could.
func (e *Exchange) LoadError() *Fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.loadError
}

// ServeHTTP answers one call.
func (e *Exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+e.token {
		http.Error(w, `{"error": "not the worker's token"}`, http.StatusUnauthorized)
		return
	}
	var c call
	body := http.MaxBytesReader(w, r.Body, bodyLimit)
	err := json.NewDecoder(body).Decode(&c)
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		http.Error(w, `{"error": "the body is over the limit"}`, http.StatusRequestEntityTooLarge)
		return
	case err != nil || c.Protocol != 1:
		http.Error(w, `{"error": "not a call of this protocol"}`, http.StatusBadRequest)
		return
	}
	_, _ = io.Copy(io.Discard, body)
	status, text := e.process(c)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// process takes what the call says and decides the answer. With one worker nothing can come that it would have to wait for:
// what is pending is handed out, and when nothing is and nothing is held, it is over.
func (e *Exchange) process(c call) (int, []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case c.Sequence == e.sequence && e.last != nil:
		return http.StatusOK, e.last
	case c.Sequence <= e.sequence:
		return http.StatusConflict, []byte(`{"error": "an older sequence"}`)
	}
	held, err := indexes(c.Held)
	if err != nil {
		return http.StatusBadRequest, []byte(`{"error": "held is no list of indexes"}`)
	}
	for _, o := range c.Outcomes {
		if e.leased[o.Index] && !e.done[o.Index] {
			e.done[o.Index] = true
			e.micros += o.DurationMicros
			e.report(o)
		}
		delete(e.leased, o.Index)
	}
	suspects, err := indexes(c.Suspects)
	if err != nil {
		return http.StatusBadRequest, []byte(`{"error": "suspects is no list of indexes"}`)
	}
	for index := range e.leased {
		switch {
		case slices.Contains(held, index):
			continue
		case slices.Contains(suspects, index):
			e.suspects = append(e.suspects, index)
		default:
			e.pending = append(e.pending, index)
		}
		delete(e.leased, index)
	}
	slices.Sort(e.pending)
	slices.Sort(e.suspects)
	if c.LoadError != nil {
		e.loadError = c.LoadError
	}
	text, err := json.Marshal(e.answer(c))
	if err != nil {
		return http.StatusInternalServerError, []byte(`{"error": "the answer cannot be written"}`)
	}
	e.sequence, e.last = c.Sequence, text
	return http.StatusOK, text
}

func (e *Exchange) answer(c call) answer {
	a := answer{Action: "work", LeaseSeconds: leaseSeconds, TimeoutSeconds: e.timeout, HandBackMillis: 1000, BatchSize: e.together,
		Limits: map[string]int{"resultBytes": 16 << 20, "outputBytes": 256 << 10}}
	switch {
	case e.ending || e.loadError != nil:
		a.Action = "stop"
	case len(e.done) == len(e.inputs):
		a.Action = "finished"
	case c.Want && len(e.suspects) > 0 && len(e.leased) == 0:
		a.Inputs = []Input{e.inputs[e.suspects[0]]}
		e.leased[e.suspects[0]] = true
		e.suspects = slices.Clone(e.suspects[1:])
	case c.Want && len(e.pending) > 0 && len(e.suspects) == 0:
		n := min((e.batch()+e.together-1)/e.together*e.together, len(e.pending))
		for _, index := range e.pending[:n] {
			a.Inputs = append(a.Inputs, e.inputs[index])
			e.leased[index] = true
		}
		e.pending = slices.Clone(e.pending[n:])
	case c.Want:
		a.Action = "wait"
	}
	return a
}

// batch is how many inputs are handed out at once, by how long they took so far.
func (e *Exchange) batch() int {
	if len(e.done) == 0 {
		return 1
	}
	each := max(e.micros/int64(len(e.done)), 1)
	return int(min(max(batchMicros/each, 1), mostAtOnce))
}

// indexes expands "17,20-31".
func indexes(text string) ([]int, error) {
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && isRange {
			to, err = strconv.Atoi(last)
		}
		if err != nil || to < from || to-from > mostAtOnce*4 {
			return nil, fmt.Errorf("%.40q is no list of indexes", text)
		}
		for i := from; i <= to; i++ {
			all = append(all, i)
		}
	}
	return all, nil
}
