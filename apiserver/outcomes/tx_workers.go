package outcomes

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/exchange/indexset"
)

const workerColumns = `id, run_id, pod_uid, pod_name, node, job_uid, completion_index, device, state, sequence, held,
	alone, executing, answer_action, answer_handed, first_us, last_us, executing_us, startup_recorded, gpu_product, startup_log,
	COALESCE((SELECT LENGTH(stdout) + LENGTH(stderr) FROM live_output WHERE worker_id = workers.id), 0),
	COALESCE((SELECT idx FROM live_output WHERE worker_id = workers.id), 0)`

const selectWorker = `SELECT ` + workerColumns + ` FROM workers WHERE run_id = $1 AND pod_uid = $2`

const selectWorkers = `SELECT ` + workerColumns + ` FROM workers WHERE run_id = $1 ORDER BY id`

// The literal state is needed for the partial index workers_live: a planner does not know the value of a parameter.
const selectLiveWorkers = `SELECT ` + workerColumns + ` FROM workers WHERE run_id = $1 AND state = 1 ORDER BY id`

const selectSiblings = `SELECT ` + workerColumns + ` FROM workers
	WHERE run_id = $1 AND job_uid = $2 AND completion_index = $3 AND state = 1 ORDER BY id`

const selectLeases = `SELECT runs.uid, workers.pod_uid, runs.namespace, runs.name, workers.pod_name, workers.node,
	workers.sequence, workers.last_us
	FROM workers JOIN runs ON runs.id = workers.run_id WHERE workers.state = 1`

const insertWorker = `INSERT INTO workers (run_id, pod_uid, pod_name, node, job_uid, completion_index, device, state,
	sequence, held, alone, executing, answer_action, answer_handed, first_us, last_us, executing_us, startup_recorded, gpu_product, startup_log)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) RETURNING id`

const updateWorker = `UPDATE workers SET device = $1, state = $2, sequence = $3, held = $4, alone = $5, executing = $6,
	answer_action = $7, answer_handed = $8, last_us = $9, executing_us = $10 WHERE id = $11`

const updateStartup = `UPDATE workers SET startup_recorded = 1, gpu_product = $1, startup_log = $2
	WHERE pod_uid = $3 AND run_id = (SELECT id FROM runs WHERE uid = $4)`

// Worker returns the row of a pod, or nil.
func (tx *Tx) Worker(run int64, pod types.UID) (*Worker, error) {
	workers, err := tx.workers("reading a worker", selectWorker, run, string(pod))
	if err != nil || len(workers) == 0 {
		return nil, err
	}
	return &workers[0], nil
}

// Workers returns all workers of a run in any state, in the order of their first calls.
func (tx *Tx) Workers(run int64) ([]Worker, error) {
	return tx.workers("reading all workers of a run", selectWorkers, run)
}

// WorkerByID returns the worker with the id, or none if the row does not exist or is another run's.
func (tx *Tx) WorkerByID(run, id int64) ([]Worker, error) {
	return tx.workers("reading the worker of an outcome", `SELECT `+workerColumns+` FROM workers WHERE id = $2 AND run_id = $1`, run, id)
}

// LiveWorkers returns the workers of a run with a lease.
func (tx *Tx) LiveWorkers(run int64) ([]Worker, error) {
	return tx.workers("reading the workers of a run", selectLiveWorkers, run)
}

// Siblings returns the workers with a lease that have the job's completion index.
func (tx *Tx) Siblings(run int64, job types.UID, completionIndex int) ([]Worker, error) {
	return tx.workers("reading the workers of an index", selectSiblings, run, string(job), completionIndex)
}

// Orphans reports whether another live worker holds an index and either belongs to another Job or has the same completion
// index.
func (tx *Tx) Orphans(run int64, self *Worker) (found bool, err error) {
	err = tx.query("reading workers of earlier pods", func(row func(...any) error) error { return row(&found) },
		`SELECT EXISTS (SELECT 1 FROM workers WHERE run_id = $1 AND state = 1 AND held <> '' AND pod_uid <> $2
		AND (job_uid <> $3 OR completion_index = $4))`, run, string(self.PodUID), string(self.JobUID), self.CompletionIndex)
	return found, err
}

func (tx *Tx) workers(action, text string, args ...any) ([]Worker, error) {
	var workers []Worker
	err := tx.query(action, func(row func(...any) error) error {
		w := Worker{}
		var held, handed string
		err := row(&w.ID, &w.RunID, &w.PodUID, &w.PodName, &w.Node, &w.JobUID, &w.CompletionIndex, &w.Device, &w.State,
			&w.Sequence, &held, &w.Alone, &w.Executing, &w.AnswerAction, &handed, &w.FirstMicros, &w.LastMicros,
			&w.ExecutingMicros, &w.StartupRecorded, &w.GPUProduct, &w.StartupLog, &w.LiveBytes, &w.LiveIndex)
		if err != nil {
			return err
		}
		if w.Batches, err = parseBatches(held); err != nil {
			return err
		}
		if w.AnswerHanded, err = indexset.Parse(handed); err != nil {
			return err
		}
		workers = append(workers, w)
		return nil
	}, text, args...)
	return workers, err
}

// PutWorker writes a row; a worker without an ID is added and gets one. Live output of an input that has ended is deleted;
// the caller subtracts it from what the run counts.
func (tx *Tx) PutWorker(w *Worker) error {
	if w.ID == 0 {
		id, err := tx.insert("adding a worker", insertWorker, w.RunID, string(w.PodUID), w.PodName, w.Node, string(w.JobUID),
			w.CompletionIndex, storable(w.Device), int(w.State), w.Sequence, formatBatches(w.Batches), number(w.Alone), w.Executing,
			w.AnswerAction, w.AnswerHanded.String(), w.FirstMicros, w.LastMicros, w.ExecutingMicros,
			number(w.StartupRecorded), storable(w.GPUProduct), storable(w.StartupLog))
		w.ID = id
		return err
	}
	_, err := tx.exec("writing a worker", updateWorker, storable(w.Device), int(w.State), w.Sequence, formatBatches(w.Batches),
		number(w.Alone), w.Executing, w.AnswerAction, w.AnswerHanded.String(), w.LastMicros, w.ExecutingMicros, w.ID)
	if err == nil && w.LiveEnded() {
		_, err = tx.exec("deleting live output", `DELETE FROM live_output WHERE worker_id = $1`, w.ID)
	}
	return err
}

// SetStartup records the product of a worker's GPUs and its startup log. It returns false if the worker has no row.
func (tx *Tx) SetStartup(run, pod types.UID, gpuProduct, startupLog string) (bool, error) {
	changed, err := tx.exec("recording the startup of a worker", updateStartup, storable(gpuProduct), storable(startupLog), string(pod), string(run))
	return changed > 0, err
}

// FenceWorkers ends all leases of a run.
func (tx *Tx) FenceWorkers(run int64) error {
	_, err := tx.exec("ending the leases of a run",
		`UPDATE workers SET state = 2, held = '', alone = 0, executing = -1, executing_us = 0 WHERE run_id = $1 AND state = 1`, run)
	return err
}

// Lease identifies a worker with a lease.
type Lease struct {
	Run, Pod                          types.UID
	Namespace, RunName, PodName, Node string
	// Sequence and LastMicros change with every call of the worker.
	Sequence, LastMicros int64
}

// Leases returns all leases, including those that other servers granted: every server tracks all deadlines.
func (tx *Tx) Leases() ([]Lease, error) {
	return tx.leases("listing leases", selectLeases+` ORDER BY workers.id`)
}

// LeasesWithoutStartup returns the leases of workers whose startup is not recorded.
func (tx *Tx) LeasesWithoutStartup() ([]Lease, error) {
	return tx.leases("listing new workers", selectLeases+` AND workers.startup_recorded = 0 ORDER BY workers.id`)
}

func (tx *Tx) leases(action, text string) ([]Lease, error) {
	var leases []Lease
	err := tx.query(action, func(row func(...any) error) error {
		l := Lease{}
		if err := row(&l.Run, &l.Pod, &l.Namespace, &l.RunName, &l.PodName, &l.Node, &l.Sequence, &l.LastMicros); err != nil {
			return err
		}
		leases = append(leases, l)
		return nil
	}, text)
	return leases, err
}

// storable turns text from others into text that both engines store: valid UTF-8 without NUL.
func storable(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
}
