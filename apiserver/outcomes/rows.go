package outcomes

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// Status is the status of an outcome, as it is stored.
type Status int

// The statuses.
const (
	Succeeded Status = 1 + iota
	Failed
	TimedOut
	Cancelled
)

// String is the status as the API writes it.
func (s Status) String() string {
	switch s {
	case Succeeded:
		return v1alpha1.OutcomeSucceeded
	case Failed:
		return v1alpha1.OutcomeFailed
	case TimedOut:
		return v1alpha1.OutcomeTimedOut
	case Cancelled:
		return v1alpha1.OutcomeCancelled
	}
	return "Status" + strconv.Itoa(int(s))
}

// ErrorText is an error of an input or of a run.
type ErrorText struct {
	Type, Message, Traceback string
}

// Run is the row of a run. migrations/ describes the columns.
type Run struct {
	// ID is the id of the row; 0 for a run without a row.
	ID              int64
	UID             types.UID
	Namespace, Name string
	Total, GPUs     int

	// Next is the smallest index that was never handed out. Returned and Suspects were handed out before, and no worker holds
	// them.
	Next               int
	Returned, Suspects indexset.Set
	// Delayed are held by no worker either, and must not be handed out before they are due; the earliest first.
	Delayed []Delay

	Succeeded, Failed, TimedOut, Cancelled int
	// Unsuccessful contains the indexes that did not succeed; if UnsuccessfulCut is not -1, only those below it.
	Unsuccessful    indexset.Set
	UnsuccessfulCut int

	// Live counts workers with a lease, Busy those of them that hold an index, Queued the indexes that they hold beyond the
	// first of each.
	Live, Busy, Queued int

	// Deaths counts deaths of workers since the last outcome that a worker reported. DeathsWithoutProgress counts deaths
	// since the last outcome of any kind, except those that were charged to an input. See package work.
	DeathsWithoutProgress, Deaths int
	// Trouble is the error of the latest death or of the latest failure to load the module; TroubleLoad: it is the latter.
	Trouble     ErrorText
	TroubleLoad bool

	MeanMicros   float64
	Measured     int64
	WorkedMicros int64

	// Closing is the reason why the run is being closed: nothing more is handed out, and indexes without an outcome get
	// ClosingStatus and ClosingError. FillNext and Filled are the progress of that.
	Closing       string
	ClosingStatus Status
	ClosingError  ErrorText
	FillNext      int
	Filled        int
	// Closed: every index has an outcome.
	Closed bool

	CreatedMicros int64
	// NamespaceUID is the UID of the run's namespace; "" in rows that are older than the column.
	NamespaceUID types.UID
	// StoredBytes is what the run and its rows count against the quota of the namespace, see tx_quota.go.
	StoredBytes int64
	// ResultsDeletedMicros is when the deletion of the results started, see Tx.BeginDeletingResults; 0: not deleted.
	ResultsDeletedMicros int64
}

// Delay is a set of indexes that must not be handed out before DueMicros.
type Delay struct {
	DueMicros int64
	Indexes   indexset.Set
}

// Waiting returns all delayed indexes.
func (r *Run) Waiting() indexset.Set {
	waiting := indexset.Set{}
	for _, delay := range r.Delayed {
		waiting = waiting.Union(delay.Indexes)
	}
	return waiting
}

// Done returns the number of indexes with an outcome.
func (r *Run) Done() int { return r.Succeeded + r.Failed + r.TimedOut + r.Cancelled }

// Count adds n outcomes with the status.
func (r *Run) Count(status Status, n int) {
	switch status {
	case Succeeded:
		r.Succeeded += n
	case Failed:
		r.Failed += n
	case TimedOut:
		r.TimedOut += n
	case Cancelled:
		r.Cancelled += n
	}
}

// WorkerState is the state of a worker.
type WorkerState int

// The states of a worker.
const (
	// WorkerLive: it has a lease, possibly without an index.
	WorkerLive WorkerState = 1 + iota
	// WorkerLeft: it was asked to stop and holds nothing.
	WorkerLeft
	// WorkerLapsed: its lease has expired. Its process may still run, for example behind a network failure.
	WorkerLapsed
	// WorkerEnded: its pod has ended. A call in its name gets nothing.
	WorkerEnded
)

// Batch is a set of indexes that were handed out at the same time, without those that were reported or returned.
type Batch struct {
	AssignedMicros int64
	Indexes        indexset.Set
}

// Worker is the row of a pod that has called. Its lease is the set of indexes that it holds.
type Worker struct {
	ID, RunID       int64
	PodUID          types.UID
	PodName, Node   string
	JobUID          types.UID
	CompletionIndex int
	Device          string

	State    WorkerState
	Sequence int64
	Batches  []Batch
	// Alone: it holds one suspect and must get no other index.
	Alone bool
	// Executing is the index whose handler ran at its last call; -1 for none. ExecutingMicros is when a call first reported
	// it, by the server's clock; 0 for none. See Execute.
	Executing       int
	ExecutingMicros int64
	// AnswerAction and AnswerHanded are the server's answer to the call with the number Sequence.
	AnswerAction string
	AnswerHanded indexset.Set

	FirstMicros, LastMicros int64

	// StartupRecorded: the next two were read from the cluster. GPUProduct is the label of its node, "" without one;
	// StartupLog lists the events of its pod before the code ran, one on each line. PutWorker writes these three for a new
	// row only; see SetStartup.
	StartupRecorded        bool
	GPUProduct, StartupLog string

	// LiveBytes is the size of the worker's live output, 0 for none, and LiveIndex the input that printed it, both at the
	// time when the row was read.
	LiveBytes int64
	LiveIndex int
}

// LiveEnded reports whether the worker has live output of an input that it no longer executes. PutWorker deletes it.
func (w *Worker) LiveEnded() bool {
	return w.LiveBytes > 0 && (w.State != WorkerLive || w.Executing != w.LiveIndex)
}

// Execute records that the worker executes the index, -1 for none. ExecutingMicros changes only if the index does.
func (w *Worker) Execute(index int, nowMicros int64) {
	switch {
	case index < 0:
		w.Executing, w.ExecutingMicros = -1, 0
	case index != w.Executing || w.ExecutingMicros == 0:
		w.Executing, w.ExecutingMicros = index, nowMicros
	}
}

// Held returns all indexes that the worker holds.
func (w *Worker) Held() indexset.Set {
	switch len(w.Batches) {
	case 0:
		return indexset.Set{}
	case 1:
		return w.Batches[0].Indexes
	}
	held := indexset.Set{}
	for _, batch := range w.Batches {
		held = held.Union(batch.Indexes)
	}
	return held
}

// Keep removes all indexes from the worker that are not in kept.
func (w *Worker) Keep(kept indexset.Set) {
	var batches []Batch
	for _, batch := range w.Batches {
		if indexes := batch.Indexes.And(kept); !indexes.Empty() {
			batches = append(batches, Batch{batch.AssignedMicros, indexes})
		}
	}
	w.Batches = batches
	if len(batches) == 0 {
		w.Alone = false
	}
	if !w.Held().Contains(w.Executing) {
		w.Execute(-1, 0)
	}
}

// Current returns the index that the worker executes and since when: the index that it reported in its last call, else the
// smallest index that it holds. The index is -1 if the worker holds none.
func (w *Worker) Current() (index int, sinceMicros int64) {
	held := w.Held()
	switch {
	case w.State != WorkerLive || held.Empty():
		return -1, 0
	case w.Executing >= 0:
		return w.Executing, w.ExecutingMicros
	}
	return held.Min(), w.Assigned(held.Min())
}

// Assigned returns when the index was handed to the worker; 0 if the worker does not hold it.
func (w *Worker) Assigned(index int) int64 {
	for _, batch := range w.Batches {
		if batch.Indexes.Contains(index) {
			return batch.AssignedMicros
		}
	}
	return 0
}

func formatBatches(batches []Batch) string {
	if len(batches) == 0 {
		return ""
	}
	var text strings.Builder
	for i, batch := range batches {
		if i > 0 {
			text.WriteByte(';')
		}
		text.WriteString(strconv.FormatInt(batch.AssignedMicros, 10))
		text.WriteByte(':')
		text.WriteString(batch.Indexes.String())
	}
	return text.String()
}

func parseBatches(text string) ([]Batch, error) {
	if text == "" {
		return nil, nil
	}
	var batches []Batch
	for part := range strings.SplitSeq(text, ";") {
		at, indexes, _ := strings.Cut(part, ":")
		assigned, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the batch %q: %w", part, err)
		}
		set, err := indexset.Parse(indexes)
		if err != nil {
			return nil, fmt.Errorf("the batch %q: %w", part, err)
		}
		batches = append(batches, Batch{assigned, set})
	}
	return batches, nil
}

// Delays have the format of batches.
func formatDelays(delays []Delay) string {
	if len(delays) == 0 {
		return ""
	}
	batches := make([]Batch, len(delays))
	for i, delay := range delays {
		batches[i] = Batch{delay.DueMicros, delay.Indexes}
	}
	return formatBatches(batches)
}

func parseDelays(text string) ([]Delay, error) {
	batches, err := parseBatches(text)
	if err != nil || len(batches) == 0 {
		return nil, err
	}
	delays := make([]Delay, len(batches))
	for i, batch := range batches {
		delays[i] = Delay{batch.AssignedMicros, batch.Indexes}
	}
	return delays, nil
}

// Attempts counts the attempts at an input without an outcome.
type Attempts struct {
	Index, Failures, Crashes int
}

// Outcome is the outcome of an input. A nil slice is an absent value; an empty ResultText is an empty text.
type Outcome struct {
	Index  int
	Status Status
	// ByClosing: the input had no outcome when the run was closed. Error is that of the run.
	ByClosing bool
	// Result is the JSON that the worker encoded, unchanged; ResultText is the value as text if it does not follow from
	// Result.
	Result, ResultText []byte
	// Error is nil without an error.
	Error *ErrorText
	// Stdout and Stderr are the last bytes of the input's output; StdoutDropped and StderrDropped are the numbers of bytes
	// before them that were dropped.
	Stdout, Stderr               []byte
	StdoutDropped, StderrDropped int64
	Attempts                     int
	// AssignedMicros is when the input was handed to the worker, by the server's clock; StartMicros and CompletionMicros are
	// by the worker's clock.
	AssignedMicros, StartMicros, CompletionMicros int64

	// WorkerID is the row of the worker; 0 without one. When an outcome is read, PodName, Node, Device and GPUProduct are
	// filled in from that row. StartupLog is not, because thousands of outcomes would repeat it.
	WorkerID                          int64
	PodName, Node, Device, GPUProduct string
}
