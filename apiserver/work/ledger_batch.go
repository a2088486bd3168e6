package work

import (
	"time"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange/indexset"
)

const (
	// batchTime is how much work a batch has at most; maxBatch how many inputs.
	batchTime = 50 * time.Millisecond
	maxBatch  = 1000
	// leastBatchTime is how much work a batch has at least while there is any: cutting it finer costs more round trips
	// than a tail balanced better can win.
	leastBatchTime = 2 * time.Millisecond
	// prefetchTime is how long inputs may be for one to be handed out while the one before it is executed: a round trip
	// is less than a hundredth of longer ones, and what lies behind a long one lies there while others are idle.
	prefetchTime = 250 * time.Millisecond

	handBackLeast  = 200 * time.Millisecond
	handBackFactor = 4
)

// batchSize is how many more inputs a worker gets that holds some already.
func batchSize(mean float64, measured int64, remaining, workers, holding int) int {
	workers = max(workers, 1)
	if holding > 0 {
		switch {
		case measured == 0, mean > micros(prefetchTime):
			return 0
		case remaining <= workers:
			// The last ones: another may come for them at any moment and start at once.
			return 0
		}
	}
	size := 1
	if measured > 0 {
		byTime := int(min(micros(batchTime)/mean, maxBatch))
		least := int(min(micros(leastBatchTime)/mean, maxBatch))
		size = max(1, min(byTime, max(remaining/(4*workers), least)))
	}
	if holding > 0 {
		size = min(size, 2*size-holding)
	}
	return max(0, min(size, remaining))
}

func micros(d time.Duration) float64 { return float64(d.Microseconds()) }

// handBack is how long a handler may run before the worker gives back what waits behind it.
func handBack(mean float64) time.Duration {
	return max(handBackLeast, time.Duration(handBackFactor*mean)*time.Microsecond)
}

// handOut takes what the worker gets now out of what is free and puts it into its hands.
func (l *ledger) handOut(worker *outcomes.Worker) indexset.Set {
	holding := worker.Held().Len()
	switch {
	case worker.Alone:
		return indexset.Set{}
	case holding == 0 && !l.row.Suspects.Empty():
		// The smallest first, so that an input that killed alone once is settled by its second death before others are
		// tried: fewer deaths in a row without an outcome.
		var suspect indexset.Set
		suspect, l.row.Suspects = l.row.Suspects.Take(1)
		worker.Alone = true
		return l.hold(worker, suspect)
	}
	remaining := l.row.Returned.Len() + l.row.Total - l.row.Next
	size := batchSize(l.row.MeanMicros, l.row.Measured, remaining, l.run.Workers, holding)
	if together := l.run.BatchSize; together > 1 && size > 0 {
		// Whole calls: the handler was written for that many at once.
		size = min(remaining, (size+together-1)/together*together)
	}
	var batch indexset.Set
	batch, l.row.Returned = l.row.Returned.Take(size)
	if missing := size - batch.Len(); missing > 0 {
		batch = batch.Union(indexset.Span(l.row.Next, l.row.Next+missing-1))
		l.row.Next += missing
	}
	return l.hold(worker, batch)
}

func (l *ledger) hold(worker *outcomes.Worker, indexes indexset.Set) indexset.Set {
	if !indexes.Empty() {
		worker.Batches = append(worker.Batches, outcomes.Batch{AssignedMicros: l.now, Indexes: indexes})
	}
	return indexes
}
