package work

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// The model test executes random episodes against the real store: workers that call, report, die, are disconnected, repeat calls or send
// invalid ones; servers that restart; clock steps; ends and suspensions. It checks the invariants after every step and at the end.
//
// WORK_MODEL_SECONDS is the duration (8), WORK_MODEL_SEED repeats one episode.

// kind is the effect of executing an input.
type kind int

const (
	normal kind = iota
	raises
	raisesOnce
	crashes
	hangs
	kills // the whole container
	kinds
)

// model is one episode.
type model struct {
	*cluster
	random *rand.Rand
	log    []string

	kinds []kind
	pods  []*simulated
	// finished are the completion indexes whose pod exited with 0.
	finished map[int]bool
	// unseen are pods whose end the watch has not reported yet.
	unseen []*simulated
	// delayed are calls that arrive late, or twice.
	delayed []delayedCall
	jobs    int

	executions map[int]int
	// seen are the outcomes that were in the store after a step; they must not change.
	seen map[int]string
	// charges is how often an index may have been charged with a crash, failures how often an exception of it was reported.
	charges, failures map[int]int
	// forged are indexes for which a hostile worker reported outcomes.
	forged                    map[int]bool
	deaths, loadErrors, ended int
	// minWorkers is the smallest number of workers that the run had.
	minWorkers int
}

type delayedCall struct {
	worker  Worker
	request *exchange.Request
}

// simulated is a pod with its supervisor.
type simulated struct {
	*pod
	queue    []int
	pending  []exchange.Outcome
	inFlight *exchange.Request
	leaving  bool // its last answer was finished
	dead     bool
	podExit  PodExit
	hostile  bool
}

func TestModelEveryIndexEndsWithExactlyOneOutcome(t *testing.T) {
	seconds := 8.0
	if text := os.Getenv("WORK_MODEL_SECONDS"); text != "" {
		var err error
		if seconds, err = strconv.ParseFloat(text, 64); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("WORK_MODEL_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		newModel(t, seed).play()
		return
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("the first seed is %d", seed)
	const lanes = 2
	for lane := range uint64(lanes) {
		t.Run(fmt.Sprintf("lane %d", lane), func(t *testing.T) {
			t.Parallel()
			start, episodes := time.Now(), uint64(0)
			for ; time.Since(start).Seconds() < seconds && !t.Failed(); episodes++ {
				seed := seed + lane + lanes*episodes
				// A test of its own, so that its store is closed before the next is opened.
				t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { newModel(t, seed).play() })
			}
			t.Logf("%d episodes", episodes)
			if episodes == 0 {
				t.Error("no episode was executed")
			}
		})
	}
}

func newModel(t *testing.T, seed uint64) *model {
	random := rand.New(rand.NewPCG(seed, 1))
	total, workers := 1+random.IntN(30), 1+random.IntN(4)
	m := &model{
		random: random, finished: map[int]bool{}, jobs: 1, executions: map[int]int{}, seen: map[int]string{},
		charges: map[int]int{}, failures: map[int]int{}, forged: map[int]bool{},
	}
	m.cluster = newCluster(t, func(r *Run) {
		r.UID = types.UID(fmt.Sprintf("seed-%d", seed))
		r.Total, r.Workers, r.Retries = total, min(total, workers), random.IntN(3)
		r.RetryDelaySeconds = max(0, random.IntN(7)-3)
		if random.IntN(4) == 0 {
			maxFailures := random.IntN(4)
			r.MaxFailures = &maxFailures
		}
		if random.IntN(8) == 0 {
			r.NonRetryable = []string{"ValueError"}
		}
	})
	m.logf("WORK_MODEL_SEED=%d: %d inputs, %d workers, %d retries, %d s apart, never after %v", seed, total, m.run.Workers,
		m.run.Retries, m.run.RetryDelaySeconds, m.run.NonRetryable)
	if m.run.MaxFailures != nil {
		m.logf("at most %d may fail", *m.run.MaxFailures)
	}
	m.minWorkers = m.run.Workers
	for range m.random.IntN(3) {
		m.join()
	}
	m.logf("%d servers", len(m.servers()))
	m.kinds = make([]kind, total)
	for index := range m.kinds {
		if m.chance(0.25) {
			m.kinds[index] = kind(m.random.IntN(int(kinds)))
		}
	}
	m.logf("the kinds of the inputs: %v", m.kinds)
	if m.chance(0.7) {
		m.batchesOf(1 + m.random.IntN(12))
	}
	return m
}

func (m *model) chance(p float64) bool { return m.random.Float64() < p }

func (m *model) logf(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

func (m *model) fatal(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\n\nafter these steps:\n  %s", fmt.Sprintf(format, args...), strings.Join(m.log, "\n  "))
}

// play executes the steps with faults, then lets the run finish without faults.
func (m *model) play() {
	for range 40 + m.random.IntN(80) {
		m.step()
		m.verify()
	}
	m.logf("-- no more faults")
	if m.run.Suspended {
		m.resume()
	}
	for round := 0; !m.progress().Closed; round++ {
		if round > 400 {
			m.fatal("the run does not finish")
		}
		m.fairRound()
		m.verify()
	}
	m.verifyEnd()
	m.unwind()
}

// step executes one random step.
func (m *model) step() {
	alive := m.alive()
	m.choose(m.random)
	roll := m.random.Float64()
	switch {
	case roll < 0.12 || len(alive) == 0:
		m.startPod()
	case roll < 0.40:
		m.callOf(m.pick(alive))
	case roll < 0.70:
		m.execute(m.pick(alive))
	case roll < 0.76:
		m.die(m.pick(alive), m.podExitOf())
	case roll < 0.80:
		m.watch()
	case roll < 0.84:
		m.arriveLate()
	case roll < 0.92:
		d := time.Duration(m.random.IntN(25)) * time.Second
		m.logf("%v pass", d)
		m.advance(d)
	case roll < 0.93:
		m.logf("all processes are suspended for a minute")
		m.clock.Step(time.Minute)
	case roll < 0.94:
		m.logf("the wall clock is stepped")
		m.clock.stepWall(time.Duration(m.random.IntN(7200)-3600) * time.Second)
	case roll < 0.96:
		m.logf("all servers restart")
		m.restart()
	case roll < 0.965:
		m.logf("one more server starts")
		if len(m.others) < 3 {
			m.join()
		}
	case roll < 0.975:
		if m.run.Suspended {
			m.resume()
		} else {
			m.logf("the run is suspended")
			m.change(func(r *Run) { r.Suspended = true })
		}
	case roll < 0.977:
		m.scale(1 + m.random.IntN(min(m.run.Total, 5)))
	case roll < 0.982:
		m.end(v1alpha1.ReasonCancelled)
	default:
		if p := m.pick(alive); p.inFlight == nil {
			p.hostile = true
			m.callOf(p)
			p.hostile = false
		}
	}
}

func (m *model) alive() (alive []*simulated) {
	for _, p := range m.pods {
		if !p.dead {
			alive = append(alive, p)
		}
	}
	return alive
}

func (m *model) pick(pods []*simulated) *simulated { return pods[m.random.IntN(len(pods))] }

// startPod acts as the Job controller: it starts a pod for a completion index that has none and did not succeed.
func (m *model) startPod() {
	if m.run.Suspended {
		return
	}
	taken := map[int]bool{}
	for _, p := range m.alive() {
		taken[p.worker.CompletionIndex] = true
	}
	for index := range m.run.Workers {
		if !taken[index] && !m.finished[index] {
			p := &simulated{pod: m.pod(index)}
			m.logf("%s starts", p.worker.PodName)
			m.pods = append(m.pods, p)
			return
		}
	}
}

func (m *model) end(reason string) {
	if m.run.Ending == "" {
		m.ended++
		m.logf("the run is ending: %s", reason)
		m.change(func(r *Run) { r.Ending = reason })
	}
	if m.chance(0.5) {
		m.closeRun()
	}
}

func (m *model) closeRun() {
	m.logf("the run is closed")
	if err := m.exchange.Close(context.Background(), m.run, m.run.Ending, "the end"); err != nil {
		m.fatal("closing: %v", err)
	}
}

// resume creates the next Job; the pods of the previous one are deleted.
func (m *model) resume() {
	m.logf("the run continues with the next Job")
	for _, p := range m.alive() {
		m.die(p, disrupted)
	}
	m.jobs++
	m.finished = map[int]bool{}
	m.change(func(r *Run) { r.Suspended, r.JobUID = false, types.UID(fmt.Sprintf("job-%d", m.jobs)) })
}

// scale changes the Job's number of workers: the pods with the highest indexes are deleted, or pods are added.
func (m *model) scale(workers int) {
	m.logf("the run is scaled to %d workers", workers)
	for _, p := range m.alive() {
		if p.worker.CompletionIndex >= workers {
			m.die(p, disrupted)
		}
	}
	for index := range m.finished {
		if index >= workers {
			delete(m.finished, index)
		}
	}
	m.minWorkers = min(m.minWorkers, workers)
	m.change(func(r *Run) { r.Workers = workers })
	if len(m.finished) == workers && !m.run.Suspended {
		// The Job is complete without the removed ones.
		m.resume()
	}
}

// callOf makes a call of a pod: a new one, or the one whose answer did not arrive.
func (m *model) callOf(p *simulated) {
	if p.inFlight == nil {
		p.inFlight = m.compose(p)
	}
	request := p.inFlight
	m.logf("%s calls: %s", p.worker.PodName, describe(request))
	fault := m.random.Float64()
	if fault < 0.08 {
		m.logf("  the call is lost")
		return
	}
	answer := m.deliver(p.worker, request)
	if fault < 0.20 && answer != nil {
		m.logf("  the answer is lost: %s", describeAnswer(answer))
		if m.chance(0.3) {
			m.delayed = append(m.delayed, delayedCall{p.worker, request})
		}
		return
	}
	p.inFlight = nil
	if answer == nil {
		return
	}
	m.logf("  %s", describeAnswer(answer))
	m.take(p, request, answer)
}

func (m *model) compose(p *simulated) *exchange.Request {
	if p.hostile {
		return m.composeHostile(p)
	}
	reported := m.random.IntN(len(p.pending) + 1)
	if m.chance(0.6) {
		reported = len(p.pending)
	}
	kept := len(p.queue)
	if m.chance(0.1) {
		kept = m.random.IntN(len(p.queue) + 1)
	}
	p.queue = p.queue[:kept]
	request := &exchange.Request{
		Protocol: exchange.Protocol, Sequence: p.sequence + 1, Want: !p.leaving && m.chance(0.8), Outcomes: p.pending[:reported:reported],
	}
	held := indexset.Of(p.queue...)
	for _, o := range p.pending[reported:] {
		held = held.Union(indexset.Of(o.Index))
	}
	request.Held = exchange.Indexes{Set: held}
	if len(p.queue) > 0 && m.chance(0.7) {
		request.Executing = &p.queue[0]
	}
	if len(p.queue) == 0 && len(p.pending) == 0 && m.chance(0.03) {
		request.LoadError = &exchange.ErrorText{Type: "ImportError", Message: "no module"}
	}
	if m.chance(0.05) {
		request.Leaving = true
	}
	return request
}

// composeHostile returns a call of a worker whose supervisor is controlled by the user's code.
func (m *model) composeHostile(p *simulated) *exchange.Request {
	some := func() indexset.Set {
		var set indexset.Set
		for range m.random.IntN(4) {
			first := m.random.IntN(m.run.Total)
			set = set.Union(indexset.Span(first, min(m.run.Total-1, first+m.random.IntN(5))))
		}
		return set
	}
	request := &exchange.Request{Protocol: exchange.Protocol, Sequence: p.sequence + 1 + int64(m.random.IntN(3)), Want: m.chance(0.5)}
	reported := some()
	for index := range reported.All() {
		switch m.random.IntN(4) {
		case 0:
			request.Outcomes = append(request.Outcomes, succeeded(index))
		case 1:
			crashed(index)(request)
		case 2:
			raised(index)(request)
		}
		m.forged[index] = true
	}
	held := some().Union(indexset.Of(p.queue...))
	for _, o := range p.pending {
		held = held.Union(indexset.Of(o.Index))
	}
	request.Held = exchange.Indexes{Set: held.Minus(request.Reported())}
	if held := request.Held.Set; !held.Empty() && m.chance(0.5) {
		executing := held.Max()
		request.Executing = &executing
	}
	return request
}

// deliver delivers a call to the server and checks the result; nil means that it was rejected.
func (m *model) deliver(worker Worker, request *exchange.Request) *exchange.Answer {
	if err := request.Validate(); err != nil {
		m.fatal("the model composed an invalid request: %v", err)
	}
	row, before := m.lookAt(worker)
	answer, err := m.exchange.Call(context.Background(), worker, request)
	if before != nil && request.Sequence < before.Sequence {
		if !errors.Is(err, ErrSequence) {
			m.fatal("an older call was answered: %v", err)
		}
		return nil
	}
	if errors.Is(err, ErrPodEnded) && before != nil && before.State == outcomes.WorkerEnded {
		if request.Sequence > before.Sequence {
			m.count(request)
		}
		return nil
	}
	if err != nil {
		m.fatal("a call failed: %v", err)
	}
	if repeated := before != nil && request.Sequence == before.Sequence; !repeated {
		m.count(request)
		if request.LoadError != nil {
			m.loadErrors++
		}
	} else if got := handedOut(answer); before.AnswerAction != string(exchange.ActionWait) && !got.Minus(before.AnswerHanded).Empty() {
		m.fatal("the same sequence got %q the second time and %q the first time", got, before.AnswerHanded)
	}
	for index := range handedOut(answer).All() {
		if _, ok := m.seen[index]; ok {
			m.fatal("index %d, which has an outcome, is handed out", index)
		}
	}
	if row != nil && row.Closed && answer.Action != exchange.ActionStop && answer.Action != exchange.ActionFinished {
		m.fatal("a run that is closed answers %s", answer.Action)
	}
	return answer
}

// count notes what a committed report may charge, and checks that it is in the store.
func (m *model) count(request *exchange.Request) {
	for _, o := range request.Outcomes {
		switch {
		case o.Crash:
			m.charges[o.Index]++
		case o.Status == v1alpha1.OutcomeFailed:
			m.failures[o.Index]++
		default:
			if _, ok := m.outcomes()[o.Index]; !ok {
				m.fatal("the report of index %d was acknowledged, but there is no outcome", o.Index)
			}
		}
	}
}

func (m *model) lookAt(worker Worker) (row *outcomes.Run, pod *outcomes.Worker) {
	m.view(func(tx *outcomes.Tx) (err error) {
		if row, err = tx.Run(m.run.UID); err != nil || row == nil {
			return err
		}
		pod, err = tx.Worker(row.ID, worker.PodUID)
		return err
	})
	return row, pod
}

// take processes an answer as a supervisor does.
func (m *model) take(p *simulated, request *exchange.Request, answer *exchange.Answer) {
	p.sequence = request.Sequence
	reported := request.Reported()
	var pending []exchange.Outcome
	for _, o := range p.pending {
		if !reported.Contains(o.Index) && !answer.Revoked.Contains(o.Index) {
			pending = append(pending, o)
		}
	}
	p.pending = pending
	var queue []int
	for _, index := range p.queue {
		if !answer.Revoked.Contains(index) && !reported.Contains(index) {
			queue = append(queue, index)
		}
	}
	for _, input := range answer.Inputs {
		queue = append(queue, input.Index)
	}
	p.queue = queue
	p.leaving = answer.Action == exchange.ActionFinished
	switch {
	case answer.Action == exchange.ActionStop:
		p.queue, p.pending = nil, nil
		m.exit(p)
	case p.leaving && len(p.queue)+len(p.pending) == 0:
		m.exit(p)
	}
}

// exit ends a pod with 0; the Job then counts its completion index as done.
func (m *model) exit(p *simulated) {
	m.logf("%s exits with 0", p.worker.PodName)
	m.finished[p.worker.CompletionIndex] = true
	m.die(p, completed)
	row := m.row()
	if len(m.finished) == m.run.Workers && !row.Closed && row.Closing == "" && m.run.Ending == "" && !m.run.Suspended && m.ended == 0 {
		// Suspensions that ended before the pod saw them leave the Job with fewer completions; the controller
		// then creates the next one.
		if m.jobs == 1 && len(m.alive()) == 0 && !m.wasSuspended() {
			m.fatal("every worker was released and %d outcomes are missing", row.Total-row.Done())
		}
		m.resume()
	}
}

func (m *model) wasSuspended() bool {
	for _, step := range m.log {
		if strings.HasPrefix(step, "the run is suspended") || strings.HasPrefix(step, "the run is scaled") || strings.Contains(step, "leaving") {
			return true
		}
	}
	return false
}

func (m *model) podExitOf() PodExit {
	return []PodExit{disrupted, disrupted, killed, exitedOne, oomKilled, {State: PodExitGone}, {State: PodExitUnknown}}[m.random.IntN(7)]
}

// die ends a pod. The watch may report it at once, later, or never.
func (m *model) die(p *simulated, podExit PodExit) {
	m.logf("%s has ended: %+v", p.worker.PodName, podExit)
	p.dead, p.podExit = true, podExit
	m.mu.Lock()
	m.podExits[p.worker.PodUID] = podExit
	m.mu.Unlock()
	_, row := m.lookAt(p.worker)
	unexplained := podExit.State == PodExitEnded && podExit.ExitCode != 0
	if unexplained {
		m.deaths++
		// An input that is its only one when its death is noticed may be charged; a call may still be on its way.
		if row != nil && row.State == outcomes.WorkerLive {
			for index := range row.Held().All() {
				m.charges[index]++
			}
		}
	}
	if p.inFlight != nil {
		m.delayed = append(m.delayed, delayedCall{p.worker, p.inFlight})
	}
	if m.chance(0.6) {
		p.end(podExit)
	} else {
		m.unseen = append(m.unseen, p)
	}
}

// watch reports the end of a pod that was not reported yet.
func (m *model) watch() {
	if len(m.unseen) == 0 {
		return
	}
	p := m.unseen[0]
	m.unseen = m.unseen[1:]
	m.logf("the end of %s is reported", p.worker.PodName)
	p.end(p.podExit)
}

// arriveLate delivers an old call.
func (m *model) arriveLate() {
	if len(m.delayed) == 0 {
		return
	}
	late := m.delayed[0]
	m.delayed = m.delayed[1:]
	m.logf("a call of %s arrives late: %s", late.worker.PodName, describe(late.request))
	if answer := m.deliver(late.worker, late.request); answer != nil {
		m.logf("  %s, which is not received", describeAnswer(answer))
		// It may have leased more inputs since it died.
		if _, row := m.lookAt(late.worker); row != nil {
			for index := range row.Held().All() {
				m.charges[index]++
			}
		}
	}
}

// execute runs the next input of a pod.
func (m *model) execute(p *simulated) {
	if len(p.queue) == 0 || p.inFlight != nil {
		return
	}
	index := p.queue[0]
	m.executions[index]++
	m.logf("%s executes %d", p.worker.PodName, index)
	if m.kinds[index] == kills {
		m.die(p, oomKilled)
		return
	}
	p.queue = p.queue[1:]
	r := &exchange.Request{}
	switch m.kinds[index] {
	case raises:
		raised(index)(r)
	case raisesOnce:
		if m.executions[index] == 1 {
			raised(index)(r)
		} else {
			done(index)(r)
		}
	case crashes:
		crashed(index)(r)
	case hangs:
		done(index)(r)
		r.Outcomes[0].Status, r.Outcomes[0].Result = v1alpha1.OutcomeTimedOut, nil
	default:
		done(index)(r)
	}
	r.Outcomes[0].DurationMicros = int64(m.random.ExpFloat64() * 2000)
	p.pending = append(p.pending, r.Outcomes...)
}

// fairRound makes one call of every pod, without faults.
func (m *model) fairRound() {
	if m.run.Ending != "" {
		m.closeRun()
		return
	}
	m.watch()
	for range m.run.Workers {
		m.startPod()
	}
	for _, p := range m.alive() {
		m.choose(m.random)
		if p.inFlight == nil {
			m.execute(p)
		}
		if p.dead {
			continue
		}
		if p.inFlight == nil {
			p.inFlight = m.compose(p)
			p.inFlight.Want, p.inFlight.Leaving, p.inFlight.LoadError = !p.leaving, false, nil
		}
		request := p.inFlight
		m.logf("%s calls: %s", p.worker.PodName, describe(request))
		answer := m.deliver(p.worker, request)
		p.inFlight = nil
		if answer == nil {
			continue
		}
		m.logf("  %s", describeAnswer(answer))
		m.take(p, request, answer)
	}
	m.advance(5 * time.Second)
	if err := m.exchange.finishClosings(context.Background()); err != nil {
		m.fatal("finishing closings: %v", err)
	}
}

// verify checks what must be true after every step.
func (m *model) verify() {
	if err := m.check(); err != nil {
		m.fatal("the invariant: %v", err)
	}
	now := m.outcomes()
	for index, before := range m.seen {
		o, ok := now[index]
		if !ok {
			m.fatal("the outcome of index %d is gone", index)
		}
		if after := print(o); after != before {
			m.fatal("the outcome of index %d was %s and is now %s", index, before, after)
		}
	}
	for index, o := range now {
		m.seen[index] = print(o)
	}
}

func print(o outcomes.Outcome) string {
	return fmt.Sprintf("%s %s %v after %d attempts by %s", o.Status, o.Result, o.Error, o.Attempts, o.PodName)
}

// verifyEnd checks what must be true at the end.
func (m *model) verifyEnd() {
	row := m.row()
	all := m.outcomes()
	if len(all) != m.run.Total {
		m.fatal("there are %d outcomes of %d", len(all), m.run.Total)
	}
	switch row.Closing {
	case "":
	case v1alpha1.ReasonWorkersDied:
		if m.deaths+m.loadErrors < m.minWorkers+2 {
			m.fatal("the run was ended for deaths, but there were only %d with %d workers", m.deaths, m.run.Workers)
		}
	case v1alpha1.ReasonMaxFailuresExceeded:
		if m.run.MaxFailures == nil || row.Failed+row.TimedOut <= *m.run.MaxFailures {
			m.fatal("the run was ended for %d failures", row.Failed+row.TimedOut)
		}
	case v1alpha1.ReasonModuleNotLoaded:
		if m.loadErrors == 0 {
			m.fatal("the run was ended for a module that was always loaded")
		}
	default:
		if m.ended == 0 {
			m.fatal("the run was closed for %s, which was not requested", row.Closing)
		}
	}
	for index, o := range all {
		m.verifyOutcome(index, o, row.Closing != "")
	}
}

func (m *model) verifyOutcome(index int, o outcomes.Outcome, closed bool) {
	maxAttempts := min(m.charges[index], maxCrashes) + min(m.failures[index], m.run.Retries+1) + 1
	switch {
	case o.Attempts > maxAttempts:
		m.fatal("index %d has %d attempts; %d crashes and %d exceptions were reported", index, o.Attempts, m.charges[index], m.failures[index])
	case o.ByClosing || m.forged[index]:
		return
	}
	// Charged by random deaths while it was the only input.
	unlucky := o.Status == outcomes.Failed && o.Error.Type == ErrorWorkerDied && m.charges[index] >= maxCrashes
	want := map[kind]outcomes.Status{
		normal: outcomes.Succeeded, raises: outcomes.Failed, raisesOnce: outcomes.Succeeded, crashes: outcomes.Failed,
		hangs: outcomes.TimedOut, kills: outcomes.Failed,
	}[m.kinds[index]]
	if m.kinds[index] == raisesOnce && o.Status == outcomes.Failed && (m.run.Retries < m.failures[index] || len(m.run.NonRetryable) > 0) {
		return
	}
	ending := (m.run.Ending != "" || closed) && (m.kinds[index] == raisesOnce || m.kinds[index] == crashes)
	if o.Status != want && !unlucky && !ending {
		m.fatal("index %d, of kind %d, is %s (%v)", index, m.kinds[index], o.Status, o.Error)
	}
}

// unwind deletes the data of the episode.
func (m *model) unwind() {
	if err := m.exchange.Forget(context.Background(), m.run.UID); err != nil {
		m.fatal("forgetting: %v", err)
	}
	if uids, err := m.exchange.RunUIDs(context.Background()); err != nil || len(uids) != 0 {
		m.fatal("after forgetting the store has %v, %v", uids, err)
	}
}

func describe(r *exchange.Request) string {
	var text strings.Builder
	fmt.Fprintf(&text, "sequence %d held %q", r.Sequence, r.Held.String())
	if r.Executing != nil {
		fmt.Fprintf(&text, " executing %d", *r.Executing)
	}
	for _, o := range r.Outcomes {
		fmt.Fprintf(&text, " %d=%s", o.Index, o.Status)
		if o.Crash {
			text.WriteString("(crash)")
		}
	}
	for name, is := range map[string]bool{" want": r.Want, " leaving": r.Leaving, " load error": r.LoadError != nil} {
		if is {
			text.WriteString(name)
		}
	}
	return text.String()
}

func describeAnswer(a *exchange.Answer) string {
	return fmt.Sprintf("%s %q, revoked %q", a.Action, handedOut(a), a.Revoked)
}
