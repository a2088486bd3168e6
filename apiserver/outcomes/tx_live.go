package outcomes

// LiveOutput is what the input that a worker executes has printed so far.
type LiveOutput struct {
	WorkerID int64
	Index    int
	// StartMicros is when it began, by the worker's clock.
	StartMicros    int64
	Stdout, Stderr LiveText
}

// LiveText is the end of one stream.
type LiveText struct {
	// From is how many bytes came before Bytes.
	From  int64
	Bytes []byte
}

// End is how many bytes there were in all.
func (t *LiveText) End() int64 { return t.From + int64(len(t.Bytes)) }

// Append adds what came behind, and keeps the last limit bytes. What is known already is passed over; where something is
// missing in between, what was known is forgotten.
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

// LiveOutput returns what is known of a worker; nil when nothing is.
func (tx *Tx) LiveOutput(worker int64) (*LiveOutput, error) {
	all, err := tx.liveOutputs(selectLive+` WHERE worker_id = $1`, worker)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// LiveOutputs returns what the inputs of a run have printed that its live workers execute at this moment.
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

// PutLiveOutput writes what is known of a worker.
func (tx *Tx) PutLiveOutput(run int64, l *LiveOutput) error {
	_, err := tx.exec("writing live output", `INSERT INTO live_output (worker_id, run_id, idx, start_us, stdout, stdout_from, stderr, stderr_from)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (worker_id) DO UPDATE SET idx = excluded.idx,
		start_us = excluded.start_us, stdout = excluded.stdout,
		stdout_from = excluded.stdout_from, stderr = excluded.stderr, stderr_from = excluded.stderr_from`,
		l.WorkerID, run, l.Index, l.StartMicros, full(l.Stdout.Bytes), l.Stdout.From, full(l.Stderr.Bytes), l.Stderr.From)
	return err
}

// DeleteLiveOutputs deletes what is known of all workers of a run, and returns what it counted: the caller takes it off what the
// run counts.
func (tx *Tx) DeleteLiveOutputs(run int64) (bytes int64, err error) {
	const doing = "deleting live output"
	bytes, err = tx.number(doing, `SELECT CAST(COALESCE(SUM(LENGTH(stdout) + LENGTH(stderr)), 0) AS BIGINT) FROM live_output WHERE run_id = $1`, run)
	if err == nil {
		_, err = tx.exec(doing, `DELETE FROM live_output WHERE run_id = $1`, run)
	}
	return bytes, err
}

// full makes of nothing an empty blob, not NULL.
func full(bytes []byte) []byte {
	if bytes == nil {
		return []byte{}
	}
	return bytes
}
