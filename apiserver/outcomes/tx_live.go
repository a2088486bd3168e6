package outcomes

// LiveOutput is what the input that a worker executes has printed so far.
type LiveOutput struct {
	WorkerID int64
	Index    int
	// StartMicros is when the execution started, by the worker's clock.
	StartMicros    int64
	Stdout, Stderr LiveText
}

// LiveText is the end of one stream.
type LiveText struct {
	// From is the number of bytes before Bytes.
	From  int64
	Bytes []byte
}

// End returns the number of bytes of the stream.
func (t *LiveText) End() int64 { return t.From + int64(len(t.Bytes)) }

// Append appends more and keeps the last limit bytes. Bytes that are already present are skipped; if bytes are missing
// between the two, the earlier bytes are dropped.
func (t *LiveText) Append(more LiveText, limit int) {
	switch known := t.End() - more.From; {
	case known < 0 || len(t.Bytes) == 0:
		t.From, t.Bytes = more.From, more.Bytes
	case known < int64(len(more.Bytes)):
		t.Bytes = append(t.Bytes[:len(t.Bytes):len(t.Bytes)], more.Bytes[known:]...)
	}
	if excess := len(t.Bytes) - limit; excess > 0 {
		t.From += int64(excess)
		t.Bytes = t.Bytes[excess:]
	}
}

const selectLive = `SELECT worker_id, idx, start_us, stdout, stdout_from, stderr, stderr_from FROM live_output`

// LiveOutput returns the live output of a worker, or nil.
func (tx *Tx) LiveOutput(worker int64) (*LiveOutput, error) {
	all, err := tx.liveOutputs(selectLive+` WHERE worker_id = $1`, worker)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// LiveOutputs returns the output of the inputs of a run that its live workers execute now.
func (tx *Tx) LiveOutputs(run int64) ([]LiveOutput, error) {
	return tx.liveOutputs(selectLive+` WHERE run_id = $1 AND EXISTS (SELECT 1 FROM workers
		WHERE workers.id = worker_id AND workers.state = 1 AND workers.executing = idx) ORDER BY idx`, run)
}

func (tx *Tx) liveOutputs(text string, args ...any) (all []LiveOutput, err error) {
	err = tx.query("reading live output", func(row func(...any) error) error {
		l := LiveOutput{}
		if err := row(&l.WorkerID, &l.Index, &l.StartMicros, &l.Stdout.Bytes, &l.Stdout.From, &l.Stderr.Bytes, &l.Stderr.From); err != nil {
			return err
		}
		all = append(all, l)
		return nil
	}, text, args...)
	return all, err
}

// PutLiveOutput writes the live output of a worker.
func (tx *Tx) PutLiveOutput(run int64, l *LiveOutput) error {
	_, err := tx.exec("writing live output", `INSERT INTO live_output (worker_id, run_id, idx, start_us, stdout, stdout_from, stderr, stderr_from)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (worker_id) DO UPDATE SET idx = excluded.idx,
		start_us = excluded.start_us, stdout = excluded.stdout,
		stdout_from = excluded.stdout_from, stderr = excluded.stderr, stderr_from = excluded.stderr_from`,
		l.WorkerID, run, l.Index, l.StartMicros, notNil(l.Stdout.Bytes), l.Stdout.From, notNil(l.Stderr.Bytes), l.Stderr.From)
	return err
}

// DeleteLiveOutputs deletes the live output of all workers of a run and returns its size, which the caller subtracts from
// what the run counts.
func (tx *Tx) DeleteLiveOutputs(run int64) (bytes int64, err error) {
	const action = "deleting live output"
	bytes, err = tx.number(action, `SELECT CAST(COALESCE(SUM(LENGTH(stdout) + LENGTH(stderr)), 0) AS BIGINT) FROM live_output WHERE run_id = $1`, run)
	if err == nil {
		_, err = tx.exec(action, `DELETE FROM live_output WHERE run_id = $1`, run)
	}
	return bytes, err
}

// notNil turns nil into an empty slice: nil would be stored as NULL.
func notNil(bytes []byte) []byte {
	if bytes == nil {
		return []byte{}
	}
	return bytes
}
