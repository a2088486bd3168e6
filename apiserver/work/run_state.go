package work

import (
	"math"
	"slices"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/exchange/indexset"
)

const (
	// maxCrashes is how many charges for a crashed process or container make an input Failed.
	maxCrashes = 2
	// maxUnsuccessfulText is the maximum length of the list of indexes that did not succeed, as text.
	maxUnsuccessfulText = 4096
)

// runState is the state of a run while a call, a death or the end of the run is decided, and the changes decided so far. It is read from rows,
// changed by the methods in run_state*.go, and written back.
//
// Invariant: every index of the run is in exactly one place: it has an outcome, it is in row.Returned, in row.Suspects or in row.Delayed, it
// is leased to one live worker, or it is row.Next or greater. While row.Closing is set, no index is leased or returned.
type runState struct {
	run Run
	row outcomes.Run
	// now is the wall clock, µs since 1970. It is stored; the only decision that depends on it is which delays have ended, where a clock
	// step costs at most one delay: see run_state_delay.go.
	now int64
	// attempts are the recorded attempts of the indexes that the decision is about.
	attempts map[int]outcomes.Attempts
	// room is how much the run's namespace may store; without a limit if the quota was not read, see run_state_storage.go.
	room quotas.Room

	// The changes that were decided, except those of row.
	added []outcomes.Outcome
	// discarded is the number of outcomes whose result and output are not stored because the namespace has no room.
	discarded      int
	discardedBytes int64
	attempted      []outcomes.Attempts
	// fenced: every live worker loses its lease.
	fenced bool
	// freed: an input may now be handed out, or a worker released: notify the open calls.
	freed bool
}

// newRow returns the row of a run that has none.
func newRow(run Run, now int64) outcomes.Run {
	return outcomes.Run{
		UID:             run.UID,
		Namespace:       run.Namespace,
		Name:            run.Name,
		Total:           run.Total,
		GPUs:            run.GPUs,
		UnsuccessfulCut: -1,
		CreatedMicros:   now,
	}
}

// account updates the row's sums over its workers, so that no call has to read all of them.
func (s *runState) account(before, after *outcomes.Worker) {
	for _, side := range []struct {
		worker *outcomes.Worker
		sign   int
	}{{before, -1}, {after, +1}} {
		if side.worker == nil || side.worker.State != outcomes.WorkerLive {
			continue
		}
		s.row.Live += side.sign
		if held := side.worker.Held().Len(); held > 0 {
			s.row.Busy += side.sign
			s.row.Queued += side.sign * (held - 1)
		}
	}
}

// unissued returns the indexes that were never leased.
func (s *runState) unissued() indexset.Set { return indexset.Span(s.row.Next, s.row.Total-1) }

// free returns the indexes that have no outcome and are not leased.
func (s *runState) free() indexset.Set {
	return s.row.Returned.Union(s.row.Suspects).Union(s.row.Waiting()).Union(s.unissued())
}

// giveBack returns indexes that are no longer leased to the set from which they are handed out again.
func (s *runState) giveBack(indexes indexset.Set, suspect bool) {
	if indexes.Empty() || s.row.Closing != "" {
		return
	}
	if suspect {
		s.row.Suspects = s.row.Suspects.Union(indexes)
	} else {
		s.row.Returned = s.row.Returned.Union(indexes)
	}
	s.freed = true
}

// take removes indexes from the sets of free ones, before they get an outcome or a lease.
func (s *runState) take(indexes indexset.Set) {
	if s.row.Closing != "" {
		return
	}
	if last := indexes.Max(); last >= s.row.Next {
		// This row says that the index was never handed out: the worker leased it before the volume was restored. The indexes below it
		// are still free.
		s.row.Returned = s.row.Returned.Union(indexset.Span(s.row.Next, last))
		s.row.Next = last + 1
	}
	s.row.Returned = s.row.Returned.Minus(indexes)
	s.row.Suspects = s.row.Suspects.Minus(indexes)
	s.row.Delayed = withoutIndexes(s.row.Delayed, indexes)
}

// add stores the outcome of an index that has none and is not leased.
func (s *runState) add(o outcomes.Outcome) {
	o = s.fit(o)
	s.added = append(s.added, o)
	s.row.Count(o.Status, 1)
	if o.Status != outcomes.Succeeded {
		s.unsuccessful(indexset.Of(o.Index))
	}
}

// closeWhenDone closes the run if every index has an outcome: the call with the last one closes the run.
func (s *runState) closeWhenDone() {
	if s.row.Closed || s.row.Done() < s.row.Total {
		return
	}
	s.row.Closed = true
	s.row.Next, s.row.FillNext = s.row.Total, s.row.Total
	s.freed = true
}

// unsuccessful keeps the smallest indexes that did not succeed, as many as fit into the text.
func (s *runState) unsuccessful(indexes indexset.Set) {
	if cut := s.row.UnsuccessfulCut; cut >= 0 {
		indexes = indexes.And(indexset.Span(0, cut-1))
	}
	kept, rest := s.row.Unsuccessful.Union(indexes).Cut(maxUnsuccessfulText)
	s.row.Unsuccessful = kept
	if !rest.Empty() {
		s.row.UnsuccessfulCut = rest.Min()
	}
}

// charge records a crash of an index. It reports whether that was the last one allowed, and the number of attempts.
func (s *runState) charge(index int) (exhausted bool, attempts int) {
	a := s.attemptsOf(index)
	a.Crashes++
	s.record(a)
	return a.Crashes >= maxCrashes, a.Failures + a.Crashes
}

// fail records an exception of the given type. It reports whether that was the last attempt, and the number of attempts.
func (s *runState) fail(index int, errorType string) (exhausted bool, attempts int) {
	a := s.attemptsOf(index)
	a.Failures++
	s.record(a)
	return a.Failures > s.run.Retries || slices.Contains(s.run.NonRetryable, errorType), a.Failures + a.Crashes
}

func (s *runState) attemptsOf(index int) outcomes.Attempts {
	if a, ok := s.attempts[index]; ok {
		return a
	}
	return outcomes.Attempts{Index: index}
}

func (s *runState) record(a outcomes.Attempts) {
	if s.attempts == nil {
		s.attempts = map[int]outcomes.Attempts{}
	}
	s.attempts[a.Index] = a
	s.attempted = append(s.attempted, a)
}

// measure adds a duration to the mean. A duration counts at most eight times the mean: one input of 20 s among many of 50 ms must not
// reduce the batches of the others to one input.
func (s *runState) measure(micros int64) {
	const weight, outlier = 1.0 / 8, 8
	duration := float64(max(micros, 1))
	s.row.Measured++
	if s.row.Measured > 4 {
		duration = min(duration, outlier*s.row.MeanMicros)
	}
	s.row.MeanMicros += (duration - s.row.MeanMicros) * max(weight, 1/float64(s.row.Measured))
	// SQL cannot store NaN.
	if math.IsNaN(s.row.MeanMicros) || s.row.MeanMicros < 1 {
		s.row.MeanMicros = 1
	}
}
