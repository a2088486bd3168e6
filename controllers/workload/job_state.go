package workload

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
)

// Jobs are the Jobs of a run, relative to the one that status.job names.
type Jobs struct {
	// Current is the Job that status.job names; nil if it does not exist.
	Current *batchv1.Job
	// Previous is the Job before it. It is kept until Current exists, because Current records what Previous achieved.
	Previous *batchv1.Job
	// Older are all Jobs before Current. A Job with a greater number is in none of these fields: it means that this copy of the
	// run is stale, and a newer one is on its way.
	Older []*batchv1.Job
}

// SortJobs sorts the Jobs of a run.
func SortJobs(list []batchv1.Job, current *v1alpha1.JobReference) Jobs {
	var jobs Jobs
	for i := range list {
		job := &list[i]
		switch {
		case current == nil:
		case job.Name == current.Name:
			jobs.Current = job
		case jobNumber(job) < current.Number:
			jobs.Older = append(jobs.Older, job)
			if jobNumber(job) == current.Number-1 {
				jobs.Previous = job
			}
		}
	}
	return jobs
}

func jobNumber(job *batchv1.Job) int32 { return jobCount(job, annotationNumber) }

func jobCount(job *batchv1.Job, annotation string) int32 {
	return int32(numberIn(job.Annotations, annotation, int64(v1alpha1.MaxJobNumber)))
}

// JobsWithoutProgress is how many consecutive Jobs, up to the last one, completed without adding an outcome. A Job that was
// deleted does not count: it was ended from outside.
func JobsWithoutProgress(last *batchv1.Job, outcomes int32) int32 {
	if last == nil || outcomes > jobCount(last, annotationOutcomes) {
		return 0
	}
	return jobCount(last, annotationWithoutProgress) + 1
}

// NextJobNumber is the number of the Job after the given one.
func NextJobNumber(number int32) int32 { return values.Clamp(number, 0, v1alpha1.MaxJobNumber-1) + 1 }

// RunOfJob is the uid of the run that a Job was created for, or "". The owner reference and the label, which a policy keeps others
// from setting, must agree.
func RunOfJob(job metav1.Object) types.UID {
	owner := metav1.GetControllerOf(job)
	if owner == nil || owner.Kind != "FunctionRun" || job.GetLabels()[v1alpha1.LabelRunUID] != string(owner.UID) {
		return ""
	}
	return owner.UID
}

// IsOfDeletedRun reports whether a Job belongs to a deleted run of the same name.
func IsOfDeletedRun(job *batchv1.Job, run *v1alpha1.FunctionRun) bool {
	owner := metav1.GetControllerOf(job)
	return owner != nil && owner.Kind == "FunctionRun" && owner.Name == run.Name && owner.UID != run.UID
}

// JobCondition is a condition of a Job that is True; nil if it is not.
func JobCondition(job *batchv1.Job, conditionType batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if c := &job.Status.Conditions[i]; c.Type == conditionType && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// BuiltAt is when a Job was built, or created if it lost its annotation.
func BuiltAt(job *batchv1.Job) time.Time {
	if micros := numberIn(job.Annotations, annotationBuilt, v1alpha1.MaxCount); micros > 0 {
		return time.UnixMicro(micros)
	}
	return job.CreationTimestamp.Time
}

// Size is the size of a Job: how many workers it has in all, and how many of them at the same time.
type Size struct{ Completions, Parallelism int32 }

// SizeOf reads the size of a Job.
func SizeOf(job *batchv1.Job) Size {
	return Size{ptr.Deref(job.Spec.Completions, 0), ptr.Deref(job.Spec.Parallelism, 0)}
}

// NextSize is the size that a Job should get. firstWorkerLead is the remaining time in which the first worker works alone; a
// change of the size waits for it, and wait is then how long.
//
// The completions of an Indexed Job can only change together with its parallelism, so it then gets all workers at once.
func NextSize(current Size, workers int32, firstWorkerLead time.Duration) (next Size, wait time.Duration) {
	next = current
	switch {
	case workers != current.Completions:
		next = Size{workers, workers}
	case current.Parallelism < current.Completions:
		next.Parallelism = current.Completions
	}
	if next != current && firstWorkerLead > 0 {
		return current, firstWorkerLead
	}
	return next, 0
}

// QueueOf is the name of the queue that admits the run's Job; "" without one.
func QueueOf(run *v1alpha1.FunctionRun, job *batchv1.Job) string {
	if queue := job.Labels[v1alpha1.LabelQueue]; queue != "" {
		return queue
	}
	return run.Labels[v1alpha1.LabelQueue]
}
