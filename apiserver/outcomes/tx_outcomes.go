package outcomes

import (
	"fmt"
	"strings"

	"sharedcloud.io/function-operator/exchange/indexset"
)

// key is the primary key of an outcome.
func key(run int64, index int) int64 { return run<<32 | int64(index) }

// HaveOutcome returns the indexes that have an outcome.
func (tx *Tx) HaveOutcome(run int64, indexes indexset.Set) (indexset.Set, error) {
	var found []int
	for r := range indexes.Ranges() {
		err := tx.query("looking for outcomes", func(row func(...any) error) error {
			var id int64
			if err := row(&id); err != nil {
				return err
			}
			found = append(found, int(id-key(run, 0)))
			return nil
		}, `SELECT id FROM outcomes WHERE id BETWEEN $1 AND $2 ORDER BY id`, key(run, r.First), key(run, r.Last))
		if err != nil {
			return indexset.Set{}, err
		}
	}
	return indexset.Of(found...), nil
}

// Attempts returns the recorded attempts at the indexes.
func (tx *Tx) Attempts(run int64, indexes indexset.Set) (map[int]Attempts, error) {
	var found map[int]Attempts
	for r := range indexes.Ranges() {
		err := tx.query("reading attempts", func(row func(...any) error) error {
			a := Attempts{}
			if err := row(&a.Index, &a.Failures, &a.Crashes); err != nil {
				return err
			}
			if found == nil {
				found = map[int]Attempts{}
			}
			found[a.Index] = a
			return nil
		}, `SELECT idx, failures, crashes FROM attempts WHERE run_id = $1 AND idx BETWEEN $2 AND $3`, run, r.First, r.Last)
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// PutAttempts records attempts.
func (tx *Tx) PutAttempts(run int64, attempts []Attempts) error {
	for _, a := range attempts {
		if _, err := tx.exec("recording an attempt", `INSERT INTO attempts (run_id, idx, failures, crashes) VALUES ($1, $2, $3, $4)
			ON CONFLICT (run_id, idx) DO UPDATE SET failures = excluded.failures, crashes = excluded.crashes`,
			run, a.Index, a.Failures, a.Crashes); err != nil {
			return err
		}
	}
	return nil
}

// insertion is a prepared INSERT of one outcome, and one of many.
type insertion struct {
	rows, columns int
	one, many     string
}

// insertions are those of an engine. Most outcomes are plain: they succeeded and printed nothing. Half the parameters take
// half the time.
type insertions struct{ plain, full insertion }

var insertionsOf = map[*dialect]insertions{
	&sqliteDialect:   newInsertions(&sqliteDialect),
	&postgresDialect: newInsertions(&postgresDialect),
}

func newInsertions(d *dialect) insertions {
	return insertions{newInsertion(d.plainRows, plainColumns), newInsertion(d.fullRows, fullColumns)}
}

const (
	plainColumns = `id, status, attempts, assigned_us, start_us, completion_us, worker_id, result`
	fullColumns  = plainColumns + `, result_text, error_type, error_message, error_traceback, stdout, stdout_dropped, stderr, stderr_dropped`
)

func newInsertion(rows int, columns string) insertion {
	i := insertion{rows: rows, columns: strings.Count(columns, ",") + 1}
	i.one, i.many = i.text(1, columns), i.text(rows, columns)
	return i
}

func (i insertion) text(rows int, columns string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "INSERT INTO outcomes (%s) VALUES ", columns)
	for row := range rows {
		separator := "("
		if row > 0 {
			separator = ", ("
		}
		for column := range i.columns {
			fmt.Fprintf(&text, "%s$%d", separator, row*i.columns+column+1)
			separator = ", "
		}
		text.WriteByte(')')
	}
	return text.String()
}

// InsertOutcomes adds outcomes. An outcome that exists is an error: the exchange never writes one twice.
func (tx *Tx) InsertOutcomes(run int64, outcomes []Outcome) error {
	var plain, full []*Outcome
	for i := range outcomes {
		if o := &outcomes[i]; o.plain() {
			plain = append(plain, o)
		} else {
			full = append(full, o)
		}
	}
	insert := insertionsOf[tx.session.dialect]
	if err := tx.insertAll(insert.plain, run, plain, (*Outcome).appendPlain); err != nil {
		return err
	}
	return tx.insertAll(insert.full, run, full, (*Outcome).appendFull)
}

func (tx *Tx) insertAll(i insertion, run int64, outcomes []*Outcome, arguments func(*Outcome, []any, int64) []any) error {
	args := make([]any, 0, i.columns*i.rows)
	for len(outcomes) > 0 {
		rows, text := 1, i.one
		if len(outcomes) >= i.rows {
			rows, text = i.rows, i.many
		}
		args = args[:0]
		for _, o := range outcomes[:rows] {
			args = arguments(o, args, run)
		}
		if _, err := tx.exec("adding outcomes", text, args...); err != nil {
			return err
		}
		outcomes = outcomes[rows:]
	}
	return nil
}

func (o *Outcome) plain() bool {
	return o.ResultText == nil && o.Error == nil && len(o.Stdout)+len(o.Stderr) == 0 && o.StdoutDropped == 0 && o.StderrDropped == 0
}

func (o *Outcome) appendPlain(args []any, run int64) []any {
	var worker any
	if o.WorkerID != 0 {
		worker = o.WorkerID
	}
	return append(args, key(run, o.Index), int(o.Status), o.Attempts, o.AssignedMicros, o.StartMicros, o.CompletionMicros,
		worker, blob(o.Result))
}

func (o *Outcome) appendFull(args []any, run int64) []any {
	var resultText, errorType, errorMessage, errorTraceback any
	if o.ResultText != nil {
		resultText = o.ResultText
	}
	if o.Error != nil {
		errorType, errorMessage, errorTraceback = []byte(o.Error.Type), []byte(o.Error.Message), []byte(o.Error.Traceback)
	}
	return append(o.appendPlain(args, run), resultText, errorType, errorMessage, errorTraceback, blob(o.Stdout), o.StdoutDropped,
		blob(o.Stderr), o.StderrDropped)
}

// blob turns an empty slice into NULL: a []byte would be stored as an empty blob.
func blob(bytes []byte) any {
	if len(bytes) == 0 {
		return nil
	}
	return bytes
}

// FillOutcomes adds the outcome of the run's closing at the indexes from first to last, none of which may have an outcome.
func (tx *Tx) FillOutcomes(run int64, first, last int, status Status, nowMicros int64) error {
	added, err := tx.exec("adding the outcomes of a closing", `INSERT INTO outcomes (id, status, by_closing, completion_us)
		WITH RECURSIVE missing (id) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT id + 1 FROM missing WHERE id < $2)
		SELECT id, $3, 1, $4 FROM missing`, key(run, first), key(run, last), int(status), nowMicros)
	if err == nil && added != int64(last-first+1) {
		return tx.fail("adding the outcomes of a closing", fmt.Errorf("%d rows were expected and %d added", last-first+1, added))
	}
	return err
}

const (
	selectOutcome = `SELECT id, status, by_closing, attempts, assigned_us, start_us, completion_us, COALESCE(worker_id, 0),
	result, result_text IS NOT NULL, result_text, error_type IS NOT NULL, error_type, error_message, error_traceback, `
	fromOutcomes = ` FROM outcomes WHERE id BETWEEN $1 AND $2`

	selectOutcomes = selectOutcome + `stdout, stdout_dropped, stderr, stderr_dropped` + fromOutcomes
	// Output is large if there is any, and rarely requested.
	selectBriefly = selectOutcome + `NULL, 0, NULL, 0` + fromOutcomes
)

// pageBytes is about the maximum of results and output in a page: a page of large results has fewer outcomes.
const pageBytes = 16 << 20

// Outcomes returns outcomes of a run from the index from, in order: at most limit, fewer if they are large, but at least one
// if there is one.
func (tx *Tx) Outcomes(run *Run, from, limit int) ([]Outcome, error) {
	return tx.outcomes(run, selectOutcomes, ascending, max(from, 0), indexset.MaxIndex, limit, workersByID{})
}

// selected returns the selected outcomes of a run, in order: at most limit, fewer if they are large, but at least one if
// there is one.
func (tx *Tx) selected(run *Run, s Selection, limit int, known workersByID) ([]Outcome, error) {
	if s.Last < s.First {
		return nil, nil
	}
	text, which := selectOutcomes, ascending
	if s.Brief {
		text = selectBriefly
	}
	if s.Unsuccessful {
		which = unsuccessful
	}
	return tx.outcomes(run, text, which, max(s.First, 0), min(s.Last, indexset.MaxIndex), limit, known)
}

// Unsuccessful returns at most limit indexes, from the index from, whose outcomes are not Succeeded.
func (tx *Tx) Unsuccessful(run int64, from, limit int) (indexes []int, err error) {
	err = tx.query("listing unsuccessful inputs", func(row func(...any) error) error {
		var id int64
		if err := row(&id); err != nil {
			return err
		}
		indexes = append(indexes, int(id-key(run, 0)))
		return nil
	}, `SELECT id FROM outcomes WHERE id BETWEEN $1 AND $2 AND status <> 1 ORDER BY id LIMIT $3`,
		key(run, from), key(run, indexset.MaxIndex), limit)
	return indexes, err
}

// OutcomesBefore returns outcomes of a run below the index before, the greatest index first: at most limit, fewer if they are
// large, but at least one if there is one.
func (tx *Tx) OutcomesBefore(run *Run, before, limit int) ([]Outcome, error) {
	if before <= 0 {
		return nil, nil
	}
	return tx.outcomes(run, selectOutcomes, descending, 0, min(before-1, indexset.MaxIndex), limit, workersByID{})
}

// The order of the selected outcomes. The filter is that of the index outcomes_unsuccessful.
const (
	ascending    = ` ORDER BY id LIMIT $3`
	descending   = ` ORDER BY id DESC LIMIT $3`
	unsuccessful = ` AND status <> 1` + ascending
)

// outcomes runs a statement that selects outcomes from the first to the last index.
func (tx *Tx) outcomes(run *Run, text, which string, first, last, limit int, known workersByID) ([]Outcome, error) {
	size := 0
	if tx.session.dialect.sends {
		var err error
		if limit, err = tx.fitting(selectSizes+which, key(run.ID, first), key(run.ID, last), limit); err != nil {
			return nil, err
		}
	}
	var page []Outcome
	err := tx.query("reading outcomes", func(row func(...any) error) error {
		if size >= pageBytes {
			return errStopScan
		}
		if page == nil {
			page = make([]Outcome, 0, min(limit, PageOutcomes))
		}
		o := Outcome{}
		var id int64
		var hasText, hasError bool
		var problem [3][]byte
		if err := row(&id, &o.Status, &o.ByClosing, &o.Attempts, &o.AssignedMicros, &o.StartMicros, &o.CompletionMicros,
			&o.WorkerID, &o.Result, &hasText, &o.ResultText, &hasError,
			&problem[0], &problem[1], &problem[2], &o.Stdout, &o.StdoutDropped, &o.Stderr, &o.StderrDropped); err != nil {
			return err
		}
		o.Index = int(id - key(run.ID, 0))
		if hasText && o.ResultText == nil {
			// Drivers return nil for an empty blob; an empty text differs from no text.
			o.ResultText = []byte{}
		}
		switch {
		case o.ByClosing:
			o.Error = &run.ClosingError
		case hasError:
			o.Error = &ErrorText{string(problem[0]), string(problem[1]), string(problem[2])}
		}
		size += len(o.Result) + len(o.ResultText) + len(o.Stdout) + len(o.Stderr)
		page = append(page, o)
		return nil
	}, text+which, key(run.ID, first), key(run.ID, last), limit)
	if err == nil {
		err = tx.identify(page, known)
	}
	return page, err
}

// workersByID caches workers while outcomes are read: thousands of outcomes have the same worker, and a join would read its
// row for each.
type workersByID map[int64]Worker

// identify fills in the names of the outcomes' workers.
func (tx *Tx) identify(page []Outcome, known workersByID) error {
	for i := range page {
		o := &page[i]
		if o.WorkerID == 0 {
			continue
		}
		w, ok := known[o.WorkerID]
		if !ok {
			if err := tx.query("reading the workers of outcomes", func(row func(...any) error) error {
				return row(&w.PodName, &w.Node, &w.Device, &w.GPUProduct)
			}, `SELECT pod_name, node, device, gpu_product FROM workers WHERE id = $1`, o.WorkerID); err != nil {
				return err
			}
			known[o.WorkerID] = w
		}
		o.PodName, o.Node, o.Device, o.GPUProduct = w.PodName, w.Node, w.Device, w.GPUProduct
	}
	return nil
}

const selectSizes = `SELECT COALESCE(LENGTH(result), 0) + COALESCE(LENGTH(result_text), 0) +
	COALESCE(LENGTH(stdout), 0) + COALESCE(LENGTH(stderr), 0) AS size
	FROM outcomes WHERE id BETWEEN $1 AND $2`

// fitting returns how many outcomes fit in a page, at most limit. It reads only their sizes, and if all of them fit, which is
// the usual case, only the sum.
func (tx *Tx) fitting(text string, first, last int64, limit int) (int, error) {
	const action = "reading the sizes of outcomes"
	fit, sum := 0, 0
	err := tx.query(action, func(row func(...any) error) error { return row(&fit, &sum) },
		`SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM (`+text+`) AS page`, first, last, limit)
	if err != nil || sum <= pageBytes {
		return fit, err
	}
	fit, sum = 0, 0
	err = tx.query(action, func(row func(...any) error) error {
		var size int
		if err := row(&size); err != nil {
			return err
		}
		if sum >= pageBytes {
			return errStopScan
		}
		fit++
		sum += size
		return nil
	}, text, first, last, limit)
	return fit, err
}
