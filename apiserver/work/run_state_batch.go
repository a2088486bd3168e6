package work

import (
	"time"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange/indexset"
)

const (
	// maxBatchTime is the maximum amount of work in a batch, maxBatchSize the maximum number of inputs.
	maxBatchTime = 50 * time.Millisecond
	maxBatchSize = 1000
	// minBatchTime is the minimum amount of work in a batch, if there is enough: smaller batches cost more round trips than a more even
	// distribution of the last inputs saves.
	minBatchTime = 2 * time.Millisecond
	// prefetchTime is the maximum mean duration of inputs for which the next one is handed out while one is executed. For longer inputs a
	// round trip is less than a hundredth of the time, and the next input would wait while other workers are idle.
	prefetchTime = 250 * time.Millisecond

	minHandBack    = 200 * time.Millisecond
	handBackFactor = 4
)

// batchSize returns how many more inputs a worker with this many leased inputs gets.
func batchSize(mean float64, measured int64, remaining, workers, leased int) int {
	workers = max(workers, 1)
	if leased > 0 {
		switch {
		case measured == 0, mean > micros(prefetchTime):
			return 0
		case remaining <= workers:
			// The last inputs: another worker may ask for them at any moment and start at once.
			return 0
		}
	}
	size := 1
	if measured > 0 {
		byTime := int(min(micros(maxBatchTime)/mean, maxBatchSize))
		minSize := int(min(micros(minBatchTime)/mean, maxBatchSize))
		size = max(1, min(byTime, max(remaining/(4*workers), minSize)))
	}
	if leased > 0 {
		size = min(size, 2*size-leased)
	}
	return max(0, min(size, remaining))
}

func micros(d time.Duration) float64 { return float64(d.Microseconds()) }

// handBack returns how long a handler may run before the worker returns the inputs that wait behind it.
func handBack(mean float64) time.Duration {
	return max(minHandBack, time.Duration(handBackFactor*mean)*time.Microsecond)
}

// handOut leases the next free inputs to the worker.
func (s *runState) handOut(worker *outcomes.Worker) indexset.Set {
	leased := worker.Held().Len()
	switch {
	case worker.Alone:
		return indexset.Set{}
	case leased == 0 && !s.row.Suspects.Empty():
		// The smallest first, so that an input that killed a worker alone once gets its second attempt before others are tried: fewer
		// deaths in a row without an outcome.
		var suspect indexset.Set
		suspect, s.row.Suspects = s.row.Suspects.Take(1)
		worker.Alone = true
		return s.lease(worker, suspect)
	}
	remaining := s.row.Returned.Len() + s.row.Total - s.row.Next
	size := batchSize(s.row.MeanMicros, s.row.Measured, remaining, s.run.Workers, leased)
	if callSize := s.run.BatchSize; callSize > 1 && size > 0 {
		// Full batches: the handler was written for that many inputs per call.
		size = min(remaining, (size+callSize-1)/callSize*callSize)
	}
	var batch indexset.Set
	batch, s.row.Returned = s.row.Returned.Take(size)
	if missing := size - batch.Len(); missing > 0 {
		batch = batch.Union(indexset.Span(s.row.Next, s.row.Next+missing-1))
		s.row.Next += missing
	}
	return s.lease(worker, batch)
}

func (s *runState) lease(worker *outcomes.Worker, indexes indexset.Set) indexset.Set {
	if !indexes.Empty() {
		worker.Batches = append(worker.Batches, outcomes.Batch{AssignedMicros: s.now, Indexes: indexes})
	}
	return indexes
}
