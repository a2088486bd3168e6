package controllers

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	batchac "k8s.io/client-go/applyconfigurations/batch/v1"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// refusedPause is how long a run waits before it asks again for a Job that the cluster refused: a quota may have room.
	refusedPause = 30 * time.Second
	// namesakePause is how often a run looks whether the Job of a deleted run of its name is gone.
	namesakePause = time.Second
	// reportPause is what the API server gets to report the outcomes of a Job whose workers have all said that nothing is
	// left for them.
	reportPause = 15 * time.Second
	// mostFruitless Jobs in a row may be over without adding an outcome. One may be: its node was drained before its
	// workers had done anything.
	mostFruitless = 3
)

// work sees to it that the pinned run has the Job it should have, and says how that goes.
func (r *RunReconciler) work(ctx context.Context, p *runPass) (ctrl.Result, error) {
	run := p.run
	jobs, err := r.jobsOf(ctx, run)
	if err != nil {
		return ctrl.Result{}, err
	}
	if run.Spec.Suspend {
		return r.suspend(ctx, p, jobs)
	}
	left, limited := timeLeft(run, jobs.current, p.now)
	if limited && left <= 0 {
		r.end(p, v1alpha1.ReasonDeadlineExceeded, deadlineMessage(run))
		r.describe(p, endingFinding(run))
		return ctrl.Result{}, nil // waiting for the API server's closing report
	}
	result, err := r.workOn(ctx, p, jobs)
	if err == nil && limited {
		result.RequeueAfter = soonest(result.RequeueAfter, left)
	}
	return result, err
}

func (r *RunReconciler) workOn(ctx context.Context, p *runPass, jobs runJobs) (ctrl.Result, error) {
	run := p.run
	if run.Status.Job == nil {
		r.nextJob(p, 1)
		return ctrl.Result{}, nil // the write wakes the next pass
	}
	if jobs.current == nil && run.Status.Job.UID == "" {
		return r.makeJob(ctx, p, jobs.previous)
	}
	if jobs.current == nil {
		return r.lostJob(ctx, p)
	}
	if jobs.current.DeletionTimestamp != nil {
		r.describe(p, finding{standingProgressing, v1alpha1.ReasonStarting,
			fmt.Sprintf("The Job %s is being deleted; the next one follows.", jobs.current.Name)})
		return ctrl.Result{}, nil // waiting for the Job to be gone; its watch wakes this run
	}
	if run.Status.Job.UID != jobs.current.UID {
		r.recordJob(p, jobs.current.UID)
	}
	// The kubelet mounts whatever has the revision's name when a pod starts.
	if err := r.revisions.replaced(ctx, refOfRun(run)); notTheRevision(err) {
		return r.revisionGone(p, err)
	} else if err != nil {
		return ctrl.Result{}, err
	}
	for _, job := range jobs.older {
		if err := r.deleteJob(ctx, job); err != nil {
			return ctrl.Result{}, err
		}
	}
	return r.watchJob(ctx, p, jobs.current)
}

// runJobs are the Jobs of a run, by what status.job says of them.
type runJobs struct {
	// current is the one that status.job names; nil if it is not there.
	current *batchv1.Job
	// previous is the one before it. It stays until current is there, since current says of itself what previous did.
	previous *batchv1.Job
	// older are all before current. One greater than current is in none of these: it means that this copy of the run is
	// an old one, and a newer will come.
	older []*batchv1.Job
}

func (r *RunReconciler) jobsOf(ctx context.Context, run *v1alpha1.FunctionRun) (runJobs, error) {
	list := &batchv1.JobList{}
	if err := r.List(ctx, list, client.InNamespace(run.Namespace), client.MatchingFields{indexJobRun: string(run.UID)}); err != nil {
		return runJobs{}, fmt.Errorf("listing the Jobs of the run: %w", err)
	}
	return sortJobs(list.Items, run.Status.Job), nil
}

func sortJobs(list []batchv1.Job, current *v1alpha1.JobReference) runJobs {
	var jobs runJobs
	for i := range list {
		job := &list[i]
		switch {
		case current == nil:
		case job.Name == current.Name:
			jobs.current = job
		case jobNumber(job) < current.Number:
			jobs.older = append(jobs.older, job)
			if jobNumber(job) == current.Number-1 {
				jobs.previous = job
			}
		}
	}
	return jobs
}

func jobNumber(job *batchv1.Job) int32 { return numberIn(job, annotationNumber) }

func numberIn(job *batchv1.Job, annotation string) int32 {
	return int32(numberOf(job.Annotations, annotation, int64(v1alpha1.MaxJobNumber)))
}

// fruitless is how many Jobs in a row, the last one included, are over without having added an outcome. A Job that was
// deleted doesn't count: somebody else ended it.
func fruitless(last *batchv1.Job, outcomes int32) int32 {
	if last == nil || outcomes > numberIn(last, annotationOutcomes) {
		return 0
	}
	return numberIn(last, annotationFruitless) + 1
}

// following is the number of the Job after that one.
func following(number int32) int32 { return within(number, 0, v1alpha1.MaxJobNumber-1) + 1 }

// nextJob decides the name of the run's next Job. That is stored before the Job is made: a manager that dies in between
// finds the name, and either the Job under it or none.
func (r *RunReconciler) nextJob(p *runPass, number int32) {
	p.run.Status.Job = &v1alpha1.JobReference{Name: jobName(p.run.Name, number), Number: number}
	r.describe(p, finding{standingProgressing, v1alpha1.ReasonStarting,
		fmt.Sprintf("The Job %s comes next.", p.run.Status.Job.Name)})
}

// makeJob writes the Job that status.job names. It is created and not applied: an apply has no "only if absent", and the Job
// may be there, made by a manager that died before it recorded the uid, or by somebody else.
func (r *RunReconciler) makeJob(ctx context.Context, p *runPass, previous *batchv1.Job) (ctrl.Result, error) {
	run := p.run
	settings, err := r.revisions.readNow(ctx, refOfRun(run))
	if apierrors.IsNotFound(err) || notTheRevision(err) {
		return r.revisionGone(p, err)
	} else if err != nil {
		return ctrl.Result{}, err
	}
	if wrong := r.options.refuse(settings, run.Status.Revision.PriorityClassName); wrong != nil {
		r.describe(p, *wrong)
		return ctrl.Result{}, nil // waiting for an administrator: the manager restarts with other flags
	}
	if wrong, err := r.inputsReplaced(ctx, run); err != nil {
		return ctrl.Result{}, err
	} else if wrong != "" {
		r.end(p, v1alpha1.ReasonInputsUnavailable, wrong)
		r.describe(p, endingFinding(run))
		return ctrl.Result{}, nil // waiting for the API server's closing report
	}
	job, err := asWritten(jobFor(run, settings, r.options, fruitless(previous, outcomes(run)), p.now))
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.Create(ctx, job, client.FieldOwner(v1alpha1.FieldManagerController)); err != nil {
		return r.refusedJob(ctx, p, err)
	}
	r.recordJob(p, job.GetUID())
	run.Status.Workers = wantedWorkers(run)
	r.describe(p, startingFinding(run))
	p.afterWrite(func() {
		r.metrics.jobsCreated.Inc()
		r.tell.normal(run, eventJobCreated, actionCreate, "Created the Job "+run.Status.Job.Name)
	})
	log.FromContext(ctx).Info("Made the Job", "run", klog.KObj(run), "job", run.Status.Job.Name)
	return ctrl.Result{}, nil // the Job controller makes the pods
}

// asWritten is the apply configuration as an object: with what it says, and without the zero values of a typed one.
func asWritten(configuration *batchac.JobApplyConfiguration) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(configuration)
	if err != nil {
		return nil, fmt.Errorf("encoding the Job: %w", err)
	}
	return &unstructured.Unstructured{Object: content}, nil
}

// refusedJob finds out why a Job could not be written: because there is one of that name, or because of what it says.
func (r *RunReconciler) refusedJob(ctx context.Context, p *runPass, refusal error) (ctrl.Result, error) {
	run := p.run
	if !apierrors.IsAlreadyExists(refusal) && !apierrors.IsInvalid(refusal) && !apierrors.IsForbidden(refusal) {
		return ctrl.Result{}, fmt.Errorf("making the Job %s: %w", run.Status.Job.Name, refusal)
	}
	existing := &batchv1.Job{}
	err := r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: run.Status.Job.Name}, existing)
	switch {
	case err == nil && runOfJob(existing) == run.UID:
		// Made by an earlier manager, or not yet in this cache.
		r.recordJob(p, existing.UID)
		r.describe(p, startingFinding(run))
		return ctrl.Result{}, nil
	case err == nil && (existing.DeletionTimestamp != nil || ofNamesake(existing, run)):
		r.describe(p, finding{standingProgressing, v1alpha1.ReasonStarting, fmt.Sprintf(
			"The Job %s of an earlier run of this name is still being removed.", existing.Name)})
		return ctrl.Result{RequeueAfter: namesakePause}, nil // the garbage collector removes it
	case err == nil:
		r.describe(p, finding{standingStalled, v1alpha1.ReasonJobNameTaken, fmt.Sprintf(
			"The Job %s exists and does not belong to this run: delete or rename it, and the run goes on.", existing.Name)})
		return ctrl.Result{RequeueAfter: refusedPause}, nil // a Job of somebody else is not in the cache: no watch tells
	case !apierrors.IsNotFound(err):
		return ctrl.Result{}, fmt.Errorf("reading the Job %s: %w", run.Status.Job.Name, err)
	case apierrors.IsAlreadyExists(refusal):
		return ctrl.Result{RequeueAfter: conflictPause}, nil // gone in this moment
	case apierrors.HasStatusCause(refusal, corev1.NamespaceTerminatingCause):
		return ctrl.Result{}, nil // the run goes with its namespace
	default:
		r.describe(p, finding{standingStalled, v1alpha1.ReasonJobRefused, fmt.Sprintf(
			"The cluster refused the Job: %s Mend what it names; the run asks again every %d seconds.",
			sentence(cut(refusal.Error(), foreignTextLimit)), int(refusedPause.Seconds()))})
		return ctrl.Result{RequeueAfter: refusedPause}, nil
	}
}

// ofNamesake: the Job belongs to a run that had this one's name and is gone.
func ofNamesake(job *batchv1.Job, run *v1alpha1.FunctionRun) bool {
	owner := metav1.GetControllerOf(job)
	return owner != nil && owner.Kind == "FunctionRun" && owner.Name == run.Name && owner.UID != run.UID
}

// revisionGone: what the run pinned was deleted, or something else has its name. As long as no Job was ever made nothing was
// executed with it, and the run pins again; after that it can't go on.
func (r *RunReconciler) revisionGone(p *runPass, why error) (ctrl.Result, error) {
	run := p.run
	name := run.Status.Revision.Name
	reason, end, what := v1alpha1.ReasonRevisionMissing, v1alpha1.ReasonJobFailed, "was deleted"
	if notTheRevision(why) {
		reason, end = v1alpha1.ReasonRevisionChanged, v1alpha1.ReasonRevisionChanged
		what = "was replaced (" + cut(why.Error(), foreignTextLimit) + ")"
	}
	if run.Status.StartTime == nil && (run.Status.Job == nil || run.Status.Job.UID == "") {
		run.Status.Revision, run.Status.Job = nil, nil
		r.describe(p, finding{standingProgressing, reason, fmt.Sprintf(
			"The revision %s %s before anything was executed: pinning again.", name, what)})
		return ctrl.Result{}, nil // the write wakes the next pass
	}
	r.end(p, end, fmt.Sprintf(
		"The revision %s (a ConfigMap) that the run executes %s: make a new FunctionRun.", name, what))
	r.describe(p, endingFinding(run))
	return ctrl.Result{}, nil
}

// lostJob: status.job has a uid and the cache has no such Job. The cache may lag behind the write that made it.
func (r *RunReconciler) lostJob(ctx context.Context, p *runPass) (ctrl.Result, error) {
	run := p.run
	job := &batchv1.Job{}
	err := r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: run.Status.Job.Name}, job)
	if err == nil {
		r.describe(p, startingFinding(run))
		return ctrl.Result{}, nil // waiting for the cache; the Job's watch wakes this run
	}
	if !apierrors.IsNotFound(err) {
		return ctrl.Result{}, fmt.Errorf("reading the Job %s: %w", run.Status.Job.Name, err)
	}
	r.nextJob(p, following(run.Status.Job.Number))
	return ctrl.Result{}, nil
}

// recordJob notes that the Job exists. From then on its absence means that it was deleted.
func (r *RunReconciler) recordJob(p *runPass, uid types.UID) {
	p.run.Status.Job.UID = uid
	if p.run.Status.StartTime == nil {
		p.run.Status.StartTime = &metav1.Time{Time: p.now}
	}
}

func startingFinding(run *v1alpha1.FunctionRun) finding {
	return finding{standingProgressing, v1alpha1.ReasonStarting,
		fmt.Sprintf("The Job %s exists; no worker has taken an input yet.", run.Status.Job.Name)}
}
