package work

import (
	"slices"
	"time"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// delayGrain: times are rounded up to this part of their delay, so that the list of a run in which a thousand inputs a
// second raise has some dozen entries a delay and not a thousand.
const delayGrain = 16

// retryDelay is how long an input waits that has raised so many times.
func retryDelay(seconds, failures int) time.Duration {
	const maxDelay = time.Duration(v1alpha1.MaxRetryDelaySeconds) * time.Second
	delay := time.Duration(max(seconds, 0)) * time.Second
	for ; failures > 1 && delay < maxDelay; failures-- {
		delay *= 2
	}
	return min(delay, maxDelay)
}

// longestDelay is the most that anything of the run is delayed by, the rounding included.
func (r Run) maxDelay() time.Duration {
	delay := retryDelay(r.RetryDelaySeconds, r.Retries)
	return delay + delay/delayGrain + time.Microsecond
}

// postpone puts an index that raised, taken out of a worker's hands before, where it waits for its next attempt.
func (s *runState) postpone(index int) {
	if s.row.Closing != "" {
		return
	}
	delay := retryDelay(s.run.RetryDelaySeconds, s.attemptsOf(index).Failures).Microseconds()
	if delay == 0 {
		s.giveBack(indexset.Of(index), false)
		return
	}
	grain := max(delay/delayGrain, 1)
	due := (s.now + delay + grain - 1) / grain * grain
	at, found := slices.BinarySearchFunc(s.row.Delayed, due, func(d outcomes.Delay, due int64) int {
		return int(max(-1, min(1, d.DueMicros-due)))
	})
	// A copy: the row as it was before must not change with it.
	s.row.Delayed = slices.Clone(s.row.Delayed)
	if found {
		s.row.Delayed[at].Indexes = s.row.Delayed[at].Indexes.Union(indexset.Of(index))
	} else {
		s.row.Delayed = slices.Insert(s.row.Delayed, at, outcomes.Delay{DueMicros: due, Indexes: indexset.Of(index)})
	}
	// Whoever waits must learn until when.
	s.freed = true
}

// ripen hands out again what has waited long enough. What would have to wait for longer than anything ever does was
// delayed before the clock was stepped back: it has waited too.
func (s *runState) returnDue() {
	if len(s.row.Delayed) == 0 {
		return
	}
	latest := s.now + s.run.maxDelay().Microseconds()
	var due indexset.Set
	var waiting []outcomes.Delay
	for _, delay := range s.row.Delayed {
		if delay.DueMicros <= s.now || delay.DueMicros > latest {
			due = due.Union(delay.Indexes)
		} else {
			waiting = append(waiting, delay)
		}
	}
	s.row.Delayed = waiting
	s.giveBack(due, false)
}

// nextDue is how long it is until something that is delayed may be handed out; zero where nothing is.
func (s *runState) nextDue() time.Duration {
	if len(s.row.Delayed) == 0 {
		return 0
	}
	return max(time.Duration(s.row.Delayed[0].DueMicros-s.now)*time.Microsecond, time.Millisecond)
}

func withoutIndexes(delays []outcomes.Delay, indexes indexset.Set) []outcomes.Delay {
	var left []outcomes.Delay
	for _, delay := range delays {
		if leaveWhenDone := delay.Indexes.Minus(indexes); !leaveWhenDone.Empty() {
			left = append(left, outcomes.Delay{DueMicros: delay.DueMicros, Indexes: leaveWhenDone})
		}
	}
	return left
}
