package status

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
)

// noPodsTimeout is how long a Job may be without pods before the condition mentions it.
const noPodsTimeout = 10 * time.Second

// RunningState is the state of a run whose Job exists, from its pods and the API server's report. recheck is when time alone
// changes the state; it is zero when a watch triggers the next reconciliation.
func RunningState(run *v1alpha1.FunctionRun, job *batchv1.Job, workers Workers, now time.Time) (state ConditionState, recheck time.Duration) {
	state = stateOfWorkers(run, job, workers)
	progress := ptr.Deref(run.Status.Progress, v1alpha1.RunProgress{})
	if progress.Message != "" {
		// The exchange knows from inside the workers why they exit (a module that cannot be loaded): its reason is more precise.
		if workers.Running == 0 && reasonPattern.MatchString(progress.Reason) {
			state.Reason, state.Message = progress.Reason, ""
		}
		state.Message = strings.TrimSpace(state.Message + " " + values.Foreign(progress.Message))
	}
	return stateWithoutPods(state, job, workers, now)
}

func stateOfWorkers(run *v1alpha1.FunctionRun, job *batchv1.Job, workers Workers) ConditionState {
	problem := workers.Problem
	switch {
	case workers.Running > 0 || run.Status.Progress != nil && run.Status.Progress.Running > 0:
		if problem == nil || workers.Waiting == 0 {
			return Progressing(v1alpha1.ReasonRunning, v1alpha1.MessageWorkersRunning+".")
		}
		wanted := ptr.Deref(values.NonZero(run.Status.Workers), run.Status.Revision.Workers)
		return Progressing(v1alpha1.ReasonRunning, fmt.Sprintf("%s; %d of %d are waiting: %s.",
			v1alpha1.MessageWorkersRunning, workers.Waiting, wanted, values.TrimFullStop(problem.Message)))
	case problem != nil:
		message := values.WithFullStop(values.Capitalize(problem.Message))
		if problem.Reason == v1alpha1.ReasonWorkersDied {
			message += " Kubernetes starts a replacement, with an increasing delay."
		}
		return Progressing(problem.Reason, message)
	case run.Outcomes() > 0:
		return Progressing(v1alpha1.ReasonRunning, v1alpha1.MessageWorkersRunning+".")
	}
	return RunStartingState(job.Name)
}

// stateWithoutPods mentions that the Job controller creates no pods: a quota or a policy that refuses them shows in events alone.
func stateWithoutPods(state ConditionState, job *batchv1.Job, workers Workers, now time.Time) (ConditionState, time.Duration) {
	if state.Reason != v1alpha1.ReasonStarting || workers.Running+workers.Waiting+workers.Died > 0 || ptr.Deref(job.Spec.Suspend, false) {
		return state, workers.Recheck
	}
	if left := noPodsTimeout - now.Sub(job.CreationTimestamp.Time); left > 0 {
		return state, left
	}
	state.Message = fmt.Sprintf(
		"The Job %s has had no pods for more than %d seconds: a quota or a policy may refuse them (see kubectl describe job %s).",
		job.Name, int(noPodsTimeout.Seconds()), job.Name)
	return state, workers.Recheck
}
