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

// ErrorText says what went wrong.
type ErrorText struct {
	Type, Message, Traceback string
}

// Run is the row of a run, see migrations/ for the columns.
type Run struct {
	// ID is the row's own; 0 in a run that has no row yet.
	ID              int64
	UID             types.UID
	Namespace, Name string
	Total, GPUs     int

	// Next is the smallest index never handed out; Returned and Suspects were, and are in nobody's hands.
	Next               int
	Returned, Suspects indexset.Set
	// Delayed are in nobody's hands either, and are not to be handed out before their time; the soonest first.
	Delayed []Delay

	Succeeded, Failed, TimedOut, Cancelled int
	// Unsuccessful has the indexes that did not succeed; where UnsuccessfulCut isn't -1, only those below it.
	Unsuccessful    indexset.Set
	UnsuccessfulCut int

	// Live workers have a lease, Busy ones hold something, Queued is what they hold beyond the first index of each.
	Live, Busy, Queued int

	// DeathsWithoutProgress and Deaths count deaths of workers since the last outcome, see package work.
	DeathsWithoutProgress, Deaths int
	// Trouble is the latest death's or load error's; TroubleLoad says that it is the latter.
	Trouble     ErrorText
	TroubleLoad bool

	MeanMicros   float64
	Measured     int64
	WorkedMicros int64

	// Closing is why the run is being closed: nothing is handed out any more, and what has no outcome gets
	// ClosingStatus and ClosingError. FillNext and Filled say how far that is.
	Closing       string
	ClosingStatus Status
	ClosingError  ErrorText
	FillNext      int
	Filled        int
	// Closed: every index has its outcome.
	Closed bool

	CreatedMicros int64
	// NamespaceUID is that of the run's namespace; "" in rows from before it was noted.
	NamespaceUID types.UID
	// StoredBytes is what the run and all that belongs to it count against the quota of the namespace, see tx_quota.go.
	StoredBytes int64
	// ResultsDeletedMicros is when the deletion of the results began, see Tx.BeginDeletingResults; 0: they are there.
	ResultsDeletedMicros int64
}

// Delay is indexes that are not to be handed out before a time.
type Delay struct {
	DueMicros int64
	Indexes   indexset.Set
}

// Waiting are all delayed indexes.
func (r *Run) Waiting() indexset.Set {
	waiting := indexset.Set{}
	for _, delay := range r.Delayed {
		waiting = waiting.Union(delay.Indexes)
	}
	return waiting
}

// Done is how many indexes have an outcome.
func (r *Run) Done() int { return r.Succeeded + r.Failed + r.TimedOut + r.Cancelled }

// Count counts n more outcomes.
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

// WorkerState is where a worker is in its life.
type WorkerState int

// The states of a worker.
const (
	// WorkerLive: it has a lease, which may hold nothing at the moment.
	WorkerLive WorkerState = 1 + iota
	// WorkerLeft: it was told to go and holds nothing.
	WorkerLeft
	// WorkerLapsed: its lease ran out. It may be alive behind a broken network.
	WorkerLapsed
	// WorkerEnded: its pod has ended. Whatever still speaks for it gets nothing.
	WorkerEnded
)

// Batch is what was handed out at once, less what is reported or given back.
type Batch struct {
	AssignedMicros int64
	Indexes        indexset.Set
}

// Worker is the row of a pod that called. What it holds is its lease.
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
	// Alone: it holds one suspect and must be given nothing beside it.
	Alone bool
	// Executing is the index whose handler ran when it last called; -1 for none. ExecutingMicros is since when, as far as
	// the server knows: when a call first said so, by the server's clock; 0 for none. See Execute.
	Executing       int
	ExecutingMicros int64
	// AnswerAction and AnswerHanded are the answer to Sequence.
	AnswerAction string
	AnswerHanded indexset.Set

	FirstMicros, LastMicros int64

	// StartupRecorded: it was looked up how the worker came to be. GPUProduct is what its node's label says, "" where it says nothing;
	// StartupLog is the life of its pod before the code ran, a line an event. PutWorker writes these three for a new row
	// only; see SetStartup.
	StartupRecorded        bool
	GPUProduct, StartupLog string

	// LiveBytes is what the worker's live output counts, 0 for none, and LiveIndex the input that printed it: as they were
	// when the row was read.
	LiveBytes int64
	LiveIndex int
}

// LiveEnded says whether the worker has live output of an input that it no longer executes. PutWorker deletes that.
func (w *Worker) LiveEnded() bool {
	return w.LiveBytes > 0 && (w.State != WorkerLive || w.Executing != w.LiveIndex)
}

// Execute notes that the worker executes the index, -1 for none. Since when stays as it is while the index does.
func (w *Worker) Execute(index int, nowMicros int64) {
	switch {
	case index < 0:
		w.Executing, w.ExecutingMicros = -1, 0
	case index != w.Executing || w.ExecutingMicros == 0:
		w.Executing, w.ExecutingMicros = index, nowMicros
	}
}

// Held is every index in the worker's hands.
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

// Keep lets the worker hold only what is in kept.
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

// Current returns the index that the worker executes, and since when: the index that it named in its last call, else the first of
// those that the answer handed out. The index is -1 if the worker holds none.
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

// Assigned is when the index was handed to the worker; 0 when the worker doesn't hold it.
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

// Delays are written as batches are.
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

// Attempts counts the attempts of an input that has no outcome.
type Attempts struct {
	Index, Failures, Crashes int
}

// Outcome is what became of an input. A nil slice is an absent value; an empty ResultText is an empty text.
type Outcome struct {
	Index  int
	Status Status
	// ByClosing: the input had no outcome when the run was closed. Error is the run's.
	ByClosing bool
	// Result is the JSON that the worker encoded, byte for byte; ResultText the value as text where that does not follow
	// from Result.
	Result, ResultText []byte
	// Error is nil where nothing was said.
	Error *ErrorText
	// Stdout and Stderr are what the input wrote, the end of it; Dropped is how many bytes are missing before that.
	Stdout, Stderr               []byte
	StdoutDropped, StderrDropped int64
	Attempts                     int
	// AssignedMicros is when the input was handed to the worker, by the server's clock; StartMicros and
	// CompletionMicros are by the worker's.
	AssignedMicros, StartMicros, CompletionMicros int64

	// WorkerID is the row of the worker; 0 where none had it. PodName, Node, Device and GPUProduct are that row's, when
	// read. Its StartupLog is among Workers: it would be repeated here for each of thousands of outcomes.
	WorkerID                          int64
	PodName, Node, Device, GPUProduct string
}
