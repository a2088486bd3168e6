package controllers

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// noPodsFor is how long a Job may be without any pod before that is worth a word.
const noPodsFor = 10 * time.Second

func runIs(run *v1alpha1.FunctionRun, condition string) bool {
	return meta.IsStatusConditionTrue(run.Status.Conditions, condition)
}

func runFinished(run *v1alpha1.FunctionRun) bool { return runIs(run, v1alpha1.ConditionFinished) }
func runEnding(run *v1alpha1.FunctionRun) bool   { return runIs(run, v1alpha1.ConditionEnding) }

func runClosed(run *v1alpha1.FunctionRun) bool {
	return run.Status.Progress != nil && run.Status.Progress.Closed
}

// outcomes is how many inputs have their outcome, as far as the API server has reported.
func outcomes(run *v1alpha1.FunctionRun) int32 {
	progress := ptr.Deref(run.Status.Progress, v1alpha1.RunProgress{})
	sum := int64(progress.Succeeded) + int64(progress.Failed) + int64(progress.TimedOut) + int64(progress.Cancelled)
	return int32(within(sum, 0, int64(v1alpha1.MaxInputs)))
}

func runConditions(run *v1alpha1.FunctionRun, now time.Time) conditionWriter {
	return conditionWriter{conditions: &run.Status.Conditions, generation: run.Generation, now: now}
}

// describeUnfinished writes all conditions of a run that goes on. It says whether people should be told.
func describeUnfinished(run *v1alpha1.FunctionRun, f finding, now time.Time) bool {
	w := runConditions(run, now)
	changed := w.stand(f.standing, f.reason, f.message)
	for _, end := range []string{v1alpha1.ConditionComplete, v1alpha1.ConditionFailed, v1alpha1.ConditionFinished} {
		w.set(end, false, v1alpha1.ReasonNotFinished, "")
	}
	suspended := f.reason == v1alpha1.ReasonSuspended
	w.set(v1alpha1.ConditionSuspended, suspended, suspendedReason(suspended), only(suspended, f.message))
	if !runEnding(run) {
		w.set(v1alpha1.ConditionEnding, false, v1alpha1.ReasonNotEnding, "")
	}
	return changed
}

func suspendedReason(suspended bool) string {
	if suspended {
		return v1alpha1.ReasonSuspended
	}
	return v1alpha1.ReasonNotSuspended
}

// startEnding asks the API server to close the run. The first reason stays: an end is not taken back.
func startEnding(run *v1alpha1.FunctionRun, reason, message string, now time.Time) bool {
	if runEnding(run) {
		return false
	}
	return runConditions(run, now).set(v1alpha1.ConditionEnding, true, reason, message)
}

// endingFinding is how a run stands while it waits for the API server to close it.
func endingFinding(run *v1alpha1.FunctionRun) finding {
	ending := ptr.Deref(meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionEnding), metav1.Condition{})
	return finding{standingProgressing, ending.Reason,
		ending.Message + " Waiting for the API server to give every input its outcome."}
}

// finishRun writes the end of a run.
func finishRun(run *v1alpha1.FunctionRun, complete bool, reason, message string, now time.Time) {
	w := runConditions(run, now)
	if complete {
		w.stand(standingReady, reason, message)
	} else {
		w.stand(standingStalled, reason, message)
	}
	w.set(v1alpha1.ConditionComplete, complete, reason, only(complete, message))
	w.set(v1alpha1.ConditionFailed, !complete, reason, only(!complete, message))
	w.set(v1alpha1.ConditionFinished, true, reason, message)
	w.set(v1alpha1.ConditionSuspended, false, v1alpha1.ReasonNotSuspended, "")
	if !runEnding(run) {
		w.set(v1alpha1.ConditionEnding, false, v1alpha1.ReasonNotEnding, "")
	}
	run.Status.CompletionTime = &metav1.Time{Time: now}
}

// The API refuses a condition whose reason is not of this form.
var reasonPattern = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9_])?$`)

// verdict reads the end of a run out of the API server's closing report.
func verdict(progress *v1alpha1.RunProgress) (complete bool, reason, message string) {
	if progress.Succeeded == progress.Total {
		if progress.Total == 1 {
			return true, v1alpha1.ReasonSucceeded, "The only input succeeded."
		}
		return true, v1alpha1.ReasonSucceeded, fmt.Sprintf("All %d inputs succeeded.", progress.Total)
	}
	reason = v1alpha1.ReasonInputsFailed
	if reasonPattern.MatchString(progress.Reason) {
		reason = progress.Reason
	}
	counts := countsOf(progress)
	switch {
	case reason == v1alpha1.ReasonCancelled:
		return false, reason, "The run was cancelled: " + counts
	case progress.Message != "":
		return false, reason, cut(sentence(progress.Message), foreignTextLimit) + " " + upper(counts)
	default:
		return false, reason, upper(counts)
	}
}

// countsOf says which inputs did not succeed: "3 of 100 inputs did not succeed (2 failed, 1 timed out): indexes 4,7-8."
func countsOf(progress *v1alpha1.RunProgress) string {
	var parts []string
	for _, part := range []struct {
		count int32
		word  string
	}{{progress.Failed, "failed"}, {progress.TimedOut, "timed out"}, {progress.Cancelled, "cancelled"}} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.word))
		}
	}
	text := fmt.Sprintf("%d of %d inputs did not succeed", progress.Total-progress.Succeeded, progress.Total)
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	if progress.FailedIndexes != "" {
		text += ": indexes " + firstIndexes(progress.FailedIndexes)
	}
	return text + ". The subresource functionruns/results has the error of each."
}

// firstIndexes is the beginning of a compressed list, cut between two of its parts.
func firstIndexes(list string) string {
	const limit = 128
	if len(list) <= limit {
		return list
	}
	if end := strings.LastIndexByte(list[:limit], ','); end > 0 {
		return list[:end] + ",…"
	}
	return cut(list, limit)
}

// workingFinding says how a run stands whose Job exists: what its pods and the API server's report say together. The
// duration is when to look again because time alone changes the answer; zero means that a watch will tell.
func workingFinding(run *v1alpha1.FunctionRun, job *batchv1.Job, c crew, now time.Time) (finding, time.Duration) {
	progress := ptr.Deref(run.Status.Progress, v1alpha1.RunProgress{})
	f := finding{standing: standingProgressing}
	switch {
	case c.running > 0 || progress.Running > 0:
		f.reason, f.message = v1alpha1.ReasonRunning, "Workers are at it."
		if c.trouble != nil && c.waiting > 0 {
			f.message = fmt.Sprintf("Workers are at it; %d of %d wait: %s.", c.waiting, ptr.Deref(nonZero(run.Status.Workers), run.Status.Revision.Workers), trimStop(c.trouble.message))
		}
	case c.trouble != nil:
		f.reason, f.message = c.trouble.reason, sentence(upper(c.trouble.message))
		if c.trouble.reason == v1alpha1.ReasonWorkersDied {
			f.message += " Another one is started, later and later."
		}
	case outcomes(run) > 0:
		f.reason, f.message = v1alpha1.ReasonRunning, "Workers are at it."
	default:
		f.reason, f.message = v1alpha1.ReasonStarting, fmt.Sprintf("The Job %s exists; no worker has taken an input yet.", job.Name)
	}
	if progress.Message != "" {
		// What the exchange sees from inside the workers (a module that cannot be loaded) tells more than how they died.
		if c.running == 0 && reasonPattern.MatchString(progress.Reason) {
			f.reason, f.message = progress.Reason, ""
		}
		f.message = strings.TrimSpace(f.message + " " + sentence(cut(progress.Message, foreignTextLimit)))
	}
	return withoutPods(f, job, c, now)
}

// withoutPods adds a hint when the Job controller makes no pods: a quota or a policy that refuses them is told in events
// alone.
func withoutPods(f finding, job *batchv1.Job, c crew, now time.Time) (finding, time.Duration) {
	if f.reason != v1alpha1.ReasonStarting || c.running+c.waiting+c.died > 0 || ptr.Deref(job.Spec.Suspend, false) {
		return f, c.recheck
	}
	if left := noPodsFor - now.Sub(job.CreationTimestamp.Time); left > 0 {
		return f, left
	}
	f.message = fmt.Sprintf(
		"The Job %s has had no pods for more than %d seconds: a quota or a policy may refuse them (kubectl describe job %s says which).",
		job.Name, int(noPodsFor.Seconds()), job.Name)
	return f, c.recheck
}

// jobCondition is the time and the words of a condition that is True; nil where it is not.
func jobCondition(job *batchv1.Job, conditionType batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if c := &job.Status.Conditions[i]; c.Type == conditionType && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

func sentence(text string) string {
	if text == "" {
		return ""
	}
	return trimStop(text) + "."
}

func trimStop(text string) string { return strings.TrimRight(text, " .\n") }

func upper(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
