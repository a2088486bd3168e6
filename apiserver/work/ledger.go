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
	crashBudget = 2
	// unsuccessfulBytes is how long the text of the indexes that did not succeed may be.
	unsuccessfulBytes = 4096
)

// ledger is what is known of a run while a call, a death or an end is decided, and what was decided so far. It is made of
// rows, changed by the methods of the files ledger*.go, and then written.
//
// Its invariant: every index of the run is in exactly one place: it has an outcome, it is in row.Returned, in
// row.Suspects, in row.Delayed, in the hands of one live worker, or it is row.Next or greater. While row.Closing is set
// nobody holds anything and nothing is returned.
type ledger struct {
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
	unkept      int
	unkeptBytes int64
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
func (l *ledger) account(before, after *outcomes.Worker) {
	for _, side := range []struct {
		worker *outcomes.Worker
		sign   int
	}{{before, -1}, {after, +1}} {
		if side.worker == nil || side.worker.State != outcomes.WorkerLive {
			continue
		}
		l.row.Live += side.sign
		if held := side.worker.Held().Len(); held > 0 {
			l.row.Busy += side.sign
			l.row.Queued += side.sign * (held - 1)
		}
	}
}

// unissued are the indexes that nobody was ever handed.
func (l *ledger) unissued() indexset.Set { return indexset.Span(l.row.Next, l.row.Total-1) }

// free are the indexes in nobody's hands that have no outcome.
func (l *ledger) free() indexset.Set {
	return l.row.Returned.Union(l.row.Suspects).Union(l.row.Waiting()).Union(l.unissued())
}

// giveBack puts indexes, taken out of a worker's hands before, where they are handed out again from.
func (l *ledger) giveBack(indexes indexset.Set, suspect bool) {
	if indexes.Empty() || l.row.Closing != "" {
		return
	}
	if suspect {
		l.row.Suspects = l.row.Suspects.Union(indexes)
	} else {
		l.row.Returned = l.row.Returned.Union(indexes)
	}
	l.freed = true
}

// take removes indexes from wherever the free ones are, before they get an outcome or an owner.
func (l *ledger) take(indexes indexset.Set) {
	if l.row.Closing != "" {
		return
	}
	if last := indexes.Max(); last >= l.row.Next {
		// An index that was never handed out, by what is written here: a worker brings it that was served before the
		// volume was restored. The ones below it are free still.
		l.row.Returned = l.row.Returned.Union(indexset.Span(l.row.Next, last))
		l.row.Next = last + 1
	}
	l.row.Returned = l.row.Returned.Minus(indexes)
	l.row.Suspects = l.row.Suspects.Minus(indexes)
	l.row.Delayed = withoutIndexes(l.row.Delayed, indexes)
}

// add gives an index, which has none and is in nobody's hands, its outcome.
func (l *ledger) add(o outcomes.Outcome) {
	o = l.fit(o)
	l.added = append(l.added, o)
	l.row.Count(o.Status, 1)
	if o.Status != outcomes.Succeeded {
		l.unsuccessful(indexset.Of(o.Index))
	}
}

// settle closes the run when the last outcome is in: that report itself is the close.
func (l *ledger) settle() {
	if l.row.Closed || l.row.Done() < l.row.Total {
		return
	}
	l.row.Closed = true
	l.row.Next, l.row.FillNext = l.row.Total, l.row.Total
	l.freed = true
}

// unsuccessful keeps the smallest indexes that did not succeed, as many as the text may hold.
func (l *ledger) unsuccessful(indexes indexset.Set) {
	if cut := l.row.UnsuccessfulCut; cut >= 0 {
		indexes = indexes.And(indexset.Span(0, cut-1))
	}
	kept, rest := l.row.Unsuccessful.Union(indexes).Cut(unsuccessfulBytes)
	l.row.Unsuccessful = kept
	if !rest.Empty() {
		l.row.UnsuccessfulCut = rest.Min()
	}
}

// charge records one more crash of an index. It says whether the budget is used up, and how many attempts there were.
func (l *ledger) charge(index int) (over bool, attempts int) {
	a := l.attemptsOf(index)
	a.Crashes++
	l.record(a)
	return a.Crashes >= crashBudget, a.Failures + a.Crashes
}

// fail records one more exception of an index, of the given type. It says whether that was the last attempt, and how many
// there were.
func (l *ledger) fail(index int, errorType string) (over bool, attempts int) {
	a := l.attemptsOf(index)
	a.Failures++
	l.record(a)
	return a.Failures > l.run.Retries || slices.Contains(l.run.NonRetryable, errorType), a.Failures + a.Crashes
}

func (l *ledger) attemptsOf(index int) outcomes.Attempts {
	if a, ok := l.attempts[index]; ok {
		return a
	}
	return outcomes.Attempts{Index: index}
}

func (l *ledger) record(a outcomes.Attempts) {
	if l.attempts == nil {
		l.attempts = map[int]outcomes.Attempts{}
	}
	l.attempts[a.Index] = a
	l.attempted = append(l.attempted, a)
}

// measure takes a duration into the mean. An input that is far from what is known counts for no more than eight times that:
// one of 20 s among many of 50 ms should not make all the others be handed out one by one.
func (l *ledger) measure(micros int64) {
	const weight, outlier = 1.0 / 8, 8
	duration := float64(max(micros, 1))
	l.row.Measured++
	if l.row.Measured > 4 {
		duration = min(duration, outlier*l.row.MeanMicros)
	}
	l.row.MeanMicros += (duration - l.row.MeanMicros) * max(weight, 1/float64(l.row.Measured))
	// A row must never hold what SQL has no number for.
	if math.IsNaN(l.row.MeanMicros) || l.row.MeanMicros < 1 {
		l.row.MeanMicros = 1
	}
}
