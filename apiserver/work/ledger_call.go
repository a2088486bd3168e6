package work

import (
	"time"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// call is a worker's call on a ledger.
type call struct {
	*ledger
	request *exchange.Request
	limits  exchange.Limits
	// self is the caller's row; before is how it was when the call came, nil when it was unknown.
	self   outcomes.Worker
	before *outcomes.Worker
	// reported are the indexes in the request's outcomes; have are those of them that have an outcome.
	reported, have indexset.Set
	// others are the other live workers; only given where one of them may hold a reported index, see elsewhere.
	others []outcomes.Worker
	// orphans: another live worker holds something, and should it be dead, no successor of its own would come for that: it
	// had the caller's completion index before, or belongs to an earlier Job. Only looked up where everything was handed
	// out once.
	orphans bool
	// podExit is the exit of the caller's pod, if the request has leaving set.
	podExit PodExit
	// unheard: Kubernetes is ending the caller's pod, and the caller does not say that it knows.
	unheard bool
	// elapsed is the time since the worker's last call; known says that it was here, and is by the monotonic clock.
	elapsed time.Duration
	known   bool

	// What was decided, besides self and the ledger. live is what the executing input has printed; nil where nothing of it is to
	// be written.
	live            *outcomes.LiveOutput
	liveUnkept      int
	liveUnkeptBytes int64
	changedOthers   []outcomes.Worker
	action          exchange.Action
	handed          indexset.Set
	revoked         indexset.Set
	// refused is what the caller gets instead of an answer, although what he reported is taken.
	refused error
}

// newWorker is the row of a pod that calls for the first time.
func newWorker(worker Worker, run int64, now int64) outcomes.Worker {
	return outcomes.Worker{
		RunID:           run,
		PodUID:          worker.PodUID,
		PodName:         worker.PodName,
		Node:            worker.Node,
		JobUID:          worker.JobUID,
		CompletionIndex: worker.CompletionIndex,
		State:           outcomes.WorkerLive,
		Executing:       -1,
		FirstMicros:     now,
	}
}

// elsewhere are the reported indexes that another worker holds: the caller's lease on them ran out, and they were handed
// out again.
func (c *call) elsewhere() indexset.Set {
	if c.row.Closing != "" || c.repeated() {
		return indexset.Set{}
	}
	return c.reported.Minus(c.have).Minus(c.self.Held()).Minus(c.free())
}

// repeated: the caller did not get the answer to this very call.
func (c *call) repeated() bool { return c.before != nil && c.request.Sequence == c.before.Sequence }

// decide is the whole of a call. An error means that nothing was decided.
func (c *call) decide() error {
	if err := c.check(); err != nil {
		return err
	}
	c.ripen()
	repeated, over, idle := c.repeated(), c.self.State == outcomes.WorkerEnded, c.idle()
	if !over {
		// Whoever calls is alive, whatever was thought of him.
		c.self.State = outcomes.WorkerLive
	}
	if !repeated {
		c.takeReports()
		c.endFailing()
		if c.request.LoadError != nil && c.row.Closing == "" && !c.row.Closed && !over {
			c.loadFailed(c.request.LoadError)
		}
		c.self.Sequence = c.request.Sequence
		c.self.Device = cutText(c.request.Device, 256)
	}
	c.row.WorkedMicros += max(0, c.elapsed.Microseconds())
	c.self.LastMicros = c.now
	c.settle()

	switch {
	case c.row.Closing != "" || c.row.Closed || c.run.stops():
		c.dismiss()
	case over:
		c.refused = ErrPodOver
	case repeated && exchange.Action(c.self.AnswerAction) != exchange.ActionWait:
		c.reclaim()
		c.answerAgain()
	default:
		c.reclaim()
		c.answerAnew()
	}
	c.account(c.before, &c.self)
	if c.fenced {
		c.row.Live, c.row.Busy, c.row.Queued = 0, 0, 0
	}
	// Those that wait may now be sent away.
	c.freed = c.freed || (c.idle() && !idle)
	return nil
}

// stops: the run takes no more work at present, or ever.
func (r Run) stops() bool { return r.Ending != "" || r.Suspended || r.Finished }

func (c *call) check() error {
	if c.before != nil && c.request.Sequence < c.before.Sequence {
		return ErrSequence
	}
	if last := c.reported.Max(); last >= c.row.Total {
		return exchange.BadRequest("an outcome has index %d; the run has %d inputs", last, c.row.Total)
	}
	if last := c.request.Held.Max(); last >= c.row.Total {
		return exchange.BadRequest("held has index %d; the run has %d inputs", last, c.row.Total)
	}
	return nil
}

// takeReports gives the reported indexes their outcomes, or their next attempts, and takes back what is not held any more.
func (c *call) takeReports() {
	held := c.self.Held()
	var settled, again indexset.Set
	var settledIndexes, againIndexes, laterIndexes []int
	for i := range c.request.Outcomes {
		o := &c.request.Outcomes[i]
		if c.have.Contains(o.Index) {
			continue // the first outcome won; this one is acknowledged
		}
		switch settled := c.report(o); {
		case settled:
			settledIndexes = append(settledIndexes, o.Index)
		case !held.Contains(o.Index):
		case o.Crash:
			againIndexes = append(againIndexes, o.Index)
		default:
			laterIndexes = append(laterIndexes, o.Index)
		}
	}
	settled, again = indexset.Of(settledIndexes...), indexset.Of(againIndexes...)

	// What was settled is nobody's any more. A report of a lease that had run out may find it free, or with another.
	late := settled.Minus(held)
	if !late.Empty() {
		c.take(late)
		c.takeFromOthers(late)
	}
	reported := c.reported
	dropped := held.Minus(reported).Minus(c.request.Held.Set)
	alone := c.self.Alone
	c.self.Keep(held.Minus(reported).Minus(dropped))
	// An input that the supervisor saw fail did not kill the container: no suspect any more. But with others in one call of
	// the handler it would be one again.
	c.giveBack(again, c.run.BatchSize > 1)
	// Those that one call of the handler had together are tried one by one.
	suspects := dropped.And(c.request.Suspects.Set)
	c.giveBack(suspects, true)
	c.giveBack(dropped.Minus(suspects), alone)
	for _, index := range laterIndexes {
		c.postpone(index)
	}
}

// reclaim gives back to the worker what it says it holds and has lost (its lease had run out), as long as nobody else has
// taken it: a handler that outlives an outage of the exchange goes on, and what was done meanwhile is not done again. What
// it cannot have is revoked. No more than a worker ever holds: a list of a million must not fetch them.
func (c *call) reclaim() {
	lost := c.request.Held.Minus(c.reported).Minus(c.self.Held())
	if c.row.Closing == "" && !c.row.Closed && !c.run.stops() && !c.self.Alone && !lost.Empty() {
		back, _ := lost.And(c.row.Returned.Union(c.unissued())).Take(2*maxBatch - c.self.Held().Len())
		if suspects := lost.And(c.row.Suspects); back.Empty() && c.self.Held().Empty() && !suspects.Empty() {
			back, _ = suspects.Take(1)
			c.self.Alone = true
		}
		if !back.Empty() {
			c.take(back)
			c.hold(&c.self, back)
		}
	}
	held := c.self.Held()
	executing := -1
	if e := c.request.Executing; e != nil && held.Contains(*e) {
		executing = *e
	}
	c.self.Execute(executing, c.now)
	c.revoked = c.request.Held.Minus(c.reported).Minus(held)
}

// takeFromOthers takes indexes out of the hands of those that hold them now; they are told at their next call.
func (c *call) takeFromOthers(indexes indexset.Set) {
	for i := range c.others {
		before := c.others[i]
		if before.Held().And(indexes).Empty() {
			continue
		}
		after := before
		after.Keep(before.Held().Minus(indexes))
		c.account(&before, &after)
		c.others[i] = after
		c.changedOthers = append(c.changedOthers, after)
		c.freed = true
	}
}

// report takes what the worker says of an input that has no outcome. It says whether that is the input's outcome; if not,
// the input gets another attempt.
func (c *call) report(o *exchange.Outcome) bool {
	c.measure(o.DurationMicros)
	over := true
	var attempts int
	switch {
	case o.Crash:
		over, attempts = c.charge(o.Index)
	case o.Status == v1alpha1.OutcomeFailed:
		over, attempts = c.fail(o.Index, errorType(o))
	default:
		a := c.attemptsOf(o.Index)
		attempts = a.Failures + a.Crashes + 1
	}
	if !over && c.row.Closing == "" && !c.run.ends() {
		return false
	}
	stored := storedOutcome(o, c.limits)
	stored.Attempts = attempts
	stored.AssignedMicros = c.self.Assigned(o.Index)
	stored.WorkerID = c.self.ID
	c.add(stored)
	// The module loads and a worker works: what died before is no pattern.
	c.row.DeathsWithoutProgress, c.row.Deaths = 0, 0
	return true
}

func errorType(o *exchange.Outcome) string {
	if o.Error == nil {
		return ""
	}
	return o.Error.Type
}

// ends: no input gets another attempt. What it said last is then its outcome, and truer than the end's.
func (r Run) ends() bool { return r.Ending != "" || r.Finished }

// dismiss sends the worker away and takes back what it holds.
func (c *call) dismiss() {
	c.action = exchange.ActionStop
	if c.row.Closed && c.row.Filled == 0 {
		c.action = exchange.ActionFinished
	}
	held, alone := c.self.Held(), c.self.Alone
	c.self.Keep(indexset.Set{})
	c.giveBack(held, alone)
	c.revoked = c.request.Held.Minus(c.reported)
	c.answer(indexset.Set{})
}

// answerAgain gives the stored answer: what was handed out with it, less what has been lost since.
func (c *call) answerAgain() {
	c.action = exchange.Action(c.self.AnswerAction)
	c.handed = c.self.AnswerHanded.And(c.self.Held())
	c.rest()
}

func (c *call) answerAnew() {
	ending := c.request.Leaving && (c.podExit.Terminating || c.podExit.State == PodExitDisrupted || c.podExit.State == PodExitGone)
	var handed indexset.Set
	switch {
	case ending:
		c.action = exchange.ActionFinished
		if c.self.Held().Empty() {
			c.action = exchange.ActionStop
		}
	case c.unheard:
		// It asks with leaving next, and what it holds it may finish; but it gets nothing more.
		c.action = exchange.ActionWork
	case c.request.Want:
		handed = c.handOut(&c.self)
		c.action = exchange.ActionWork
		if handed.Empty() {
			c.action = exchange.ActionWait
		}
	default:
		c.action = exchange.ActionWork
	}
	if c.self.Held().Empty() && c.action != exchange.ActionStop && c.nothingLeft() {
		c.action = exchange.ActionFinished
	}
	c.answer(handed)
}

// nothingLeft: nothing can come back to a worker that holds nothing. What another executes is that one's to finish, and
// its pod's successor's (which the caller may be); what it has queued behind that may still be handed back.
func (c *call) nothingLeft() bool {
	if c.orphans {
		return false
	}
	queued := c.row.Queued
	if c.before != nil && c.before.State == outcomes.WorkerLive {
		// The sum has the caller as he was.
		queued -= max(0, c.before.Held().Len()-1)
	}
	return queued == 0 && c.drained()
}

// drained: every index has an outcome or is in somebody's hands; idle: those hands have one each.
func (l *ledger) drained() bool {
	return l.row.Returned.Empty() && l.row.Suspects.Empty() && len(l.row.Delayed) == 0 && l.row.Next >= l.row.Total
}

func (l *ledger) idle() bool { return l.row.Queued == 0 && l.drained() }

// answer stores the answer, so that a repeated call gets it again.
func (c *call) answer(handed indexset.Set) {
	c.handed = handed
	c.self.AnswerAction, c.self.AnswerHanded = string(c.action), handed
	c.rest()
}

// rest ends the lease of a worker that goes.
func (c *call) rest() {
	goes := c.action == exchange.ActionStop || c.action == exchange.ActionFinished
	if goes && c.self.Held().Empty() && c.self.State == outcomes.WorkerLive {
		c.self.State = outcomes.WorkerLeft
	}
}
