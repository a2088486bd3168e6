package runtimes_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// call is the request of docs/exchange.md. Unknown fields are an error.
type call struct {
	Protocol    int       `json:"protocol"`
	Sequence    int       `json:"sequence"`
	Held        string    `json:"held"`
	Executing   *int      `json:"executing"`
	Want        bool      `json:"want"`
	WaitSeconds int       `json:"waitSeconds"`
	Outcomes    []outcome `json:"outcomes"`
	Leaving     bool      `json:"leaving"`
	LoadError   *fault    `json:"loadError"`
	LoadOutput  struct {
		Stdout string `json:"stdout"`
		Stderr string `json:"stderr"`
	} `json:"loadOutput"`
	Device   string `json:"device"`
	Live     *live  `json:"live"`
	Suspects string `json:"suspects"`
}

type live struct {
	Index      int    `json:"index"`
	StartTime  int64  `json:"startTime"`
	Stdout     []byte `json:"stdout"`
	StdoutFrom int64  `json:"stdoutFrom"`
	Stderr     []byte `json:"stderr"`
	StderrFrom int64  `json:"stderrFrom"`
}

type fault struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Traceback string `json:"traceback"`
}

type outcome struct {
	Index          int             `json:"index"`
	Status         string          `json:"status"`
	Result         json.RawMessage `json:"result"`
	ResultText     *string         `json:"resultText"`
	Error          *fault          `json:"error"`
	Crash          bool            `json:"crash"`
	StartTime      int64           `json:"startTime"`
	DurationMicros int64           `json:"durationMicros"`
	Stdout         []byte          `json:"stdout"`
	Stderr         []byte          `json:"stderr"`
	StdoutDropped  int64           `json:"stdoutDropped"`
	StderrDropped  int64           `json:"stderrDropped"`
}

// input is one input as it is handed out.
type input struct {
	Index   int             `json:"index"`
	JSON    json.RawMessage `json:"json,omitempty"`
	Literal string          `json:"literal,omitempty"`
}

type answer struct {
	Action         string         `json:"action"`
	PodEnding      bool           `json:"podEnding,omitempty"`
	Inputs         []input        `json:"inputs,omitempty"`
	Revoked        string         `json:"revoked,omitempty"`
	LeaseSeconds   float64        `json:"leaseSeconds"`
	TimeoutSeconds int            `json:"timeoutSeconds"`
	HandBackMillis int            `json:"handBackMillis"`
	LiveMillis     int            `json:"liveMillis,omitempty"`
	BatchSize      int            `json:"batchSize,omitempty"`
	Limits         map[string]int `json:"limits"`
}

// requestFault is what goes wrong with one HTTP request.
type requestFault int

const (
	none         requestFault = iota
	lostCall                  // the connection breaks before the server has read the call
	lostAnswer                // the call is processed, and the connection breaks before its answer
	unavailable               // 503
	throttled                 // 429
	unauthorized              // 401
	tooLarge                  // 413
	invalid                   // 400
)

// exchange is the server's side of the protocol for one run, in memory. It records every violation of the protocol by a
// worker. A crash is an outcome: nothing is retried.
type exchange struct {
	// How the run is served. Set before the first worker starts.
	inputs    []input
	batch     int // inputs in one answer, at most
	lease     float64
	timeout   int
	handBack  int // milliseconds
	liveAfter int // milliseconds
	batchSize int // inputs in one call of the handler
	limits    map[string]int
	faults    func(request int, body []byte) requestFault
	// decide may change an answer, or send an error status with a text instead; it runs under the lock.
	decide func(c call, a *answer) (status int, text string)
	// ending: Kubernetes ends the pods.
	ending bool
	// sigtermMissed: the workers have not received SIGTERM, so answers report that the pod is ending.
	sigtermMissed bool

	url string

	mu       sync.Mutex
	changed  chan struct{}
	requests int
	calls    []call
	pending  []int
	outcomes map[int]outcome
	suspects []int // handed out one at a time
	back     []int // handed back, in order
	revoked  map[int]bool
	workers  map[string]*lease
	idle     int               // calls that are kept open
	wrongs   []string          // violations of the protocol
	tokens   map[string]string // token by worker
}

// lease is the server's state of one worker.
type lease struct {
	sequence int
	body     []byte
	answer   []byte
	leased   map[int]bool
	last     time.Time
}

// newExchange serves n inputs [i] over plain HTTP until the test ends.
func newExchange(t testing.TB, n int) *exchange {
	t.Helper()
	e := &exchange{
		batch: 4, lease: 30, timeout: 60, handBack: 10_000,
		limits:   map[string]int{"resultBytes": 16 << 20, "outputBytes": 256 << 10},
		changed:  make(chan struct{}),
		outcomes: map[int]outcome{}, revoked: map[int]bool{}, workers: map[string]*lease{}, tokens: map[string]string{},
	}
	for i := range n {
		e.inputs = append(e.inputs, input{Index: i, JSON: json.RawMessage(fmt.Sprintf("[%d]", i))})
		e.pending = append(e.pending, i)
	}
	server := httptest.NewServer(e)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	e.url = server.URL
	return e
}

// literals replaces the inputs by Python literals.
func (e *exchange) literals(texts ...string) {
	e.inputs, e.pending = nil, nil
	for i, text := range texts {
		e.inputs = append(e.inputs, input{Index: i, Literal: text})
		e.pending = append(e.pending, i)
	}
}

func (e *exchange) wrong(format string, args ...any) {
	e.wrongs = append(e.wrongs, fmt.Sprintf(format, args...))
}

func (e *exchange) notify() {
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	request := e.requests
	e.requests++
	e.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	failure := none
	if e.faults != nil {
		failure = e.faults(request, body)
	}
	switch failure {
	case lostCall:
		panic(http.ErrAbortHandler)
	case unavailable:
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
		return
	case throttled:
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	case unauthorized:
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	case invalid:
		http.Error(w, "not valid", http.StatusBadRequest)
		return
	case tooLarge:
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	status, text := e.process(r, body)
	if failure == lostAnswer {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// process answers one call, which may take as long as the call allows.
func (e *exchange) process(r *http.Request, body []byte) (int, []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	worker, known := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if name, ok := e.tokens[worker]; ok {
		worker = name
	}
	if !known || worker == "" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		e.wrong("a call with %s and the header %v", r.Method, r.Header)
	}
	var c call
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil || c.Protocol != 1 {
		e.wrong("not a call (%v): %.300s", err, body)
		return http.StatusBadRequest, []byte(`{"error": "not a call"}`)
	}
	l := e.workers[worker]
	if l == nil {
		l = &lease{leased: map[int]bool{}}
		e.workers[worker] = l
	}
	switch c.Sequence {
	case l.sequence + 1:
	case l.sequence:
		if !bytes.Equal(body, l.body) {
			e.wrong("call %d was repeated with another body", c.Sequence)
		}
		return http.StatusOK, l.answer
	default:
		e.wrong("call %d came after %d", c.Sequence, l.sequence)
		return http.StatusConflict, []byte(`{"error": "unexpected sequence"}`)
	}
	e.calls = append(e.calls, c)
	e.settle(l, c)
	a := e.answerFor(l, c, r)
	if e.decide != nil {
		if status, text := e.decide(c, &a); status != 0 {
			return status, []byte(text)
		}
	}
	for _, index := range indexes(a.Revoked) {
		delete(l.leased, index)
	}
	for _, one := range a.Inputs {
		l.leased[one.Index] = true
	}
	text, err := json.Marshal(a)
	if err != nil {
		e.wrong("the answer of the test cannot be encoded: %v", err)
	}
	l.sequence, l.body, l.answer, l.last = c.Sequence, body, text, time.Now()
	e.notify()
	return http.StatusOK, text
}

// settle takes the outcomes of a call and the inputs that it hands back.
func (e *exchange) settle(l *lease, c call) {
	// On a busy machine a call may be late by 2 s.
	if gap := time.Since(l.last).Seconds(); !l.last.IsZero() && gap > e.lease/2+2 {
		e.wrong("%.1f s between two calls with a lease of %g s", gap, e.lease)
	}
	for _, o := range c.Outcomes {
		_, repeated := e.outcomes[o.Index]
		switch {
		case e.revoked[o.Index]:
			e.wrong("index %d was reported although it was revoked", o.Index)
		case repeated:
			e.wrong("index %d was reported twice", o.Index)
		case !l.leased[o.Index]:
			e.wrong("index %d was reported and not leased", o.Index)
		default:
			e.outcomes[o.Index] = o
		}
		delete(l.leased, o.Index)
	}
	held := indexes(c.Held)
	for _, index := range held {
		if !l.leased[index] {
			e.wrong("index %d is held and not leased", index)
		}
	}
	if c.Executing != nil && !slices.Contains(held, *c.Executing) {
		e.wrong("index %d is executing and not held: %q", *c.Executing, c.Held)
	}
	suspects := indexes(c.Suspects)
	for _, index := range suspects {
		if !l.leased[index] || slices.Contains(held, index) {
			e.wrong("index %d is a suspect, and is held or was not leased", index)
		}
		delete(l.leased, index)
	}
	e.suspects = append(e.suspects, suspects...)
	for _, index := range slices.Sorted(maps.Keys(l.leased)) {
		if !slices.Contains(held, index) {
			delete(l.leased, index)
			e.back = append(e.back, index)
			e.pending = append(e.pending, index)
		}
	}
	slices.Sort(e.pending)
	e.notify()
}

// answerFor decides the answer, and waits as long as the call allows.
func (e *exchange) answerFor(l *lease, c call, r *http.Request) answer {
	a := answer{Action: "work", LeaseSeconds: e.lease, TimeoutSeconds: e.timeout, HandBackMillis: e.handBack, LiveMillis: e.liveAfter, BatchSize: e.batchSize, Limits: e.limits}
	deadline, open := time.After(time.Duration(c.WaitSeconds)*time.Second), false
	for {
		if len(e.outcomes)+len(e.revoked) == len(e.inputs) {
			a.Action = "finished"
			return a
		}
		if e.sigtermMissed && !c.Leaving {
			a.PodEnding = true
			return a
		}
		if c.Leaving && e.ending {
			a.Action = "finished"
			if c.Held == "" {
				a.Action = "stop"
			}
			return a
		}
		if !c.Want {
			return a
		}
		if len(e.suspects) > 0 && len(l.leased) == 0 {
			a.Inputs = []input{e.inputs[e.suspects[0]]}
			e.suspects = e.suspects[1:]
			return a
		}
		if n := min(len(e.pending), e.batch); n > 0 {
			for _, index := range e.pending[:n] {
				a.Inputs = append(a.Inputs, e.inputs[index])
			}
			e.pending = e.pending[n:]
			return a
		}
		a.Action = "wait"
		if c.WaitSeconds == 0 {
			return a
		}
		if !open {
			open = true
			e.idle++
			defer func() { e.idle-- }()
			e.notify()
		}
		changed := e.changed
		e.mu.Unlock()
		select {
		case <-changed:
			e.mu.Lock()
		case <-deadline:
			e.mu.Lock()
			return a
		case <-r.Context().Done():
			e.mu.Lock()
			return a
		}
	}
}

// indexes expands "17,20-31".
func indexes(text string) []int {
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if part == "" {
			continue
		}
		from, err := strconv.Atoi(first)
		to := from
		if isRange && err == nil {
			to, err = strconv.Atoi(last)
		}
		if err != nil {
			panic(fmt.Sprintf("not a list of indexes: %q", text))
		}
		for i := from; i <= to; i++ {
			all = append(all, i)
		}
	}
	return all
}

// check fails the test for each violation of the protocol.
func (e *exchange) check(t testing.TB) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, wrong := range e.wrongs {
		t.Errorf("violation of the protocol: %s", wrong)
	}
}

// counts returns the number of outcomes by status.
func (e *exchange) counts() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	counts := map[string]int{}
	for _, o := range e.outcomes {
		counts[o.Status]++
	}
	return counts
}

// outcome returns the outcome of an index, which must have one.
func (e *exchange) outcome(t testing.TB, index int) outcome {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	o, ok := e.outcomes[index]
	if !ok {
		t.Fatalf("index %d has no outcome; there are %d", index, len(e.outcomes))
	}
	return o
}

// until waits for a state of the exchange, which is checked after each call.
func (e *exchange) until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	late := time.After(90 * time.Second)
	for {
		e.mu.Lock()
		done, changed := holds(), e.changed
		e.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("there was no %s within 90 s", what)
		}
	}
}
