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
type leaseEnd int

const (
	// lossOver: the pod has ended, or its completion index came back as another one.
	podHasEnded leaseEnd = iota
	// lossLapsed: the worker did not call in time.
	leaseExpired
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
func (s *runState) endLease(worker outcomes.Worker, podExit PodExit, why leaseEnd) outcomes.Worker {
	before := worker
	held := worker.Held()
	alone := worker.Alone
	worker.State = outcomes.WorkerOver
	if why == leaseExpired && podExit.State != PodExitEnded {
		// It may call again when the network is back; a pod that has ended cannot.
		worker.State = outcomes.WorkerLapsed
	}
	worker.Keep(indexset.Set{})
	s.account(&before, &worker)
	defer s.closeWhenDone()

	switch {
	case before.State == outcomes.WorkerLeft, before.State == outcomes.WorkerOver:
		// It had nothing left to do, or this is known.
	case podExit.Terminating, podExit.State == PodExitDisrupted, podExit.State == PodExitRunning,
		podExit.State == PodExitEnded && podExit.ExitCode == 0:
		s.giveBack(held, alone)
	case podExit.State == PodExitEnded:
		s.died(&before, held, podExit)
	default:
		s.giveBack(held, held.Len() > 1 || alone)
	}
	return worker
}

// died is an unexplained death.
func (s *runState) died(worker *outcomes.Worker, held indexset.Set, podExit PodExit) {
	s.row.Deaths++
	cause := exitMessage(podExit)
	s.trouble(outcomes.ErrorText{Type: ErrorWorkerDied, Message: cause}, false)
	if held.Len() != 1 {
		// Deaths that charge an input are counted in Deaths alone: they end by themselves when the budgets are used up.
		s.row.Barren++
		s.giveBack(held, true)
		s.endWithoutProgress()
		return
	}
	index := held.Min()
	exhausted, attempts := s.charge(index)
	if !exhausted {
		s.giveBack(held, true)
		s.endWithoutProgress()
		return
	}
	s.add(outcomes.Outcome{
		Index:            index,
		Status:           outcomes.Failed,
		Error:            &outcomes.ErrorText{Type: ErrorWorkerDied, Message: cause + " while it had this input alone"},
		Attempts:         attempts,
		AssignedMicros:   worker.Assigned(index),
		StartMicros:      worker.Assigned(index),
		CompletionMicros: s.now,
		WorkerID:         worker.ID,
	})
	s.endAfterFailures()
	// Not Deaths: where every input kills its container, the run must end before each has had its two.
	s.row.Barren = 0
	s.endWithoutProgress()
}

// howItEnded says in words how a container died.
func exitMessage(podExit PodExit) string {
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
func (s *runState) trouble(text outcomes.ErrorText, load bool) {
	s.row.Trouble, s.row.TroubleLoad = text, load
}

// loadFailed takes a worker's word that the module cannot be loaded. What it holds it keeps: nothing of it was executed.
func (s *runState) loadFailed(text *exchange.ErrorText) {
	s.row.Deaths++
	s.row.Barren++
	s.trouble(storedError(text), true)
	s.endWithoutProgress()
}

// endBarren ends a run whose workers die again and again without one outcome.
func (s *runState) endWithoutProgress() {
	limit := max(s.run.Workers, 1) + 2
	if s.row.Barren < limit && s.row.Deaths < 3*limit {
		return
	}
	reason := v1alpha1.ReasonWorkersDied
	if s.row.TroubleLoad {
		reason = v1alpha1.ReasonModuleNotLoaded
	}
	s.beginClosing(reason, outcomes.Failed, s.row.Trouble)
}

// endFailing ends a run of which more inputs have failed or timed out than it bears.
func (s *runState) endAfterFailures() {
	if s.run.MaxFailures == nil || s.row.Done() >= s.row.Total {
		return
	}
	maxFailures, failures := *s.run.MaxFailures, s.row.Failed+s.row.TimedOut
	if failures <= maxFailures {
		return
	}
	s.beginClosing(v1alpha1.ReasonMaxFailuresExceeded, outcomes.Cancelled, outcomes.ErrorText{
		Type: v1alpha1.ReasonMaxFailuresExceeded,
		Message: fmt.Sprintf("%s failed or timed out, and the run bears %d (spec.maxFailures): the inputs without an outcome were not executed to their end",
			counted(failures, "input"), maxFailures),
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
func (s *runState) beginClosing(reason string, status outcomes.Status, text outcomes.ErrorText) {
	if s.row.Closing != "" || s.row.Closed {
		return
	}
	s.row.Closing, s.row.ClosingStatus, s.row.ClosingError = reason, status, text
	s.row.Returned, s.row.Suspects, s.row.Delayed, s.row.Next = indexset.Set{}, indexset.Set{}, nil, s.row.Total
	s.row.Live, s.row.Busy, s.row.Queued = 0, 0, 0
	s.row.FillNext = 0
	s.fenced, s.freed = true, true
}
