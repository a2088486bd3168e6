package outcomes

import "k8s.io/apimachinery/pkg/types"

// What a row counts in addition to its texts, in the sums that are compared with quotas: about its size on disk, with its
// indexes. Rows that a namespace can have in large numbers count more, so that their number is limited too. The migrations
// contain the same numbers.
const (
	RunBytes     = 16 << 10
	WorkerBytes  = 4 << 10
	OutcomeBytes = 192
	UploadBytes  = 16 << 10
	ChunkBytes   = 1 << 10
	// nameBytes is what the name of an upload in several calls counts.
	nameBytes = 1 << 10
)

// PayloadBytes is the size of an outcome's result, error and output.
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

// TextBytes is the size of the texts in the run's own row.
func (r *Run) TextBytes() int64 { return (&r.Trouble).bytes() + (&r.ClosingError).bytes() }

// Bytes is the size of a worker's live output.
func (l *LiveOutput) Bytes() int64 { return int64(len(l.Stdout.Bytes) + len(l.Stderr.Bytes)) }

const (
	outcomePayload = `COALESCE(LENGTH(result), 0) + COALESCE(LENGTH(result_text), 0) + COALESCE(LENGTH(error_type), 0)
		+ COALESCE(LENGTH(error_message), 0) + COALESCE(LENGTH(error_traceback), 0) + COALESCE(LENGTH(stdout), 0) + COALESCE(LENGTH(stderr), 0)`

	// measuredRun computes from the rows what Run.StoredBytes must be.
	measuredRun = `CAST(16384 + 4096 * (SELECT COUNT(*) FROM workers WHERE run_id = runs.id)
		+ LENGTH(trouble_type) + LENGTH(trouble_message) + LENGTH(trouble_traceback)
		+ LENGTH(closing_type) + LENGTH(closing_message) + LENGTH(closing_traceback)
		+ (SELECT COALESCE(SUM(192 + ` + outcomePayload + `), 0)
			FROM outcomes WHERE outcomes.id BETWEEN runs.id * 4294967296 AND runs.id * 4294967296 + 4294967295)
		+ (SELECT COALESCE(SUM(LENGTH(stdout) + LENGTH(stderr)), 0) FROM live_output WHERE live_output.run_id = runs.id)
		+ (SELECT COALESCE(SUM(LENGTH(stdout) + LENGTH(stderr)), 0) FROM load_output WHERE load_output.run_id = runs.id) AS BIGINT)`

	measuredUpload = `CAST(16384 + (SELECT COALESCE(SUM(1024 + LENGTH(data)), 0) FROM upload_chunks
		WHERE upload_chunks.id BETWEEN uploads.id * 4294967296 AND uploads.id * 4294967296 + 4294967295) AS BIGINT)`
)

// MeasureRun computes from its rows what a run counts. Run.StoredBytes must equal it.
func (tx *Tx) MeasureRun(run int64) (int64, error) {
	return tx.number("measuring a run", `SELECT `+measuredRun+` FROM runs WHERE id = $1`, run)
}

// MeasureUpload computes from its rows what an upload counts, see StoredUpload.
func (tx *Tx) MeasureUpload(upload int64) (int64, error) {
	return tx.number("measuring an upload", `SELECT `+measuredUpload+` FROM uploads WHERE id = $1`, upload)
}

// StoredUpload returns what the row of an upload counts.
func (tx *Tx) StoredUpload(upload int64) (int64, error) {
	return tx.number("measuring an upload", `SELECT stored_bytes FROM uploads WHERE id = $1`, upload)
}

// RunsBytes returns what all runs of a namespace count. Rows without a namespace UID, which are older than that column, count
// for every namespace with the name.
func (tx *Tx) RunsBytes(namespace string, uid types.UID) (int64, error) {
	return tx.number("measuring the runs of a namespace",
		`SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) FROM runs WHERE namespace = $1 AND namespace_uid IN ($2, '')`, namespace, string(uid))
}

// UploadsBytes returns what all uploads of a namespace count, including incomplete ones and those that are being deleted.
func (tx *Tx) UploadsBytes(namespace string, uid types.UID) (int64, error) {
	names, err := tx.number("measuring the uploads of a namespace", `SELECT COUNT(*) FROM arriving_uploads WHERE namespace = $1`, namespace)
	if err != nil {
		return 0, err
	}
	bytes, err := tx.number("measuring the uploads of a namespace",
		`SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) FROM uploads WHERE namespace = $1 AND namespace_uid IN ($2, '')`, namespace, string(uid))
	return bytes + names*nameBytes, err
}

// AllBytes returns the sums of all namespaces.
func (tx *Tx) AllBytes() (uploads, results int64, err error) {
	if results, err = tx.number("measuring the store", `SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) FROM runs`); err != nil {
		return 0, 0, err
	}
	uploads, err = tx.number("measuring the store", `SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) FROM uploads`)
	return uploads, results, err
}

func (tx *Tx) number(action, text string, args ...any) (n int64, err error) {
	err = tx.query(action, func(row func(...any) error) error { return row(&n) }, text, args...)
	return n, err
}

// release subtracts deleted bytes from what a run counts.
func (tx *Tx) release(run *Run, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	_, err := tx.exec("measuring a run", `UPDATE runs SET stored_bytes = stored_bytes - $1 WHERE id = $2`, bytes, run.ID)
	run.StoredBytes -= bytes
	return err
}

// NamespacesOfUnclaimed lists the namespaces of uploads without a namespace UID, which are older than that column.
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

// ClaimUploads sets the UID of these uploads to that of the namespace that has the name now, except for uploads whose content
// the namespace already has.
func (tx *Tx) ClaimUploads(namespace string, uid types.UID) error {
	_, err := tx.exec("claiming uploads", `UPDATE uploads SET namespace_uid = $1 WHERE namespace = $2 AND namespace_uid = ''
		AND NOT EXISTS (SELECT 1 FROM uploads AS other WHERE other.namespace = $2 AND other.digest = uploads.digest
		AND other.namespace_uid = $1 AND other.complete = 1)`, string(uid), namespace)
	return err
}
