package status

import (
	"fmt"
	"regexp"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
)

// RunFinished reports whether the end of a run is recorded.
func RunFinished(run *v1alpha1.FunctionRun) bool {
	return meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionFinished)
}

// RunEnding reports whether the API server was asked to close the run.
func RunEnding(run *v1alpha1.FunctionRun) bool {
	return meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionEnding)
}

// RunClosed reports whether the API server has closed the run.
func RunClosed(run *v1alpha1.FunctionRun) bool {
	return run.Status.Progress != nil && run.Status.Progress.Closed
}

// RunWriter writes the conditions of a run.
func RunWriter(run *v1alpha1.FunctionRun, now time.Time) Writer {
	return Writer{Conditions: &run.Status.Conditions, Generation: run.Generation, Now: now}
}

// DescribeRun writes all conditions of an unfinished run. It reports whether the change calls for an event.
func DescribeRun(run *v1alpha1.FunctionRun, state ConditionState, now time.Time) (changed bool) {
	w := RunWriter(run, now)
	changed = w.Write(state)
	for _, end := range []string{v1alpha1.ConditionComplete, v1alpha1.ConditionFailed, v1alpha1.ConditionFinished} {
		w.set(end, false, v1alpha1.ReasonNotFinished, "")
	}
	if state.Reason == v1alpha1.ReasonSuspended {
		w.set(v1alpha1.ConditionSuspended, true, v1alpha1.ReasonSuspended, state.Message)
	} else {
		w.set(v1alpha1.ConditionSuspended, false, v1alpha1.ReasonNotSuspended, "")
	}
	if !RunEnding(run) {
		w.set(v1alpha1.ConditionEnding, false, v1alpha1.ReasonNotEnding, "")
	}
	return changed
}

// StartEnding asks the API server to close the run. An end is final, so the first reason stays.
func StartEnding(run *v1alpha1.FunctionRun, reason, message string, now time.Time) (changed bool) {
	if RunEnding(run) {
		return false
	}
	return RunWriter(run, now).set(v1alpha1.ConditionEnding, true, reason, message)
}

// RunEndingState is the state of a run until the API server has closed it.
func RunEndingState(run *v1alpha1.FunctionRun) ConditionState {
	ending := ptr.Deref(meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionEnding), metav1.Condition{})
	return Progressing(ending.Reason, ending.Message+" Waiting for the API server to record an outcome for every input.")
}

// RunSuspendedState is the state of a suspended run. hasJob is true while its Job still exists.
func RunSuspendedState(hasJob bool) ConditionState {
	if hasJob {
		return Waiting(v1alpha1.ReasonSuspended, "spec.suspend is set: the workers return their inputs and exit.")
	}
	return Waiting(v1alpha1.ReasonSuspended, "spec.suspend is set: the run has no workers until it is false again.")
}

// RunStartingState is the state of a run whose Job exists and whose workers have not started.
func RunStartingState(job string) ConditionState {
	return Progressing(v1alpha1.ReasonStarting, fmt.Sprintf("The Job %s exists; no worker has taken an input yet.", job))
}

// FinishRun records the end of a run.
func FinishRun(run *v1alpha1.FunctionRun, complete bool, reason, message string, now time.Time) {
	w := RunWriter(run, now)
	if complete {
		w.Write(Ready(reason, message))
	} else {
		w.Write(Stalled(reason, message))
	}
	w.set(v1alpha1.ConditionComplete, complete, reason, onlyIf(complete, message))
	w.set(v1alpha1.ConditionFailed, !complete, reason, onlyIf(!complete, message))
	w.set(v1alpha1.ConditionFinished, true, reason, message)
	w.set(v1alpha1.ConditionSuspended, false, v1alpha1.ReasonNotSuspended, "")
	if !RunEnding(run) {
		w.set(v1alpha1.ConditionEnding, false, v1alpha1.ReasonNotEnding, "")
	}
	run.Status.CompletionTime = &metav1.Time{Time: now}
}

// reasonPattern is the form that the API requires of a condition's reason.
var reasonPattern = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9_])?$`)

// Verdict is how a run ended, from the API server's closing report.
func Verdict(progress *v1alpha1.RunProgress) (complete bool, reason, message string) {
	if progress.Succeeded == progress.Total {
		return true, v1alpha1.ReasonSucceeded, progress.SucceededSentence()
	}
	reason = v1alpha1.ReasonInputsFailed
	if reasonPattern.MatchString(progress.Reason) {
		reason = progress.Reason
	}
	switch {
	case reason == v1alpha1.ReasonCancelled:
		return false, reason, "The run was cancelled: " + progress.UnsuccessfulSentence()
	case progress.Message != "":
		return false, reason, values.Foreign(progress.Message) + " " + progress.UnsuccessfulSentence()
	default:
		return false, reason, progress.UnsuccessfulSentence()
	}
}
