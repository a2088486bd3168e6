package work

import (
	"fmt"
	"time"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// call is the decision about a worker's call.
type call struct {
	*runState
	request *exchange.Request
	limits  exchange.Limits
	// self is the caller's row. before is its state when the call arrived, nil if the caller is new.
	self   outcomes.Worker
	before *outcomes.Worker
	// reported are the indexes of the request's outcomes; have are those of them that have an outcome already.
	reported, have indexset.Set
	// others are the other live workers; only set if one of them may have leased a reported index, see leasedByOthers.
	others []outcomes.Worker
	// orphans: another live worker has leased inputs, and if it is dead, no pod will replace it: it had the caller's completion index
	// before, or belongs to an earlier Job. Only read if every index was handed out once.
	orphans bool
	// podExit is the exit of the caller's pod, if the request has leaving set.
	podExit PodExit
	// podEnding: Kubernetes is terminating the caller's pod, and the request does not have leaving set.
	podEnding bool
	// elapsed is the time since the worker's last call; known: that call was to this server, and elapsed is by the monotonic clock.
	elapsed time.Duration
	known   bool

	// The changes that were decided, except those of self and the run state. live is the output of the executing input, and load that
	// of loading the module; nil if there is none to write.
	live               *outcomes.LiveOutput
	load               *outcomes.LoadOutput
	liveDiscarded      int
	liveDiscardedBytes int64
	changedOthers      []outcomes.Worker
	action             exchange.Action
	handed             indexset.Set
	revoked            indexset.Set
	// refused is the error that the caller gets instead of an answer, although its reports are accepted.
	refused error
}

// newWorker returns the row of a pod that calls for the first time.
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

// leasedByOthers returns the reported indexes that are leased to another worker: the caller's lease expired, and they were handed out
// again.
func (c *call) leasedByOthers() indexset.Set {
	if c.row.Closing != "" || c.repeated() {
		return indexset.Set{}
	}
	return c.reported.Minus(c.have).Minus(c.self.Held()).Minus(c.free())
}

// repeated reports whether the caller did not receive the answer to this call.
func (c *call) repeated() bool { return c.before != nil && c.request.Sequence == c.before.Sequence }

// decide decides a call. After an error, nothing was decided.
func (c *call) decide() error {
	if err := c.check(); err != nil {
		return err
	}
	c.returnDue()
	repeated, ended, hadNothing := c.repeated(), c.self.State == outcomes.WorkerEnded, c.nothingToHandOut()
	if !ended {
		// The worker is alive, even if its lease had expired.
		c.self.State = outcomes.WorkerLive
	}
	if !repeated {
		c.applyReports()
		c.endAfterFailures()
		if c.request.LoadError != nil && c.row.Closing == "" && !c.row.Closed && !ended {
			c.loadFailed(c.request.LoadError, c.request.LoadOutput)
		}
		c.self.Sequence = c.request.Sequence
		c.self.Device = printable.Cut(c.request.Device, 256)
	}
	c.row.WorkedMicros += max(0, c.elapsed.Microseconds())
	c.self.LastMicros = c.now
	c.closeWhenDone()

	switch {
	case c.row.Closing != "" || c.row.Closed || c.run.stops():
		c.stopWorker()
	case ended:
		c.refused = ErrPodEnded
	case repeated && exchange.Action(c.self.AnswerAction) != exchange.ActionWait:
		c.reclaim()
		c.repeatAnswer()
	default:
		c.reclaim()
		c.answerNew()
	}
	c.account(c.before, &c.self)
	if c.fenced {
		c.row.Live, c.row.Busy, c.row.Queued = 0, 0, 0
	}
	// The waiting workers may now be released.
	c.freed = c.freed || (c.nothingToHandOut() && !hadNothing)
	return nil
}

// stops reports whether the run hands out nothing, temporarily or for good.
func (r Run) stops() bool { return r.Ending != "" || r.Suspended || r.Finished }

func (c *call) check() error {
	if c.before != nil && c.request.Sequence < c.before.Sequence {
		return ErrSequence
	}
	if last := c.reported.Max(); last >= c.row.Total {
		return &exchange.RequestError{Message: fmt.Sprintf("an outcome has index %d; the run has %d inputs", last, c.row.Total), Index: &last}
	}
	if last := c.request.Held.Max(); last >= c.row.Total {
		return exchange.BadRequest("held has index %d; the run has %d inputs", last, c.row.Total)
	}
	return nil
}

// applyReports gives the reported indexes their outcomes or next attempts, and returns those that the worker no longer lists.
func (c *call) applyReports() {
	held := c.self.Held()
	var settled, again indexset.Set
	var settledIndexes, againIndexes, laterIndexes []int
	for i := range c.request.Outcomes {
		o := &c.request.Outcomes[i]
		if c.have.Contains(o.Index) {
			continue // the first outcome wins; this one is acknowledged
		}
		switch isOutcome := c.applyReport(o); {
		case isOutcome:
			settledIndexes = append(settledIndexes, o.Index)
		case !held.Contains(o.Index):
		case o.Crash:
			againIndexes = append(againIndexes, o.Index)
		default:
			laterIndexes = append(laterIndexes, o.Index)
		}
	}
	settled, again = indexset.Of(settledIndexes...), indexset.Of(againIndexes...)

	// The worker's lease on these had expired: they may be free, or leased to another worker.
	late := settled.Minus(held)
	if !late.Empty() {
		c.take(late)
		c.revokeFromOthers(late)
	}
	reported := c.reported
	dropped := held.Minus(reported).Minus(c.request.Held.Set)
	alone := c.self.Alone
	c.self.Keep(held.Minus(reported).Minus(dropped))
	// The supervisor saw the process of these inputs crash, so they did not kill the container: they are no suspects. With several
	// inputs in one call of the handler they are, because the others of that call must not be affected.
	c.giveBack(again, c.run.BatchSize > 1)
	// Inputs that were in one call of the handler when its process ended are tried one by one.
	suspects := dropped.And(c.request.Suspects.Set)
	c.giveBack(suspects, true)
	c.giveBack(dropped.Minus(suspects), alone)
	for _, index := range laterIndexes {
		c.postpone(index)
	}
}

// reclaim leases indexes again that the worker lists although its lease on them expired, unless another worker has leased them: a handler
// that outlives an outage of the exchange continues, and its work is not repeated. The other indexes are revoked. At most two batches are
// leased, so that a request cannot claim a million indexes.
func (c *call) reclaim() {
	lost := c.request.Held.Minus(c.reported).Minus(c.self.Held())
	if c.row.Closing == "" && !c.row.Closed && !c.run.stops() && !c.self.Alone && !lost.Empty() {
		back, _ := lost.And(c.row.Returned.Union(c.unissued())).Take(2*maxBatchSize - c.self.Held().Len())
		if suspects := lost.And(c.row.Suspects); back.Empty() && c.self.Held().Empty() && !suspects.Empty() {
			back, _ = suspects.Take(1)
			c.self.Alone = true
		}
		if !back.Empty() {
			c.take(back)
			c.lease(&c.self, back)
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

// revokeFromOthers ends the leases of other workers on these indexes. Those workers learn of it from the answer to their next call.
func (c *call) revokeFromOthers(indexes indexset.Set) {
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

// applyReport applies what the worker reports of an input that has no outcome. It reports whether that is the input's outcome; if not, the
// input gets another attempt.
func (c *call) applyReport(o *exchange.Outcome) bool {
	c.measure(o.DurationMicros)
	exhausted := true
	var attempts int
	switch {
	case o.Crash:
		exhausted, attempts = c.charge(o.Index)
	case o.Status == v1alpha1.OutcomeFailed:
		exhausted, attempts = c.fail(o.Index, errorType(o))
	default:
		a := c.attemptsOf(o.Index)
		attempts = a.Failures + a.Crashes + 1
	}
	if !exhausted && c.row.Closing == "" && !c.run.ends() {
		return false
	}
	stored := storedOutcome(o, c.limits)
	stored.Attempts = attempts
	stored.AssignedMicros = c.self.Assigned(o.Index)
	stored.WorkerID = c.self.ID
	c.add(stored)
	// The module loads and a worker works: earlier deaths are no pattern.
	c.row.DeathsWithoutProgress, c.row.Deaths = 0, 0
	return true
}

func errorType(o *exchange.Outcome) string {
	if o.Error == nil {
		return ""
	}
	return o.Error.Type
}

// ends reports whether no input gets another attempt. The last report of an input is then its outcome, rather than the reason of the end.
func (r Run) ends() bool { return r.Ending != "" || r.Finished }

// stopWorker answers with stop or finished, and returns the worker's leased inputs.
func (c *call) stopWorker() {
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

// repeatAnswer repeats the stored answer: the inputs that were handed out with it, except those that are no longer leased.
func (c *call) repeatAnswer() {
	c.action = exchange.Action(c.self.AnswerAction)
	c.handed = c.self.AnswerHanded.And(c.self.Held())
	c.leaveWhenDone()
}

func (c *call) answerNew() {
	ending := c.request.Leaving && (c.podExit.Terminating || c.podExit.State == PodExitDisrupted || c.podExit.State == PodExitGone)
	var handed indexset.Set
	switch {
	case ending:
		c.action = exchange.ActionFinished
		if c.self.Held().Empty() {
			c.action = exchange.ActionStop
		}
	case c.podEnding:
		// Its next call has leaving set. It may finish its leased inputs, but gets no more.
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

// nothingLeft reports whether nothing can return to a worker without leased inputs. An input that another worker executes is finished
// by that worker or by the successor of its pod, which may be the caller; the inputs queued behind it may still be returned.
func (c *call) nothingLeft() bool {
	if c.orphans {
		return false
	}
	queued := c.row.Queued
	if c.before != nil && c.before.State == outcomes.WorkerLive {
		// The sum still has the caller's earlier state.
		queued -= max(0, c.before.Held().Len()-1)
	}
	return queued == 0 && c.noneFree()
}

// noneFree reports whether every index has an outcome or is leased.
func (s *runState) noneFree() bool {
	return s.row.Returned.Empty() && s.row.Suspects.Empty() && len(s.row.Delayed) == 0 && s.row.Next >= s.row.Total
}

func (s *runState) nothingToHandOut() bool { return s.row.Queued == 0 && s.noneFree() }

// answer stores the answer, so that a repeated call gets it again.
func (c *call) answer(handed indexset.Set) {
	c.handed = handed
	c.self.AnswerAction, c.self.AnswerHanded = string(c.action), handed
	c.leaveWhenDone()
}

// leaveWhenDone ends the lease of a worker that was released or stopped and has no leased inputs.
func (c *call) leaveWhenDone() {
	released := c.action == exchange.ActionStop || c.action == exchange.ActionFinished
	if released && c.self.Held().Empty() && c.self.State == outcomes.WorkerLive {
		c.self.State = outcomes.WorkerLeft
	}
}
