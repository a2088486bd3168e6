package work

import (
	"fmt"
	"strings"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// Types of the errors that the exchange gives to an input.
const (
	// ErrorWorkerDied: the container died while this was its only input.
	ErrorWorkerDied = "WorkerDied"
	// ErrorResultTooLarge: the result exceeds the limit of an outcome.
	ErrorResultTooLarge = "ResultTooLarge"
)

// leaseEnd is the reason why a worker's lease ends.
type leaseEnd int

const (
	// podHasEnded: the pod has ended, or its completion index came back as another pod.
	podHasEnded leaseEnd = iota
	// leaseExpired: the worker did not call in time.
	leaseExpired
)

// endLease ends a worker's lease: its inputs are returned, and the one that caused its death is charged. It returns the row to write.
//
// The effect of each pod exit:
//
//   - disrupted, or being terminated by Kubernetes: everything is returned, nothing is charged;
//   - ended with 0: the same; a supervisor exits with 0 while inputs are leased only after the action stop;
//   - ended otherwise, without an explanation: an only input is charged; several become suspects;
//   - running, and the lease expired: the network is partitioned or the node is suspended, which is no crash: the same as disrupted;
//   - gone or unknown: it is not known how the pod ended: several inputs become suspects, nothing is charged.
func (s *runState) endLease(worker outcomes.Worker, podExit PodExit, why leaseEnd) outcomes.Worker {
	before := worker
	held := worker.Held()
	alone := worker.Alone
	worker.State = outcomes.WorkerEnded
	if why == leaseExpired && podExit.State != PodExitEnded {
		// It may call again after a network partition; a pod that has ended cannot.
		worker.State = outcomes.WorkerLapsed
	}
	worker.Keep(indexset.Set{})
	s.account(&before, &worker)
	defer s.closeWhenDone()

	switch {
	case before.State == outcomes.WorkerLeft, before.State == outcomes.WorkerEnded:
		// It had no leased inputs, or its end was counted before.
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

// died handles the unexplained death of a worker.
func (s *runState) died(worker *outcomes.Worker, held indexset.Set, podExit PodExit) {
	s.row.Deaths++
	cause := exitMessage(podExit)
	s.trouble(outcomes.ErrorText{Type: ErrorWorkerDied, Message: cause}, false)
	if held.Len() != 1 {
		// A death that charges an input counts in Deaths only: such deaths stop when the inputs have used up their attempts.
		s.row.DeathsWithoutProgress++
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
		Error:            &outcomes.ErrorText{Type: ErrorWorkerDied, Message: cause + " while this was its only input"},
		Attempts:         attempts,
		AssignedMicros:   worker.Assigned(index),
		StartMicros:      worker.Assigned(index),
		CompletionMicros: s.now,
		WorkerID:         worker.ID,
	})
	s.endAfterFailures()
	// Deaths is not reset: if every input kills its container, the run must end before each has had its two attempts.
	s.row.DeathsWithoutProgress = 0
	s.endWithoutProgress()
}

// exitMessage describes how a container ended.
func exitMessage(podExit PodExit) string {
	code := fmt.Sprintf("exit code %d", podExit.ExitCode)
	switch {
	case podExit.Reason == "OOMKilled":
		return "the worker's container was killed by the kernel for memory (OOMKilled, " + code + ")"
	case podExit.ExitCode == 137:
		return "the worker's container was killed (SIGKILL, " + code + ")"
	case podExit.ExitCode > 128 && podExit.ExitCode < 160:
		return fmt.Sprintf("the worker's container was killed by signal %d (%s)", podExit.ExitCode-128, code)
	}
	sentence := "the worker's container ended by itself (" + code + ")"
	if message := printable.Cut(strings.TrimSpace(podExit.Message), 512); message != "" {
		sentence += ": " + message
	}
	return sentence
}

// trouble records the run's current problem.
func (s *runState) trouble(text outcomes.ErrorText, load bool) {
	s.row.Trouble, s.row.TroubleLoad = text, load
}

// endWithoutProgress ends a run whose workers die repeatedly without an outcome.
func (s *runState) endWithoutProgress() {
	limit := max(s.run.Workers, 1) + 2
	if s.row.DeathsWithoutProgress < limit && s.row.Deaths < 3*limit {
		return
	}
	reason := v1alpha1.ReasonWorkersDied
	if s.row.TroubleLoad {
		reason = v1alpha1.ReasonModuleNotLoaded
	}
	s.beginClosing(reason, outcomes.Failed, s.row.Trouble)
}

// endAfterFailures ends a run in which more inputs have failed or timed out than spec.maxFailures allows.
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
		Message: fmt.Sprintf("%s failed or timed out, and the limit is %d (spec.maxFailures): the inputs without an outcome were not executed to the end",
			counted(failures, "input"), maxFailures),
	})
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// beginClosing ends all leases, and hands out nothing more. Indexes without an outcome get the given one, chunk by chunk; until then, a
// report that is on its way still becomes the outcome.
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
