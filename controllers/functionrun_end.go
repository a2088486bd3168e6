package controllers

import (
	"context"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// leaveTime is what workers get to leave by themselves after the end of their run: the exchange has told them that nothing
// is left.
const leaveTime = 10 * time.Second

// watchJob says how the run's Job goes, and what follows when it is over before the run is.
func (r *RunReconciler) watchJob(ctx context.Context, p *runPass, job *batchv1.Job) (ctrl.Result, error) {
	run := p.run
	if failed := jobCondition(job, batchv1.JobFailed); failed != nil {
		r.end(p, v1alpha1.ReasonJobFailed, fmt.Sprintf("The Job %s failed (%s): %s",
			job.Name, failed.Reason, sentence(cut(failed.Message, foreignTextLimit))))
		r.describe(p, endingFinding(run))
		return ctrl.Result{}, nil // waiting for the API server's closing report
	}
	if done := jobCondition(job, batchv1.JobComplete); done != nil {
		return r.jobOver(p, job, done)
	}
	left, kept, err := r.resize(ctx, p, job)
	if err != nil {
		return ctrl.Result{}, err
	}
	pods, err := r.podsOf(ctx, run)
	if err != nil {
		return ctrl.Result{}, err
	}
	noteDigest(run, pods)
	f, recheck := workingFinding(run, job, crewOf(pods, job.UID, p.now), p.now)
	f.message = strings.TrimSpace(f.message + " " + kept)
	r.describe(p, f)
	return ctrl.Result{RequeueAfter: soonest(left, recheck)}, nil
}

// jobOver: every worker has exited with 0, which means "nothing is left for me" and not "the run is done". Usually the API
// server is about to report the last outcomes. Where it doesn't, workers were sent away by the end of their pods (a drained
// node) and took nothing with them: the next Job goes on. Jobs that end again and again without an outcome end the run.
func (r *RunReconciler) jobOver(p *runPass, job *batchv1.Job, done *batchv1.JobCondition) (ctrl.Result, error) {
	run := p.run
	if left := reportPause - p.now.Sub(done.LastTransitionTime.Time); left > 0 {
		r.describe(p, finding{standingProgressing, v1alpha1.ReasonRunning, "All workers have left; waiting for the API server's report."})
		return ctrl.Result{RequeueAfter: left}, nil
	}
	if count := fruitless(job, outcomes(run)); count >= mostFruitless {
		r.end(p, v1alpha1.ReasonJobFailed, fmt.Sprintf("%d Jobs in a row are over without one outcome.", count))
		r.describe(p, endingFinding(run))
		return ctrl.Result{}, nil // waiting for the API server's closing report
	}
	r.nextJob(p, following(run.Status.Job.Number))
	return ctrl.Result{}, nil // the write wakes the next pass
}

// suspend takes the run's workers away. They hand back what they hold when they are told to end; resuming makes the next
// Job.
func (r *RunReconciler) suspend(ctx context.Context, p *runPass, jobs runJobs) (ctrl.Result, error) {
	for _, job := range append(jobs.older, jobs.current) {
		if job == nil || job.DeletionTimestamp != nil {
			continue
		}
		if err := r.deleteJob(ctx, job); err != nil {
			return ctrl.Result{}, err
		}
	}
	// The Job is as good as deleted, whether this manager saw it or one before it made it: the uid tells "deleted".
	if jobs.current != nil && p.run.Status.Job.UID != jobs.current.UID {
		r.recordJob(p, jobs.current.UID)
	}
	r.describe(p, suspendedFinding(jobs.current))
	return ctrl.Result{}, nil // waiting for spec.suspend to become false
}

func suspendedFinding(job *batchv1.Job) finding {
	message := "spec.suspend is set: the run has no workers until it is false again."
	if job != nil {
		message = "spec.suspend is set: the workers hand back what they hold and leave."
	}
	return finding{standingWaiting, v1alpha1.ReasonSuspended, message}
}

// tidy is all that is left to do for a finished run: its Jobs go, and the run itself when its time to live is over.
func (r *RunReconciler) tidy(ctx context.Context, p *runPass) (ctrl.Result, error) {
	run := p.run
	list := &batchv1.JobList{}
	if err := r.List(ctx, list, client.InNamespace(run.Namespace), client.MatchingFields{indexJobRun: string(run.UID)}); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing the Jobs of the finished run: %w", err)
	}
	pods, err := r.podsOf(ctx, run)
	if err != nil {
		return ctrl.Result{}, err
	}
	noteDigest(run, pods)
	var next time.Duration
	for i := range list.Items {
		job := &list.Items[i]
		if job.DeletionTimestamp != nil {
			continue
		}
		if left := leaveLeft(run, job, crewOf(pods, job.UID, p.now), p.now); left > 0 {
			next = soonest(next, left)
			continue
		}
		if err := r.deleteJob(ctx, job); err != nil {
			return ctrl.Result{}, err
		}
	}
	left, err := r.expire(ctx, p)
	return ctrl.Result{RequeueAfter: soonest(next, left)}, err
}

// leaveLeft is how long a finished run's Job may stay so that its workers leave by themselves. A pod that is still waiting
// must not get a GPU any more: then the Job goes at once.
func leaveLeft(run *v1alpha1.FunctionRun, job *batchv1.Job, c crew, now time.Time) time.Duration {
	if c.waiting > 0 || job.Status.Active == 0 || run.Status.CompletionTime == nil {
		return 0
	}
	return max(leaveTime-now.Sub(run.Status.CompletionTime.Time), 0)
}

// expire deletes the run when ttlSecondsAfterFinished has passed since its end, and says how long that is yet.
func (r *RunReconciler) expire(ctx context.Context, p *runPass) (time.Duration, error) {
	run := p.run
	until, limited := run.ExpirationTime()
	if !limited {
		return 0, nil
	}
	if left := until.Sub(p.now); left > 0 {
		return left, nil
	}
	// With the resourceVersion: somebody may be raising the ttl at this moment.
	err := r.Delete(ctx, run, client.Preconditions{UID: &run.UID, ResourceVersion: &run.ResourceVersion})
	if apierrors.IsConflict(err) {
		return conflictPause, nil
	}
	if client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("deleting the run at the end of its time to live: %w", err)
	}
	log.FromContext(ctx).Info("Deleted the run at the end of its time to live", "run", klog.KObj(run))
	return 0, nil
}

// namespaceTerminating: the run goes with its namespace.
func (r *RunReconciler) namespaceTerminating(ctx context.Context, name string) (bool, error) {
	namespace := namespaceMetadata()
	if err := r.Get(ctx, client.ObjectKey{Name: name}, namespace); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil // newer than the cache
		}
		return false, fmt.Errorf("looking up the namespace: %w", err)
	}
	return namespace.DeletionTimestamp != nil, nil
}

// leaveNamespace deletes the Jobs of a run whose namespace is being deleted. Kubernetes deletes pods before anything else
// there, and a Job that counts failures per index holds on to each of its ended pods until it has made the next, which it
// may not do there any more: each would wait for the other, and the namespace would stay for ever.
func (r *RunReconciler) leaveNamespace(ctx context.Context, run *v1alpha1.FunctionRun) error {
	list := &batchv1.JobList{}
	if err := r.List(ctx, list, client.InNamespace(run.Namespace), client.MatchingFields{indexJobRun: string(run.UID)}); err != nil {
		return fmt.Errorf("listing the Jobs of a run whose namespace is being deleted: %w", err)
	}
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp != nil {
			continue
		}
		if err := r.deleteJob(ctx, &list.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// deleteJob deletes a Job and, by the garbage collector, its pods. One that is gone or was replaced is left alone.
func (r *RunReconciler) deleteJob(ctx context.Context, job *batchv1.Job) error {
	err := r.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &job.UID})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting the Job %s: %w", job.Name, err)
	}
	return nil
}

func (r *RunReconciler) podsOf(ctx context.Context, run *v1alpha1.FunctionRun) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := r.List(ctx, list, client.InNamespace(run.Namespace), client.MatchingFields{indexPodRun: string(run.UID)}); err != nil {
		return nil, fmt.Errorf("listing the pods of the run: %w", err)
	}
	return list.Items, nil
}

// noteDigest records the image's digest from the first worker that reports it.
func noteDigest(run *v1alpha1.FunctionRun, pods []corev1.Pod) {
	for i := range pods {
		if run.Status.ImageDigest != "" {
			return
		}
		if workerOf(&pods[i], run) {
			run.Status.ImageDigest = digestOf(&pods[i])
		}
	}
}

// soonest is the shorter of two waits, where zero means none.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
