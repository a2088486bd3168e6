package work

import (
	"time"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

const (
	// liveLeast is how soon a worker tells again what the tuple that it executes has printed; livePerWorker is what each
	// live worker adds to that, so that thousands who print do not take the store for themselves.
	liveLeast     = 300 * time.Millisecond
	livePerWorker = 2 * time.Millisecond
	// liveBytes is how much of each stream is kept until the outcome brings the rest.
	liveBytes = 64 << 10
)

func liveEvery(live int) time.Duration { return liveLeast + time.Duration(max(live, 0))*livePerWorker }

// writeLive keeps what the executing tuple has printed. Nothing is decided by it; a call that is repeated says what is
// known already.
func (c *call) writeLive(tx *outcomes.Tx) error {
	said := c.request.Live
	if said == nil || c.self.Executing != said.Index {
		return nil
	}
	known, err := tx.LiveOutput(c.self.ID)
	if err != nil {
		return err
	}
	if known == nil || known.Index != said.Index || known.StartMicros != said.StartTime {
		known = &outcomes.LiveOutput{WorkerID: c.self.ID, Index: said.Index, StartMicros: said.StartTime}
	}
	known.Stdout.Append(outcomes.LiveText{From: said.StdoutFrom, Bytes: said.Stdout}, liveBytes)
	known.Stderr.Append(outcomes.LiveText{From: said.StderrFrom, Bytes: said.Stderr}, liveBytes)
	return tx.PutLiveOutput(c.row.ID, known)
}
