package controllers

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
	"sharedcloud.io/function-operator/controllers/workload"
)

// firstWorkerLead is how long the first worker works alone before the others start.
const firstWorkerLead = time.Second

// resize gives the Job the workers that the run should have. A Job starts with one worker, and the others follow a moment later: a
// run that one worker completes at once then starts no needless pods, which would take GPUs, and the node's processors from that
// worker. Afterwards the number follows spec.workers: the Job controller terminates the pods with the highest indexes, which return
// their inputs, or creates more.
//
// left is when to call it again. message, for the condition, is why the number of workers differs from spec.workers.
//
// Nothing else writes parallelism: a queue that admits Jobs by it needs the Job to have all workers from the start. Such a queue has
// reserved room for that many, and would end a Job that changes its size.
func (r *RunReconciler) resize(ctx context.Context, u *runUpdate, job *batchv1.Job) (left time.Duration, message string, err error) {
	run, size := u.run, workload.SizeOf(job)
	run.Status.Workers = size.Completions
	workers := run.WantedWorkers()
	if queue := workload.QueueOf(run, job); queue != "" && workers != size.Completions {
		message = fmt.Sprintf("spec.workers asks for %d workers, but the queue %s has admitted the run with %d: suspend and resume the run to change the number.",
			workers, queue, size.Completions)
		workers = size.Completions
	}
	next, left := workload.NextSize(size, workers, values.Clamp(firstWorkerLead-u.now.Sub(workload.BuiltAt(job)), 0, firstWorkerLead))
	if next == size {
		return left, message, nil
	}
	resized := job.DeepCopy()
	resized.Spec.Completions, resized.Spec.Parallelism = &next.Completions, &next.Parallelism
	err = r.Patch(ctx, resized, client.MergeFrom(job), client.FieldOwner(v1alpha1.FieldManagerController))
	switch {
	case apierrors.IsNotFound(err):
		return 0, message, nil // the Job's watch triggers the next reconciliation
	case apierrors.IsInvalid(err) || apierrors.IsForbidden(err):
		return refusedInterval, fmt.Sprintf("The cluster refused to resize the Job %s to %d workers: %s",
			job.Name, next.Completions, values.Foreign(err.Error())), nil
	case err != nil:
		return 0, "", fmt.Errorf("resizing the Job %s to %d workers: %w", job.Name, next.Completions, err)
	}
	run.Status.Workers = next.Completions
	if next.Completions != size.Completions {
		text := fmt.Sprintf("The run now has up to %d workers instead of %d", next.Completions, size.Completions)
		u.afterWrite(func() { r.events.normal(run, eventResized, actionResize, text) })
		log.FromContext(ctx).Info("Resized the Job", "run", klog.KObj(run), "job", job.Name,
			"workersBefore", size.Completions, "workers", next.Completions)
	}
	return 0, message, nil
}
