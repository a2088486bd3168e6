package work

import (
	"fmt"
	"strings"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// Types of the errors that the exchange itself gives to an input.
const (
	// ErrorWorkerDied: the container died while it had this input alone.
	ErrorWorkerDied = "WorkerDied"
	// ErrorResultTooLarge: the result is more than an outcome may hold.
	ErrorResultTooLarge = "ResultTooLarge"
)

// loss is how a worker's lease came to its end.
type loss int

const (
	// lossOver: the pod has ended, or its completion index came back as another one.
	lossOver loss = iota
	// lossLapsed: the worker did not call in time.
	lossLapsed
)

// bury ends a worker's lease: what it holds goes back, and whoever is to blame is charged. It returns the row to write.
//
// What each pod exit means:
//
//   - disrupted, or being ended by Kubernetes: charges nobody, everything goes back as it was;
//   - ended with 0: a supervisor never does that while it holds something, unless it was told to stop: the same;
//   - ended otherwise, nobody knows why: the only input in hand is charged; several become suspects;
//   - running, and the lease ran out: the network is broken, or the node stands still. That is no crash: the same as
//     disrupted;
//   - gone, or nobody knows: how it ended cannot be told: suspects, uncharged.
func (l *ledger) bury(worker outcomes.Worker, podExit PodExit, why loss) outcomes.Worker {
	before := worker
	held := worker.Held()
	alone := worker.Alone
	worker.State = outcomes.WorkerEnded
	if why == lossLapsed && podExit.State != PodExitEnded {
		// It may call again when the network is back; a pod that has ended cannot.
		worker.State = outcomes.WorkerLapsed
	}
	worker.Keep(indexset.Set{})
	l.account(&before, &worker)
	defer l.settle()

	switch {
	case before.State == outcomes.WorkerLeft, before.State == outcomes.WorkerEnded:
		// It had nothing left to do, or this is known.
	case podExit.Terminating, podExit.State == PodExitDisrupted, podExit.State == PodExitRunning,
		podExit.State == PodExitEnded && podExit.ExitCode == 0:
		l.giveBack(held, alone)
	case podExit.State == PodExitEnded:
		l.died(&before, held, podExit)
	default:
		l.giveBack(held, held.Len() > 1 || alone)
	}
	return worker
}

// died is an unexplained death.
func (l *ledger) died(worker *outcomes.Worker, held indexset.Set, podExit PodExit) {
	l.row.Deaths++
	cause := howItEnded(podExit)
	l.trouble(outcomes.ErrorText{Type: ErrorWorkerDied, Message: cause}, false)
	if held.Len() != 1 {
		// Deaths that charge an input are counted in Deaths alone: they end by themselves when the budgets are used up.
		l.row.DeathsWithoutProgress++
		l.giveBack(held, true)
		l.endBarren()
		return
	}
	index := held.Min()
	over, attempts := l.charge(index)
	if !over {
		l.giveBack(held, true)
		l.endBarren()
		return
	}
	l.add(outcomes.Outcome{
		Index:            index,
		Status:           outcomes.Failed,
		Error:            &outcomes.ErrorText{Type: ErrorWorkerDied, Message: cause + " while it had this input alone"},
		Attempts:         attempts,
		AssignedMicros:   worker.Assigned(index),
		StartMicros:      worker.Assigned(index),
		CompletionMicros: l.now,
		WorkerID:         worker.ID,
	})
	l.endFailing()
	// Not Deaths: where every input kills its container, the run must end before each has had its two.
	l.row.DeathsWithoutProgress = 0
	l.endBarren()
}

// howItEnded says in words how a container died.
func howItEnded(podExit PodExit) string {
	code := fmt.Sprintf("exit code %d", podExit.ExitCode)
	switch {
	case podExit.Reason == "OOMKilled":
		return "the worker's container was killed by the kernel for memory (OOMKilled, " + code + ")"
	case podExit.ExitCode == 137:
		return "the worker's container was killed (SIGKILL, " + code + ")"
	case podExit.ExitCode > 128 && podExit.ExitCode < 160:
		return fmt.Sprintf("the worker's container died of signal %d (%s)", podExit.ExitCode-128, code)
	}
	sentence := "the worker's container ended by itself (" + code + ")"
	if message := cutText(strings.TrimSpace(podExit.Message), 512); message != "" {
		sentence += ": " + message
	}
	return sentence
}

// trouble keeps what is wrong at the moment.
func (l *ledger) trouble(text outcomes.ErrorText, load bool) {
	l.row.Trouble, l.row.TroubleLoad = text, load
}

// loadFailed takes a worker's word that the module cannot be loaded. What it holds it keeps: nothing of it was executed.
func (l *ledger) loadFailed(text *exchange.ErrorText) {
	l.row.Deaths++
	l.row.DeathsWithoutProgress++
	l.trouble(storedError(text), true)
	l.endBarren()
}

// endBarren ends a run whose workers die again and again without one outcome.
func (l *ledger) endBarren() {
	limit := max(l.run.Workers, 1) + 2
	if l.row.DeathsWithoutProgress < limit && l.row.Deaths < 3*limit {
		return
	}
	reason := v1alpha1.ReasonWorkersDied
	if l.row.TroubleLoad {
		reason = v1alpha1.ReasonModuleNotLoaded
	}
	l.beginClosing(reason, outcomes.Failed, l.row.Trouble)
}

// endFailing ends a run of which more inputs have failed or timed out than it bears.
func (l *ledger) endFailing() {
	if l.run.MaxFailures == nil || l.row.Done() >= l.row.Total {
		return
	}
	most, failures := *l.run.MaxFailures, l.row.Failed+l.row.TimedOut
	if failures <= most {
		return
	}
	l.beginClosing(v1alpha1.ReasonMaxFailuresExceeded, outcomes.Cancelled, outcomes.ErrorText{
		Type: v1alpha1.ReasonMaxFailuresExceeded,
		Message: fmt.Sprintf("%s failed or timed out, and the run bears %d (spec.maxFailures): the inputs without an outcome were not executed to their end",
			counted(failures, "input"), most),
	})
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// beginClosing ends hand-outs and all leases. What has no outcome gets the given one, chunk by chunk; until an index has it, a report
// that is under way still comes first.
func (l *ledger) beginClosing(reason string, status outcomes.Status, text outcomes.ErrorText) {
	if l.row.Closing != "" || l.row.Closed {
		return
	}
	l.row.Closing, l.row.ClosingStatus, l.row.ClosingError = reason, status, text
	l.row.Returned, l.row.Suspects, l.row.Delayed, l.row.Next = indexset.Set{}, indexset.Set{}, nil, l.row.Total
	l.row.Live, l.row.Busy, l.row.Queued = 0, 0, 0
	l.row.FillNext = 0
	l.fenced, l.freed = true, true
}
