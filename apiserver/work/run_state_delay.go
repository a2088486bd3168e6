package work

import (
	"slices"
	"time"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// delayGrain: times are rounded up to this fraction of their delay, so that the list of a run in which a thousand inputs per second raise
// an exception has a few dozen entries per delay, not a thousand.
const delayGrain = 16

// retryDelay returns how long an input waits after this number of failures.
func retryDelay(seconds, failures int) time.Duration {
	const maxDelay = time.Duration(v1alpha1.MaxRetryDelaySeconds) * time.Second
	delay := time.Duration(max(seconds, 0)) * time.Second
	for ; failures > 1 && delay < maxDelay; failures-- {
		delay *= 2
	}
	return min(delay, maxDelay)
}

// maxDelay returns the longest delay of the run's inputs, with the rounding.
func (r Run) maxDelay() time.Duration {
	delay := retryDelay(r.RetryDelaySeconds, r.Retries)
	return delay + delay/delayGrain + time.Microsecond
}

// postpone delays the next attempt of an index that raised an exception and is no longer leased.
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
	// A copy, because the earlier state of the row shares the slice.
	s.row.Delayed = slices.Clone(s.row.Delayed)
	if found {
		s.row.Delayed[at].Indexes = s.row.Delayed[at].Indexes.Union(indexset.Of(index))
	} else {
		s.row.Delayed = slices.Insert(s.row.Delayed, at, outcomes.Delay{DueMicros: due, Indexes: indexset.Of(index)})
	}
	// Open calls must learn the new time.
	s.freed = true
}

// returnDue returns the inputs whose delay has ended. A time that is later than any delay allows was set before the clock was stepped back:
// that delay has ended too.
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

// nextDue returns the time until the first delay ends, zero if nothing is delayed.
func (s *runState) nextDue() time.Duration {
	if len(s.row.Delayed) == 0 {
		return 0
	}
	return max(time.Duration(s.row.Delayed[0].DueMicros-s.now)*time.Microsecond, time.Millisecond)
}

func withoutIndexes(delays []outcomes.Delay, indexes indexset.Set) []outcomes.Delay {
	var left []outcomes.Delay
	for _, delay := range delays {
		if rest := delay.Indexes.Minus(indexes); !rest.Empty() {
			left = append(left, outcomes.Delay{DueMicros: delay.DueMicros, Indexes: rest})
		}
	}
	return left
}
