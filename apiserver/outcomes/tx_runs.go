package outcomes

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/exchange/indexset"
)

const selectRun = `SELECT id, uid, namespace, name, total, gpus, next_index, returned, suspects,
	succeeded, failed, timed_out, cancelled, unsuccessful, unsuccessful_cut, live, busy, queued, deaths_without_progress, deaths,
	trouble_load, trouble_type, trouble_message, trouble_traceback, mean_us, measured, worked_us,
	closing, closing_status, closing_type, closing_message, closing_traceback, fill_next, filled, closed, created_us, delayed,
	results_deleted_us, namespace_uid, stored_bytes FROM runs WHERE uid = $1`

// Run returns the row of a run, or nil.
func (tx *Tx) Run(uid types.UID) (*Run, error) {
	var run *Run
	err := tx.query("reading a run", func(row func(...any) error) error {
		r := &Run{}
		var returned, suspects, unsuccessful, delayed string
		err := row(&r.ID, &r.UID, &r.Namespace, &r.Name, &r.Total, &r.GPUs, &r.Next, &returned, &suspects,
			&r.Succeeded, &r.Failed, &r.TimedOut, &r.Cancelled, &unsuccessful, &r.UnsuccessfulCut, &r.Live, &r.Busy, &r.Queued,
			&r.DeathsWithoutProgress, &r.Deaths, &r.TroubleLoad, &r.Trouble.Type, &r.Trouble.Message, &r.Trouble.Traceback, &r.MeanMicros,
			&r.Measured, &r.WorkedMicros, &r.Closing, &r.ClosingStatus, &r.ClosingError.Type, &r.ClosingError.Message,
			&r.ClosingError.Traceback, &r.FillNext, &r.Filled, &r.Closed, &r.CreatedMicros, &delayed, &r.ResultsDeletedMicros,
			&r.NamespaceUID, &r.StoredBytes)
		if err != nil {
			return err
		}
		for _, set := range []struct {
			text string
			into *indexset.Set
		}{{returned, &r.Returned}, {suspects, &r.Suspects}, {unsuccessful, &r.Unsuccessful}} {
			if *set.into, err = indexset.Parse(set.text); err != nil {
				return err
			}
		}
		if r.Delayed, err = parseDelays(delayed); err != nil {
			return err
		}
		run = r
		return nil
	}, selectRun, string(uid))
	return run, err
}

const insertRun = `INSERT INTO runs (uid, namespace, name, total, gpus, next_index, returned, suspects,
	succeeded, failed, timed_out, cancelled, unsuccessful, unsuccessful_cut, live, busy, queued, deaths_without_progress, deaths,
	trouble_load, trouble_type, trouble_message, trouble_traceback, mean_us, measured, worked_us,
	closing, closing_status, closing_type, closing_message, closing_traceback, fill_next, filled, closed, created_us, delayed,
	namespace_uid, stored_bytes)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
	$25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38) RETURNING id`

const updateRun = `UPDATE runs SET next_index = $1, returned = $2, suspects = $3, succeeded = $4, failed = $5,
	timed_out = $6, cancelled = $7, unsuccessful = $8, unsuccessful_cut = $9, live = $10, busy = $11, queued = $12,
	deaths_without_progress = $13, deaths = $14, mean_us = $15, measured = $16, worked_us = $17, closing = $18, fill_next = $19,
	filled = $20, closed = $21, delayed = $22, stored_bytes = $23 WHERE id = $24`

// Separate from updateRun, because these columns change rarely and may be long.
const updateRunTexts = `UPDATE runs SET trouble_load = $1, trouble_type = $2, trouble_message = $3,
	trouble_traceback = $4, closing_status = $5, closing_type = $6, closing_message = $7, closing_traceback = $8
	WHERE id = $9`

// InsertRun adds a row and sets its ID.
func (tx *Tx) InsertRun(r *Run) error {
	id, err := tx.insert("adding a run", insertRun, string(r.UID), r.Namespace, r.Name, r.Total, r.GPUs, r.Next,
		r.Returned.String(), r.Suspects.String(), r.Succeeded, r.Failed, r.TimedOut, r.Cancelled, r.Unsuccessful.String(),
		r.UnsuccessfulCut, r.Live, r.Busy, r.Queued, r.DeathsWithoutProgress, r.Deaths, number(r.TroubleLoad), []byte(r.Trouble.Type),
		[]byte(r.Trouble.Message), []byte(r.Trouble.Traceback), r.MeanMicros, r.Measured, r.WorkedMicros, r.Closing,
		int(r.ClosingStatus), []byte(r.ClosingError.Type), []byte(r.ClosingError.Message), []byte(r.ClosingError.Traceback),
		r.FillNext, r.Filled, number(r.Closed), r.CreatedMicros, formatDelays(r.Delayed), string(r.NamespaceUID), r.StoredBytes)
	r.ID = id
	return err
}

// UpdateRun writes the difference between two states of a row. The run's identity, number of inputs and creation time never
// change; ResultsDeletedMicros is written by BeginDeletingResults.
func (tx *Tx) UpdateRun(before, after *Run) error {
	if before.Trouble != after.Trouble || before.TroubleLoad != after.TroubleLoad ||
		before.ClosingStatus != after.ClosingStatus || before.ClosingError != after.ClosingError {
		if _, err := tx.exec("writing a run", updateRunTexts, number(after.TroubleLoad), []byte(after.Trouble.Type),
			[]byte(after.Trouble.Message), []byte(after.Trouble.Traceback), int(after.ClosingStatus),
			[]byte(after.ClosingError.Type), []byte(after.ClosingError.Message), []byte(after.ClosingError.Traceback),
			after.ID); err != nil {
			return err
		}
	}
	args := after.changing()
	if before.ID == after.ID && args == before.changing() {
		return nil
	}
	_, err := tx.exec("writing a run", updateRun, append(args[:], after.ID)...)
	return err
}

// changing returns the arguments of updateRun except the last.
func (r *Run) changing() [23]any {
	return [23]any{r.Next, r.Returned.String(), r.Suspects.String(), r.Succeeded, r.Failed, r.TimedOut, r.Cancelled,
		r.Unsuccessful.String(), r.UnsuccessfulCut, r.Live, r.Busy, r.Queued, r.DeathsWithoutProgress, r.Deaths, r.MeanMicros, r.Measured,
		r.WorkedMicros, r.Closing, r.FillNext, r.Filled, number(r.Closed), formatDelays(r.Delayed), r.StoredBytes}
}

// number is a boolean as both engines store it.
func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// RunUIDs lists all runs of the store.
func (tx *Tx) RunUIDs() ([]types.UID, error) {
	return tx.uids("listing runs", `SELECT uid FROM runs ORDER BY id`)
}

// ClosingRuns lists the runs whose closing has started and not finished.
func (tx *Tx) ClosingRuns() ([]types.UID, error) {
	return tx.uids("listing runs that are being closed", `SELECT uid FROM runs WHERE closing <> '' AND closed = 0 ORDER BY id`)
}

func (tx *Tx) uids(action, text string) ([]types.UID, error) {
	var uids []types.UID
	err := tx.query(action, func(row func(...any) error) error {
		var uid types.UID
		if err := row(&uid); err != nil {
			return err
		}
		uids = append(uids, uid)
		return nil
	}, text)
	return uids, err
}

// BeginDeletingResults records that the results of a run are being deleted. From then on they cannot be read.
func (tx *Tx) BeginDeletingResults(run *Run, nowMicros int64) error {
	_, err := tx.exec("recording that results are deleted", `UPDATE runs SET results_deleted_us = $1 WHERE id = $2`, nowMicros, run.ID)
	run.ResultsDeletedMicros = nowMicros
	return err
}

// DeleteResultsSome deletes results, errors and output of at most limit inputs of a run from the index first, fewer if they
// are large, and finally the output of the workers and the tracebacks of the run. Their rows and all other columns are kept. It returns the index to continue from, or -1 after the last.
func (tx *Tx) DeleteResultsSome(run *Run, first, limit int) (next int, err error) {
	const action = "deleting results"
	from, last := key(run.ID, first), key(run.ID, indexset.MaxIndex)
	fit, err := tx.fitting(selectSizes+ascending, from, last, limit)
	if err != nil {
		return first, err
	}
	if fit == 0 {
		live, err := tx.DeleteLiveOutputs(run.ID)
		if err != nil {
			return first, err
		}
		load, err := tx.DeleteLoadOutputs(run.ID)
		if err != nil {
			return first, err
		}
		texts, err := tx.deleteTracebacks(run)
		if err != nil {
			return first, err
		}
		return -1, tx.release(run, live+load+texts)
	}
	until := key(run.ID, first+fit-1)
	payload, err := tx.number(action, `SELECT CAST(COALESCE(SUM(`+outcomePayload+`), 0) AS BIGINT) FROM outcomes WHERE id BETWEEN $1 AND $2`, from, until)
	if err != nil {
		return first, err
	}
	if err := tx.release(run, payload); err != nil {
		return first, err
	}
	_, err = tx.exec(action, `UPDATE outcomes SET result = NULL, result_text = NULL,
		error_type = NULL, error_message = NULL, error_traceback = NULL, stdout = NULL, stdout_dropped = 0, stderr = NULL, stderr_dropped = 0
		WHERE id BETWEEN $1 AND $2 AND COALESCE(result, result_text, error_type, error_message, error_traceback, stdout, stderr) IS NOT NULL`,
		from, until)
	return first + fit, err
}

// deleteTracebacks deletes the tracebacks of the run's own errors, which contain what a module printed while it was loaded, and returns their
// size.
func (tx *Tx) deleteTracebacks(run *Run) (bytes int64, err error) {
	bytes = int64(len(run.Trouble.Traceback) + len(run.ClosingError.Traceback))
	if bytes == 0 {
		return 0, nil
	}
	_, err = tx.exec("deleting tracebacks", `UPDATE runs SET trouble_traceback = $1, closing_traceback = $2 WHERE id = $3`, []byte{}, []byte{}, run.ID)
	run.Trouble.Traceback, run.ClosingError.Traceback = "", ""
	return bytes, err
}

// DeleteSome deletes at most about limit rows of a run, fewer if they are large, and finally the run's own row, and reports
// whether that is done: the deletion of a run with a million outcomes must not be one transaction.
func (tx *Tx) DeleteSome(run *Run, limit int) (done bool, err error) {
	first, last := key(run.ID, 0), key(run.ID, indexset.MaxIndex)
	fit, err := tx.fitting(selectSizes+ascending, first, last, limit)
	if err != nil {
		return false, err
	}
	for _, step := range []struct {
		text string
		args []any
	}{
		{`DELETE FROM outcomes WHERE id IN (SELECT id FROM outcomes WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3)`,
			[]any{first, last, fit}},
		{`DELETE FROM attempts WHERE run_id = $1 AND idx IN (SELECT idx FROM attempts WHERE run_id = $1 LIMIT $2)`,
			[]any{run.ID, limit}},
		{`DELETE FROM live_output WHERE worker_id IN (SELECT worker_id FROM live_output WHERE run_id = $1 LIMIT $2)`, []any{run.ID, limit}},
		{`DELETE FROM load_output WHERE worker_id IN (SELECT worker_id FROM load_output WHERE run_id = $1 LIMIT $2)`, []any{run.ID, limit}},
		{`DELETE FROM workers WHERE id IN (SELECT id FROM workers WHERE run_id = $1 LIMIT $2)`, []any{run.ID, limit}},
	} {
		deleted, err := tx.exec("deleting rows of a run", step.text, step.args...)
		if err != nil {
			return false, err
		}
		if deleted > 0 {
			return false, nil
		}
	}
	if _, err := tx.exec("deleting a run", `DELETE FROM runs WHERE id = $1`, run.ID); err != nil {
		return false, fmt.Errorf("the run %s/%s: %w", run.Namespace, run.Name, err)
	}
	return true, nil
}
