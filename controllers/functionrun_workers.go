package controllers

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// aloneTime is what the first worker gets before the others follow it.
const aloneTime = time.Second

// wantedWorkers is how many workers the run shall have now: what it says itself, which may change while it runs, else what
// it has pinned.
func wantedWorkers(run *v1alpha1.FunctionRun) int32 {
	pin := run.Status.Revision
	return within(min(pin.InputCount, ptr.Deref(run.Spec.Workers, pin.Workers)), 0, v1alpha1.MaxWorkers)
}

// jobSize is the size of a Job: how many workers it is over with, and how many of them work at the same time.
type jobSize struct{ completions, parallelism int32 }

func sizeOf(job *batchv1.Job) jobSize {
	return jobSize{ptr.Deref(job.Spec.Completions, 0), ptr.Deref(job.Spec.Parallelism, 0)}
}

// nextSize is the size that a Job is to get, and how long it is until then where its first worker is still alone.
//
// An Indexed Job takes other completions only together with the same parallelism: all workers at once then.
func nextSize(is jobSize, wanted int32, alone time.Duration) (jobSize, time.Duration) {
	next := is
	switch {
	case wanted != is.completions:
		next = jobSize{wanted, wanted}
	case is.parallelism < is.completions:
		next.parallelism = is.completions
	}
	if next != is && alone > 0 {
		return is, alone
	}
	return next, 0
}

// resize gives the Job the workers that the run shall have. It begins with one, and the others follow a moment later: a run
// that one worker is done with at once would otherwise start pods, and take GPUs, for nothing, and they would take the
// node's processors from the one that works. Afterwards the number follows spec.workers: the Job controller ends the pods
// with the highest indexes, which hand back what they hold, or makes more.
//
// It says how long it is until then, and in words why the number stays where it does.
//
// Nobody else writes parallelism: a queue that admits Jobs by it needs the Job to have all workers from the beginning. Such
// a queue has promised room for so many, and would end a Job that takes another size.
func (r *RunReconciler) resize(ctx context.Context, p *runPass, job *batchv1.Job) (left time.Duration, kept string, err error) {
	run, is := p.run, sizeOf(job)
	run.Status.Workers = is.completions
	wanted := wantedWorkers(run)
	if queue := queueOf(run, job); queue != "" && wanted != is.completions {
		kept = fmt.Sprintf("spec.workers asks for %d workers, and the queue %s has admitted the run with %d: that stays until the run is suspended and resumed.",
			wanted, queue, is.completions)
		wanted = is.completions
	}
	next, left := nextSize(is, wanted, within(aloneTime-p.now.Sub(madeAt(job)), 0, aloneTime))
	if next == is {
		return left, kept, nil
	}
	resized := job.DeepCopy()
	resized.Spec.Completions, resized.Spec.Parallelism = &next.completions, &next.parallelism
	err = r.Patch(ctx, resized, client.MergeFrom(job), client.FieldOwner(v1alpha1.FieldManagerController))
	switch {
	case apierrors.IsNotFound(err):
		return 0, kept, nil // its watch wakes this run
	case apierrors.IsInvalid(err) || apierrors.IsForbidden(err):
		return refusedPause, fmt.Sprintf("The cluster refused to give the Job %s %d workers: %s", job.Name, next.completions,
			sentence(cut(err.Error(), foreignTextLimit))), nil
	case err != nil:
		return 0, "", fmt.Errorf("giving the Job %s %d workers: %w", job.Name, next.completions, err)
	}
	run.Status.Workers = next.completions
	if next.completions != is.completions {
		text := fmt.Sprintf("The run has up to %d workers now; before it had %d.", next.completions, is.completions)
		p.afterWrite(func() { r.tell.normal(run, eventResized, actionResize, text) })
		log.FromContext(ctx).Info("Gave the Job another number of workers", "run", klog.KObj(run), "job", job.Name,
			"before", is.completions, "workers", next.completions)
	}
	return 0, kept, nil
}

// queueOf is the name of the queue that admits the run's Job; "" where none does.
func queueOf(run *v1alpha1.FunctionRun, job *batchv1.Job) string {
	if queue := job.Labels[v1alpha1.LabelQueue]; queue != "" {
		return queue
	}
	return run.Labels[v1alpha1.LabelQueue]
}

// madeAt is when the Job was built; where its annotation was lost, when it was created.
func madeAt(job *batchv1.Job) time.Time {
	if micros := numberOf(job.Annotations, annotationMade, v1alpha1.MaxCount); micros > 0 {
		return time.UnixMicro(micros)
	}
	return job.CreationTimestamp.Time
}
