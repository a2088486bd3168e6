package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// cluster is the environment of the exchange in tests: a store in a file, a clock that only tests advance, one run, and pods.
type cluster struct {
	t        testing.TB
	path     string
	url      string // of a store in PostgreSQL
	clock    *steppedClock
	store    openedStore
	exchange *Exchange
	// others are further servers on the same store, with the stores that they opened.
	others      []*Exchange
	otherStores []openedStore

	mu       sync.Mutex
	run      Run
	gone     bool
	podExits map[types.UID]PodExit
	// changed counts notifications; joined are the pods that were announced as new workers.
	changed int
	joined  []string
	// limits are the quotas of namespaces for servers that start from now on.
	limits quotas.Limits
	// inputsFail is the error of reading inputs.
	inputsFail error
	pods       int
}

// steppedClock has a wall clock that can be stepped, and a monotonic one.
type steppedClock struct {
	*clocktesting.FakeClock
	mu     sync.Mutex
	offset time.Duration
}

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.FakeClock.Now().Add(c.offset)
}

// Since is correct only for times taken before the first step.
func (c *steppedClock) Since(t time.Time) time.Duration { return c.FakeClock.Since(t) }

func (c *steppedClock) stepWall(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += by
}

// fillChunk is small, so that a few hundred indexes are filled in several chunks.
const fillChunk = 50

// emptyStore is a file with the schema, so that tests need not create it.
var emptyStore = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "outcomes")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "outcomes.db")
	store := outcomes.NewSQLite(path)
	if err := errors.Join(store.Open(context.Background()), store.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

var testStart = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func newCluster(t testing.TB, change func(*Run)) *cluster {
	t.Helper()
	return newClusterAt(t, "", change)
}

// newClusterAt returns a cluster with its store at a URL; "" for a new store.
func newClusterAt(t testing.TB, url string, change func(*Run)) *cluster {
	t.Helper()
	c := &cluster{
		t:     t,
		url:   url,
		path:  filepath.Join(t.TempDir(), "outcomes.db"),
		clock: &steppedClock{FakeClock: clocktesting.NewFakeClock(testStart)},
		run: Run{
			UID: "run-uid", Namespace: "ns", Name: "run", Total: 10, Workers: 2, TimeoutSeconds: 60, GPUs: 1, JobUID: "job-1",
		},
		podExits: map[types.UID]PodExit{},
	}
	if change != nil {
		change(&c.run)
	}
	c.makeStore()
	c.start()
	t.Cleanup(func() {
		if err := c.check(); err != nil {
			t.Errorf("the invariant: %v", err)
		}
		if err := c.closeStores(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return c
}

func (c *cluster) closeStores() error {
	err := c.store.Close()
	for _, store := range c.otherStores {
		err = errors.Join(err, store.Close())
	}
	c.others, c.otherStores = nil, nil
	return err
}

// join starts another server on the same store.
func (c *cluster) join() *Exchange {
	c.t.Helper()
	store := c.store
	if c.url != "" {
		store = c.openStore()
		c.otherStores = append(c.otherStores, store)
	}
	c.others = append(c.others, c.newExchange(store))
	return c.others[len(c.others)-1]
}

// choose selects the server that gets the next calls.
func (c *cluster) choose(random *rand.Rand) {
	if len(c.others) > 0 {
		chosen := random.IntN(len(c.others))
		c.exchange, c.others[chosen] = c.others[chosen], c.exchange
	}
}

// servers returns all servers.
func (c *cluster) servers() []*Exchange { return append([]*Exchange{c.exchange}, c.others...) }

// start starts a server on the cluster's store.
func (c *cluster) start() {
	c.t.Helper()
	c.store = c.openStore()
	c.exchange = c.newExchange(c.store)
}

// newExchange returns a server on a store.
func (c *cluster) newExchange(store outcomes.Store) *Exchange {
	c.t.Helper()
	exchange := NewExchange(store, c, c, c, Options{
		Clock:  c.clock,
		Quotas: quotas.New(c.limits, c, c.clock),
		Changed: func(types.UID) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.changed++
		},
		Joined: func(run types.UID, worker Worker) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.joined = append(c.joined, string(run)+" "+worker.PodName)
		},
	})
	exchange.fillChunk = fillChunk
	if err := exchange.observe(context.Background()); err != nil {
		c.t.Fatalf("reading the leases: %v", err)
	}
	return exchange
}

// restart stops all servers and starts as many.
func (c *cluster) restart() {
	c.t.Helper()
	servers := len(c.servers())
	if err := c.closeStores(); err != nil {
		c.t.Fatalf("closing the store: %v", err)
	}
	c.start()
	for range servers - 1 {
		c.join()
	}
}

func (c *cluster) Run(_ context.Context, namespace, name string) (Run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone || namespace != c.run.Namespace || name != c.run.Name {
		return Run{}, ErrNoRun
	}
	return c.run, nil
}

// Lookup implements quotas.Namespaces.
func (c *cluster) Lookup(name string) (types.UID, map[string]string, bool) {
	return types.UID(name + "-uid"), nil, true
}

func (c *cluster) Inputs(_ context.Context, _ Run, first, last int) ([]Input, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inputsFail != nil {
		return nil, c.inputsFail
	}
	inputs := make([]Input, 0, last-first+1)
	for index := first; index <= last; index++ {
		inputs = append(inputs, Input{JSON: json.RawMessage("[" + strconv.Itoa(index) + "]")})
	}
	return inputs, nil
}

func (c *cluster) PodExit(_ context.Context, _, _ string, podUID types.UID) PodExit {
	c.mu.Lock()
	defer c.mu.Unlock()
	if podExit, ok := c.podExits[podUID]; ok {
		return podExit
	}
	return PodExit{State: PodExitRunning}
}

func (c *cluster) Ending(_, _ string, podUID types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.podExits[podUID].Terminating
}

func (c *cluster) change(change func(*Run)) {
	c.mu.Lock()
	change(&c.run)
	uid := c.run.UID
	c.mu.Unlock()
	for _, server := range c.servers() {
		server.RunChanged(uid)
	}
}

// advance advances the clock by the interval of the sweeper, and sweeps after each step.
func (c *cluster) advance(d time.Duration) {
	c.t.Helper()
	step := c.exchange.options.Lease / sweepsPerLease
	for ; d > 0; d -= step {
		c.clock.Step(min(d, step))
		for _, server := range c.servers() {
			if err := server.Sweep(context.Background()); err != nil {
				c.t.Fatalf("sweeping: %v", err)
			}
		}
	}
}

// row returns the run's row.
func (c *cluster) row() *outcomes.Run {
	c.t.Helper()
	var row *outcomes.Run
	c.view(func(tx *outcomes.Tx) (err error) {
		row, err = tx.Run(c.run.UID)
		return err
	})
	if row == nil {
		c.t.Fatalf("the run has no row")
	}
	return row
}

func (c *cluster) view(fn func(*outcomes.Tx) error) {
	c.t.Helper()
	if err := c.store.View(context.Background(), fn); err != nil {
		c.t.Fatalf("reading the store: %v", err)
	}
}

func (c *cluster) progress() v1alpha1.RunProgress {
	c.t.Helper()
	progress, err := c.exchange.Progress(context.Background(), c.run)
	if err != nil {
		c.t.Fatalf("reading the progress: %v", err)
	}
	return progress
}

// outcomes returns all outcomes by index, even if the run's results were deleted.
func (c *cluster) outcomes() map[int]outcomes.Outcome {
	c.t.Helper()
	all := map[int]outcomes.Outcome{}
	err := c.store.View(context.Background(), func(tx *outcomes.Tx) error {
		clear(all)
		row, err := tx.Run(c.run.UID)
		for next := 0; err == nil && row != nil; {
			var page []outcomes.Outcome
			if page, err = tx.Outcomes(row, next, outcomes.PageOutcomes); len(page) == 0 {
				break
			}
			for _, o := range page {
				if o.Index < next {
					return fmt.Errorf("the outcome of index %d comes after that of %d", o.Index, next-1)
				}
				next = o.Index + 1
				all[o.Index] = o
			}
		}
		return err
	})
	if err != nil {
		c.t.Fatalf("reading outcomes: %v", err)
	}
	return all
}

// pod is the supervisor of a worker, as the exchange sees it.
type pod struct {
	c        *cluster
	worker   Worker
	sequence int64
	held     indexset.Set
	// last is the latest request, so that it can be repeated.
	last *exchange.Request
}

// pod starts a pod at a completion index.
func (c *cluster) pod(completionIndex int) *pod {
	c.pods++
	name := fmt.Sprintf("run-1-%d-%d", completionIndex, c.pods)
	return &pod{c: c, worker: Worker{
		Namespace: "ns", Run: "run", RunUID: c.run.UID, PodName: name, PodUID: types.UID(name + "-uid"), Node: "node",
		JobUID: c.run.JobUID, CompletionIndex: completionIndex,
	}}
}

// request changes the next request.
type request func(*exchange.Request)

// done reports indexes as succeeded.
func done(indexes ...int) request {
	return func(r *exchange.Request) {
		for _, index := range indexes {
			r.Outcomes = append(r.Outcomes, succeeded(index))
		}
	}
}

func succeeded(index int) exchange.Outcome {
	return exchange.Outcome{
		Index: index, Status: v1alpha1.OutcomeSucceeded, Result: json.RawMessage(strconv.Itoa(index * index)),
		StartTime: testStart.UnixMicro(), DurationMicros: 1000,
	}
}

// raised reports an exception, crashed the end of a process.
func raised(index int) request { return failed(index, false) }

func crashed(index int) request { return failed(index, true) }

func failed(index int, crash bool) request {
	return func(r *exchange.Request) {
		r.Outcomes = append(r.Outcomes, exchange.Outcome{
			Index: index, Status: v1alpha1.OutcomeFailed, Crash: crash, StartTime: testStart.UnixMicro(), DurationMicros: 1000,
			Error: &exchange.ErrorText{Type: "ValueError", Message: "no", Traceback: "Traceback"},
		})
	}
}

func want(r *exchange.Request) { r.Want = true }

func leaving(r *exchange.Request) { r.Leaving = true }

func executing(index int) request { return func(r *exchange.Request) { r.Executing = &index } }

func waiting(seconds int) request { return func(r *exchange.Request) { r.WaitSeconds = seconds } }

// withHeld sets held to something else than a correct supervisor would.
func withHeld(text string) request {
	return func(r *exchange.Request) { r.Held = exchange.Indexes{Set: indexes(text)} }
}

func cannotLoad(r *exchange.Request) {
	r.LoadError = &exchange.ErrorText{Type: "SyntaxError", Message: "invalid syntax (handler.py, line 3)", Traceback: "Traceback"}
}

func indexes(text string) indexset.Set {
	set, err := indexset.Parse(text)
	if err != nil {
		panic(err)
	}
	return set
}

// prepare returns the next request.
func (p *pod) prepare(changes ...request) *exchange.Request {
	r := &exchange.Request{Protocol: exchange.Protocol, Sequence: p.sequence + 1}
	r.Held = exchange.Indexes{Set: p.held}
	for _, change := range changes {
		change(r)
	}
	r.Held = exchange.Indexes{Set: r.Held.Minus(r.Reported())}
	p.last = r
	return r
}

// send makes a call whose answer arrives.
func (p *pod) send(r *exchange.Request) (*exchange.Answer, error) {
	return p.sendIn(context.Background(), r)
}

func (p *pod) sendIn(ctx context.Context, r *exchange.Request) (*exchange.Answer, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	answer, err := p.c.exchange.Call(ctx, p.worker, r)
	if err != nil {
		return nil, err
	}
	p.sequence = r.Sequence
	p.held = r.Held.Minus(answer.Revoked.Set).Union(handedOut(answer))
	return answer, nil
}

func handedOut(answer *exchange.Answer) indexset.Set {
	var all []int
	for _, input := range answer.Inputs {
		all = append(all, input.Index)
	}
	return indexset.Of(all...)
}

// call makes a call that must be answered.
func (p *pod) call(changes ...request) *exchange.Answer {
	p.c.t.Helper()
	answer, err := p.send(p.prepare(changes...))
	if err != nil {
		p.c.t.Fatalf("the call of %s: %v", p.worker.PodName, err)
	}
	return answer
}

// lost makes a call whose answer does not arrive, after it was committed.
func (p *pod) lost(changes ...request) {
	p.c.t.Helper()
	r := p.prepare(changes...)
	if _, err := p.c.exchange.Call(context.Background(), p.worker, r); err != nil {
		p.c.t.Fatalf("the call of %s: %v", p.worker.PodName, err)
	}
}

// end reports the end of the pod to the exchange.
func (p *pod) end(podExit PodExit) {
	p.c.t.Helper()
	p.c.mu.Lock()
	p.c.podExits[p.worker.PodUID] = podExit
	p.c.mu.Unlock()
	if err := p.c.exchange.PodEnded(context.Background(), p.worker, podExit); err != nil {
		p.c.t.Fatalf("the end of %s: %v", p.worker.PodName, err)
	}
}

var (
	oomKilled = PodExit{State: PodExitEnded, ExitCode: 137, Reason: "OOMKilled"}
	killed    = PodExit{State: PodExitEnded, ExitCode: 137, Reason: "Error"}
	exitedOne = PodExit{State: PodExitEnded, ExitCode: 1, Reason: "Error"}
	completed = PodExit{State: PodExitEnded, Reason: "Completed"}
	disrupted = PodExit{State: PodExitDisrupted, Terminating: true}
)

// expect compares the action and the inputs of an answer.
func expect(t testing.TB, answer *exchange.Answer, action exchange.Action, handed string) {
	t.Helper()
	if got := handedOut(answer).String(); answer.Action != action || got != handed {
		t.Fatalf("the answer is %s with %q; want %s with %q", answer.Action, got, action, handed)
	}
}

// batchesOf makes the exchange hand out batches of n: it sets a mean duration for which n inputs are the minimum.
func (c *cluster) batchesOf(n int) {
	c.t.Helper()
	err := c.store.Update(context.Background(), c.run.UID, func(tx *outcomes.Tx) error {
		s, err := c.exchange.open(tx, c.run)
		if err != nil {
			return err
		}
		before := s.row
		s.row.MeanMicros, s.row.Measured = micros(minBatchTime)/float64(n), 100
		return s.write(tx, &before)
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// check returns an error if the invariant of the run state is violated.
func (c *cluster) check() error {
	var row *outcomes.Run
	var live []outcomes.Worker
	var have indexset.Set
	err := c.store.View(context.Background(), func(tx *outcomes.Tx) (err error) {
		if row, err = tx.Run(c.run.UID); err != nil || row == nil {
			return err
		}
		if live, err = tx.LiveWorkers(row.ID); err != nil {
			return err
		}
		have, err = tx.HaveOutcome(row.ID, indexset.Span(0, indexset.MaxIndex))
		return err
	})
	if err != nil || row == nil {
		return err
	}
	places := []struct {
		name string
		set  indexset.Set
	}{
		{"has an outcome", have},
		{"is returned", row.Returned},
		{"is a suspect", row.Suspects},
		{"is delayed", row.Waiting()},
		{"was never handed out", indexset.Span(row.Next, row.Total-1)},
	}
	for i, delay := range row.Delayed {
		if delay.Indexes.Empty() || i > 0 && (delay.DueMicros <= row.Delayed[i-1].DueMicros || !delay.Indexes.And(row.Delayed[i-1].Indexes).Empty()) {
			return fmt.Errorf("the delays %v are not in order", row.Delayed)
		}
	}
	busy, queued := 0, 0
	for i := range live {
		held := live[i].Held()
		places = append(places, struct {
			name string
			set  indexset.Set
		}{"is leased to " + live[i].PodName, held})
		if !held.Empty() {
			busy++
			queued += held.Len() - 1
		}
		if live[i].Alone && held.Len() != 1 {
			return fmt.Errorf("%s has a suspect among %d leased inputs", live[i].PodName, held.Len())
		}
		if live[i].Executing >= 0 && !held.Contains(live[i].Executing) {
			return fmt.Errorf("%s executes %d and has leased %q", live[i].PodName, live[i].Executing, held)
		}
		if (live[i].Executing >= 0) != (live[i].ExecutingMicros != 0) {
			return fmt.Errorf("%s executes %d since %d", live[i].PodName, live[i].Executing, live[i].ExecutingMicros)
		}
	}
	all := indexset.Set{}
	for i, place := range places {
		for _, other := range places[:i] {
			if both := place.set.And(other.set); !both.Empty() {
				return fmt.Errorf("%q %s and %s", both, place.name, other.name)
			}
		}
		all = all.Union(place.set)
	}
	if lost := indexset.Span(0, row.Total-1).Minus(all); row.Closing == "" && !lost.Empty() {
		return fmt.Errorf("%q is in no place", lost)
	}
	if row.Live != len(live) || row.Busy != busy || row.Queued != queued {
		return fmt.Errorf("the run counts %d live, %d busy, %d queued; there are %d, %d, %d", row.Live, row.Busy, row.Queued, len(live), busy, queued)
	}
	if failures := row.Failed + row.TimedOut; c.run.MaxFailures != nil && failures > *c.run.MaxFailures && row.Closing == "" && !row.Closed {
		return fmt.Errorf("the run continues with %d failures; the limit is %d", failures, *c.run.MaxFailures)
	}
	if err := c.checkBytes(row); err != nil {
		return err
	}
	return c.checkCounts(row)
}

// checkBytes compares the bytes that the run counts with those that it has.
func (c *cluster) checkBytes(row *outcomes.Run) error {
	var measured int64
	err := c.store.View(context.Background(), func(tx *outcomes.Tx) error {
		again, err := tx.Run(c.run.UID)
		if err != nil || again == nil {
			return err
		}
		*row = *again
		measured, err = tx.MeasureRun(row.ID)
		return err
	})
	if err == nil && measured != row.StoredBytes {
		err = fmt.Errorf("the run counts %d bytes; it has %d", row.StoredBytes, measured)
	}
	return err
}

func (c *cluster) checkCounts(row *outcomes.Run) error {
	counts := map[outcomes.Status]int{}
	var unsuccessful []int
	for index, o := range c.outcomes() {
		counts[o.Status]++
		if o.Status != outcomes.Succeeded {
			unsuccessful = append(unsuccessful, index)
		}
	}
	for status, count := range map[outcomes.Status]int{
		outcomes.Succeeded: row.Succeeded, outcomes.Failed: row.Failed, outcomes.TimedOut: row.TimedOut, outcomes.Cancelled: row.Cancelled,
	} {
		if counts[status] != count {
			return fmt.Errorf("the run counts %d %s; there are %d", count, status, counts[status])
		}
	}
	if want := indexset.Of(unsuccessful...); row.UnsuccessfulCut < 0 && !row.Unsuccessful.Equal(want) {
		return fmt.Errorf("the run lists %q as unsuccessful; want %q", row.Unsuccessful, want)
	}
	if row.Closed != (row.Done() == row.Total) {
		return fmt.Errorf("closed is %v with %d outcomes of %d", row.Closed, row.Done(), row.Total)
	}
	return nil
}
