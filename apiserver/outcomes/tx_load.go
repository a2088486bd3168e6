package outcomes

// LoadOutput is the end of what a worker's module printed while it was loaded.
type LoadOutput struct {
	WorkerID       int64
	PodName        string
	Stdout, Stderr []byte
}

// Bytes is what a load output counts.
func (l *LoadOutput) Bytes() int64 { return int64(len(l.Stdout) + len(l.Stderr)) }

// LoadOutputBytes returns what the stored load output of a worker counts; 0 for none.
func (tx *Tx) LoadOutputBytes(worker int64) (int64, error) {
	return tx.number("measuring the output of a load", `SELECT LENGTH(stdout) + LENGTH(stderr) FROM load_output WHERE worker_id = $1`, worker)
}

// LoadWorkers returns the ids of a run's workers with a load output, in the order of their first calls.
func (tx *Tx) LoadWorkers(run int64) (ids []int64, err error) {
	err = tx.query("listing the output of loads", func(row func(...any) error) error {
		var id int64
		if err := row(&id); err != nil {
			return err
		}
		ids = append(ids, id)
		return nil
	}, `SELECT worker_id FROM load_output WHERE run_id = $1 ORDER BY worker_id`, run)
	return ids, err
}

// LoadOutput returns the load output of a run's worker, or nil.
func (tx *Tx) LoadOutput(run, worker int64) (found *LoadOutput, err error) {
	err = tx.query("reading the output of a load", func(row func(...any) error) error {
		found = &LoadOutput{}
		return row(&found.WorkerID, &found.PodName, &found.Stdout, &found.Stderr)
	}, `SELECT worker_id, pod_name, stdout, stderr FROM load_output JOIN workers ON workers.id = worker_id
		WHERE worker_id = $2 AND load_output.run_id = $1`, run, worker)
	return found, err
}

// PutLoadOutput writes the load output of a worker, in place of that of an earlier load.
func (tx *Tx) PutLoadOutput(run int64, l *LoadOutput) error {
	_, err := tx.exec("writing the output of a load", `INSERT INTO load_output (worker_id, run_id, stdout, stderr) VALUES ($1, $2, $3, $4)
		ON CONFLICT (worker_id) DO UPDATE SET stdout = excluded.stdout, stderr = excluded.stderr`,
		l.WorkerID, run, notNil(l.Stdout), notNil(l.Stderr))
	return err
}

// DeleteLoadOutputs deletes the load output of all workers of a run and returns its size, which the caller subtracts from what
// the run counts.
func (tx *Tx) DeleteLoadOutputs(run int64) (bytes int64, err error) {
	const action = "deleting the output of loads"
	bytes, err = tx.number(action, `SELECT CAST(COALESCE(SUM(LENGTH(stdout) + LENGTH(stderr)), 0) AS BIGINT) FROM load_output WHERE run_id = $1`, run)
	if err == nil {
		_, err = tx.exec(action, `DELETE FROM load_output WHERE run_id = $1`, run)
	}
	return bytes, err
}
