package work

import (
	"time"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

const (
	// minLiveInterval is the minimum interval at which a worker reports new output of its executing input. liveIntervalPerWorker is added
	// for each live worker, so that the output of thousands of workers does not overload the store.
	minLiveInterval       = 300 * time.Millisecond
	liveIntervalPerWorker = 2 * time.Millisecond
	// maxLiveBytes is how much of each stream is kept until the outcome contains the rest.
	maxLiveBytes = 64 << 10
)

func liveInterval(live int) time.Duration {
	return minLiveInterval + time.Duration(max(live, 0))*liveIntervalPerWorker
}

// takeLive stores the reported output of the executing input. No decision depends on it, and a repeated call repeats what is stored already.
// If the namespace has no room, the stored output stays unchanged.
func (c *call) takeLive(tx *outcomes.Tx) error {
	reported := c.request.Live
	if reported == nil || c.self.Executing != reported.Index {
		return nil
	}
	var stored *outcomes.LiveOutput
	before := int64(0)
	if c.self.LiveBytes > 0 && !c.self.LiveEnded() {
		var err error
		if stored, err = tx.LiveOutput(c.self.ID); err != nil {
			return err
		}
		before = c.self.LiveBytes
	}
	if stored == nil || stored.Index != reported.Index || stored.StartMicros != reported.StartTime {
		stored = &outcomes.LiveOutput{WorkerID: c.self.ID, Index: reported.Index, StartMicros: reported.StartTime}
	}
	stored.Stdout.Append(outcomes.LiveText{From: reported.StdoutFrom, Bytes: reported.Stdout}, maxLiveBytes)
	stored.Stderr.Append(outcomes.LiveText{From: reported.StderrFrom, Bytes: reported.Stderr}, maxLiveBytes)
	if c.takeRoom(stored.Bytes() - before) {
		c.live = stored
	}
	return nil
}

// takeRoom counts more bytes of printed text, or fewer, in the namespace and the run. Without room for them it counts them as discarded,
// and reports false.
func (c *call) takeRoom(more int64) bool {
	if more > 0 && more > c.room.Left() {
		c.liveDiscarded, c.liveDiscardedBytes = c.liveDiscarded+1, c.liveDiscardedBytes+more
		return false
	}
	c.room.Used += more
	c.row.StoredBytes += more
	return true
}

// writeLive writes the live output, once the worker's row has an ID.
func (c *call) writeLive(tx *outcomes.Tx) error {
	if c.live == nil {
		return nil
	}
	c.live.WorkerID = c.self.ID
	return tx.PutLiveOutput(c.row.ID, c.live)
}

// endLive stops counting the live output of inputs that the workers no longer execute; PutWorker deletes it. If all leases end, all live
// output is deleted.
func (s *runState) endLive(workers ...*outcomes.Worker) {
	for _, w := range workers {
		switch {
		case s.fenced:
			w.LiveBytes = 0
		case w.LiveEnded():
			s.row.StoredBytes -= w.LiveBytes
		}
	}
}
