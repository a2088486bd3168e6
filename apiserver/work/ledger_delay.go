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
	const most = time.Duration(v1alpha1.MaxRetryDelaySeconds) * time.Second
	delay := time.Duration(max(seconds, 0)) * time.Second
	for ; failures > 1 && delay < most; failures-- {
		delay *= 2
	}
	return min(delay, most)
}

// longestDelay is the most that anything of the run is delayed by, the rounding included.
func (r Run) longestDelay() time.Duration {
	delay := retryDelay(r.RetryDelaySeconds, r.Retries)
	return delay + delay/delayGrain + time.Microsecond
}

// postpone puts an index that raised, taken out of a worker's hands before, where it waits for its next attempt.
func (l *ledger) postpone(index int) {
	if l.row.Closing != "" {
		return
	}
	delay := retryDelay(l.run.RetryDelaySeconds, l.attemptsOf(index).Failures).Microseconds()
	if delay == 0 {
		l.giveBack(indexset.Of(index), false)
		return
	}
	grain := max(delay/delayGrain, 1)
	due := (l.now + delay + grain - 1) / grain * grain
	at, found := slices.BinarySearchFunc(l.row.Delayed, due, func(d outcomes.Delay, due int64) int {
		return int(max(-1, min(1, d.DueMicros-due)))
	})
	// A copy: the row as it was before must not change with it.
	l.row.Delayed = slices.Clone(l.row.Delayed)
	if found {
		l.row.Delayed[at].Indexes = l.row.Delayed[at].Indexes.Union(indexset.Of(index))
	} else {
		l.row.Delayed = slices.Insert(l.row.Delayed, at, outcomes.Delay{DueMicros: due, Indexes: indexset.Of(index)})
	}
	// Whoever waits must learn until when.
	l.freed = true
}

// ripen hands out again what has waited long enough. What would have to wait for longer than anything ever does was
// delayed before the clock was stepped back: it has waited too.
func (l *ledger) ripen() {
	if len(l.row.Delayed) == 0 {
		return
	}
	farthest := l.now + l.run.longestDelay().Microseconds()
	var ripe indexset.Set
	var waiting []outcomes.Delay
	for _, delay := range l.row.Delayed {
		if delay.DueMicros <= l.now || delay.DueMicros > farthest {
			ripe = ripe.Union(delay.Indexes)
		} else {
			waiting = append(waiting, delay)
		}
	}
	l.row.Delayed = waiting
	l.giveBack(ripe, false)
}

// nextDue is how long it is until something that is delayed may be handed out; zero where nothing is.
func (l *ledger) nextDue() time.Duration {
	if len(l.row.Delayed) == 0 {
		return 0
	}
	return max(time.Duration(l.row.Delayed[0].DueMicros-l.now)*time.Microsecond, time.Millisecond)
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
