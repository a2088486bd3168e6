package outcomes

import "k8s.io/apimachinery/pkg/types"

// What rows count beside the texts in them, in the sums that quotas are compared with. It is about what they take on the disk,
// with their indexes; a row of which a namespace can have very many counts more than nothing, so that their number is bounded
// too. The migrations have the same numbers.
const (
	RunBytes     = 16 << 10
	WorkerBytes  = 4 << 10
	OutcomeBytes = 192
	UploadBytes  = 16 << 10
	ChunkBytes   = 1 << 10
	// nameBytes is what the name of an upload that comes in several calls counts.
	nameBytes = 1 << 10
)

// PayloadBytes is what an outcome has beside its row: result, error and output.
func (o *Outcome) PayloadBytes() int64 {
	return int64(len(o.Result)+len(o.ResultText)+len(o.Stdout)+len(o.Stderr)) + o.Error.bytes()
}

// Bytes is what an outcome counts.
func (o *Outcome) Bytes() int64 {
	if o.ByClosing {
		return OutcomeBytes // its error is the run's
	}
	return OutcomeBytes + o.PayloadBytes()
}

func (e *ErrorText) bytes() int64 {
	if e == nil {
		return 0
	}
	return int64(len(e.Type) + len(e.Message) + len(e.Traceback))
}

// TextBytes is what the sentences of a run's own row count.
func (r *Run) TextBytes() int64 { return (&r.Trouble).bytes() + (&r.ClosingError).bytes() }

// Bytes is what the output of a worker counts that is not in an outcome yet.
func (l *LiveOutput) Bytes() int64 { return int64(len(l.Stdout.Bytes) + len(l.Stderr.Bytes)) }

const (
	outcomePayload = `COALESCE(LENGTH(result), 0) + COALESCE(LENGTH(result_text), 0) + COALESCE(LENGTH(error_type), 0)
		+ COALESCE(LENGTH(error_message), 0) + COALESCE(LENGTH(error_traceback), 0) + COALESCE(LENGTH(stdout), 0) + COALESCE(LENGTH(stderr), 0)`

	// measuredRun is what Run.StoredBytes must be, from the rows themselves.
	measuredRun = `CAST(16384 + 4096 * (SELECT COUNT(*) FROM workers WHERE run_id = runs.id)
		+ LENGTH(trouble_type) + LENGTH(trouble_message) + LENGTH(trouble_traceback)
		+ LENGTH(closing_type) + LENGTH(closing_message) + LENGTH(closing_traceback)
		+ (SELECT COALESCE(SUM(192 + ` + outcomePayload + `), 0)
			FROM outcomes WHERE outcomes.id BETWEEN runs.id * 4294967296 AND runs.id * 4294967296 + 4294967295)
		+ (SELECT COALESCE(SUM(LENGTH(stdout) + LENGTH(stderr)), 0) FROM live_output WHERE live_output.run_id = runs.id) AS BIGINT)`

	measuredUpload = `CAST(16384 + (SELECT COALESCE(SUM(1024 + LENGTH(data)), 0) FROM upload_chunks
		WHERE upload_chunks.id BETWEEN uploads.id * 4294967296 AND uploads.id * 4294967296 + 4294967295) AS BIGINT)`
)

// MeasureRun sums up what a run counts from its rows. Run.StoredBytes says the same.
func (tx *Tx) MeasureRun(run int64) (int64, error) {
	return tx.number("measuring a run", `SELECT `+measuredRun+` FROM runs WHERE id = $1`, run)
}

// MeasureUpload sums up what an upload counts from its rows, see StoredUpload.
func (tx *Tx) MeasureUpload(upload int64) (int64, error) {
	return tx.number("measuring an upload", `SELECT `+measuredUpload+` FROM uploads WHERE id = $1`, upload)
}

// StoredUpload is what the row of an upload says that it counts.
func (tx *Tx) StoredUpload(upload int64) (int64, error) {
	return tx.number("measuring an upload", `SELECT stored_bytes FROM uploads WHERE id = $1`, upload)
}

// RunsBytes is what all runs of a namespace count. Rows from before namespaces were told apart count for any that has the
// name.
func (tx *Tx) RunsBytes(namespace string, uid types.UID) (int64, error) {
	return tx.number("measuring the runs of a namespace",
		`SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) FROM runs WHERE namespace = $1 AND namespace_uid IN ($2, '')`, namespace, string(uid))
}

// UploadsBytes is what all uploads of a namespace count, those that arrive or are being deleted included.
func (tx *Tx) UploadsBytes(namespace string, uid types.UID) (int64, error) {
	names, err := tx.number("measuring the uploads of a namespace", `SELECT COUNT(*) FROM arriving_uploads WHERE namespace = $1`, namespace)
	if err != nil {
		return 0, err
	}
	bytes, err := tx.number("measuring the uploads of a namespace",
		`SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) FROM uploads WHERE namespace = $1 AND namespace_uid IN ($2, '')`, namespace, string(uid))
	return bytes + names*nameBytes, err
}

// AllBytes is what all namespaces together have.
func (tx *Tx) AllBytes() (uploads, results int64, err error) {
	if results, err = tx.number("measuring the store", `SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) FROM runs`); err != nil {
		return 0, 0, err
	}
	uploads, err = tx.number("measuring the store", `SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) FROM uploads`)
	return uploads, results, err
}

func (tx *Tx) number(doing, text string, args ...any) (n int64, err error) {
	err = tx.query(doing, func(row func(...any) error) error { return row(&n) }, text, args...)
	return n, err
}

// release takes bytes that were deleted off what a run counts.
func (tx *Tx) release(run *Run, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	_, err := tx.exec("measuring a run", `UPDATE runs SET stored_bytes = stored_bytes - $1 WHERE id = $2`, bytes, run.ID)
	run.StoredBytes -= bytes
	return err
}

// NamespacesOfUnclaimed lists the namespaces of uploads from before namespaces were told apart.
func (tx *Tx) NamespacesOfUnclaimed() (names []string, err error) {
	err = tx.query("listing uploads", func(row func(...any) error) error {
		var name string
		if err := row(&name); err != nil {
			return err
		}
		names = append(names, name)
		return nil
	}, `SELECT DISTINCT namespace FROM uploads WHERE namespace_uid = ''`)
	return names, err
}

// ClaimUploads gives such uploads to the namespace that has the name now, but for those whose content it has already.
func (tx *Tx) ClaimUploads(namespace string, uid types.UID) error {
	_, err := tx.exec("claiming uploads", `UPDATE uploads SET namespace_uid = $1 WHERE namespace = $2 AND namespace_uid = ''
		AND NOT EXISTS (SELECT 1 FROM uploads AS other WHERE other.namespace = $2 AND other.digest = uploads.digest
		AND other.namespace_uid = $1 AND other.complete = 1)`, string(uid), namespace)
	return err
}
