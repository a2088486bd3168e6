package work

import (
	"math"
	"slices"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/exchange/indexset"
)

const (
	// crashBudget is how many charges for a dead process or container make an input Failed.
	maxCrashes = 2
	// unsuccessfulBytes is how long the text of the indexes that did not succeed may be.
	maxUnsuccessfulText = 4096
)

// ledger is what is known of a run while a call, a death or an end is decided, and what was decided so far. It is made of
// rows, changed by the methods of the files ledger*.go, and then written.
//
// Its invariant: every index of the run is in exactly one place: it has an outcome, it is in row.Returned, in
// row.Suspects, in row.Delayed, in the hands of one live worker, or it is row.Next or greater. While row.Closing is set
// nobody holds anything and nothing is returned.
type runState struct {
	run Run
	row outcomes.Run
	// now is the wall clock, µs since 1970. It is written down; nothing is decided by it but which delays are over, and
	// there a stepped clock costs no more than one delay: see ledger_delay.go.
	now int64
	// attempts has what is recorded of the indexes at hand.
	attempts map[int]outcomes.Attempts
	// room is how much the run's namespace may store; without a limit where that is not asked, see ledger_storage.go.
	room quotas.Room

	// What was decided, besides row.
	added []outcomes.Outcome
	// unkept is of how many outcomes result and output are not stored, for want of room.
	discarded      int
	discardedBytes int64
	attempted   []outcomes.Attempts
	// fenced: every live worker loses its lease.
	fenced bool
	// freed: something may now be handed out, or somebody may now be sent away: wake the calls that are kept open.
	freed bool
}

// newRow is the row of a run of which nothing is known yet.
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

// account keeps the row's sums over its workers, so that no call has to look at all of them.
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

// unissued are the indexes that nobody was ever handed.
func (s *runState) unissued() indexset.Set { return indexset.Span(s.row.Next, s.row.Total-1) }

// free are the indexes in nobody's hands that have no outcome.
func (s *runState) free() indexset.Set {
	return s.row.Returned.Union(s.row.Suspects).Union(s.row.Waiting()).Union(s.unissued())
}

// giveBack puts indexes, taken out of a worker's hands before, where they are handed out again from.
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

// take removes indexes from wherever the free ones are, before they get an outcome or an owner.
func (s *runState) take(indexes indexset.Set) {
	if s.row.Closing != "" {
		return
	}
	if last := indexes.Max(); last >= s.row.Next {
		// An index that was never handed out, by what is written here: a worker brings it that was served before the
		// volume was restored. The ones below it are free still.
		s.row.Returned = s.row.Returned.Union(indexset.Span(s.row.Next, last))
		s.row.Next = last + 1
	}
	s.row.Returned = s.row.Returned.Minus(indexes)
	s.row.Suspects = s.row.Suspects.Minus(indexes)
	s.row.Delayed = withoutIndexes(s.row.Delayed, indexes)
}

// add gives an index, which has none and is in nobody's hands, its outcome.
func (s *runState) add(o outcomes.Outcome) {
	o = s.fit(o)
	s.added = append(s.added, o)
	s.row.Count(o.Status, 1)
	if o.Status != outcomes.Succeeded {
		s.unsuccessful(indexset.Of(o.Index))
	}
}

// settle closes the run when the last outcome is in: that report itself is the close.
func (s *runState) closeWhenDone() {
	if s.row.Closed || s.row.Done() < s.row.Total {
		return
	}
	s.row.Closed = true
	s.row.Next, s.row.FillNext = s.row.Total, s.row.Total
	s.freed = true
}

// unsuccessful keeps the smallest indexes that did not succeed, as many as the text may hold.
func (s *runState) unsuccessful(indexes indexset.Set) {
	if cut := s.row.UnsuccessfulCut; cut >= 0 {
		indexes = indexes.And(indexset.Span(0, cut-1))
	}
	kept, leaveWhenDone := s.row.Unsuccessful.Union(indexes).Cut(maxUnsuccessfulText)
	s.row.Unsuccessful = kept
	if !leaveWhenDone.Empty() {
		s.row.UnsuccessfulCut = leaveWhenDone.Min()
	}
}

// charge records one more crash of an index. It says whether the budget is used up, and how many attempts there were.
func (s *runState) charge(index int) (exhausted bool, attempts int) {
	a := s.attemptsOf(index)
	a.Crashes++
	s.record(a)
	return a.Crashes >= maxCrashes, a.Failures + a.Crashes
}

// fail records one more exception of an index, of the given type. It says whether that was the last attempt, and how many
// there were.
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

// measure takes a duration into the mean. An input that is far from what is known counts for no more than eight times that:
// one of 20 s among many of 50 ms should not make all the others be handed out one by one.
func (s *runState) measure(micros int64) {
	const weight, outlier = 1.0 / 8, 8
	duration := float64(max(micros, 1))
	s.row.Measured++
	if s.row.Measured > 4 {
		duration = min(duration, outlier*s.row.MeanMicros)
	}
	s.row.MeanMicros += (duration - s.row.MeanMicros) * max(weight, 1/float64(s.row.Measured))
	// A row must never hold what SQL has no number for.
	if math.IsNaN(s.row.MeanMicros) || s.row.MeanMicros < 1 {
		s.row.MeanMicros = 1
	}
}
