package report

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	ac "sharedcloud.io/function-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/work"
)

const (
	// interval is how far apart the reports of one running run are. Its first outcome and its end are reported at once.
	interval = time.Second
	// lookInterval is how far apart the looks at one run are: outcomes come by the thousand a second.
	lookInterval = 50 * time.Millisecond
	// settle is how long the cache may take to see what was written; after that it is written again.
	settle = 5 * time.Second
	// round is how far apart the looks at all unfinished runs are: another server may have ended after it committed and before
	// it reported, and nothing else would bring that up.
	round = 10 * time.Second
)

// Runs finds runs that may need a report.
type Runs interface {
	CachedUID(uid types.UID) (*v1alpha1.FunctionRun, bool)
	Refresh(ctx context.Context, namespace, name string) (*v1alpha1.FunctionRun, error)
}

// Exchange is the side that the reports are of.
type Exchange interface {
	// Progress of a run, whether or not a worker has called for it yet.
	Progress(ctx context.Context, run work.Run) (v1alpha1.RunProgress, error)
	// Close ends a run: nothing is handed out any more, and every index without an outcome gets one that says why.
	Close(ctx context.Context, run work.Run, reason, message string) error
	// DeleteResults deletes what the inputs of a closed run returned, raised and printed. It may be called again.
	DeleteResults(ctx context.Context, run types.UID) error
}

// StatusWriter writes the status of runs.
type StatusWriter interface {
	Status() client.SubResourceWriter
}

// Reporter brings the progress of runs into their status, and closes those that a controller wants ended. It is a
// reconciler: it looks at both sides and mends the difference, so that what a crash or an outage swallowed is made up for.
type Reporter struct {
	runs     Runs
	exchange Exchange
	writer   StatusWriter
	clock    clock.WithTicker
	queue    workqueue.TypedRateLimitingInterface[types.UID]
	runOf    func(*v1alpha1.FunctionRun) work.Run

	// informer has the runs that a round looks at; nil where there is none.
	informer toolscache.SharedIndexInformer

	mu      sync.Mutex
	written map[types.UID]*report
}

// report is what was last written of a run, by this process or by another server.
type report struct {
	looked, at time.Time
	// progress is what was written last, earlier what this process wrote before that: the cache may still show it.
	progress, earlier v1alpha1.RunProgress
}

// NewReporter makes a reporter. Enqueue and the informer's events tell it what may have changed.
func NewReporter(runs Runs, exchange Exchange, writer StatusWriter, runOf func(*v1alpha1.FunctionRun) work.Run, clock clock.WithTicker) *Reporter {
	registerMetrics()
	return &Reporter{
		runs:     runs,
		exchange: exchange,
		writer:   writer,
		clock:    clock,
		runOf:    runOf,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](10*time.Millisecond, 30*time.Second),
			workqueue.TypedRateLimitingQueueConfig[types.UID]{Name: "progress", Clock: clock}),
		written: map[types.UID]*report{},
	}
}

// Enqueue says that the progress of a run may have changed.
func (r *Reporter) Enqueue(uid types.UID) { r.queue.Add(uid) }

// Watch enqueues the runs that an informer has news of: all of them at the start.
func (r *Reporter) Watch(informer toolscache.SharedIndexInformer) (toolscache.ResourceEventHandlerRegistration, error) {
	r.informer = informer
	return informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    r.changed,
		UpdateFunc: func(_, obj any) { r.changed(obj) },
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			r.changed(obj)
		},
	})
}

func (r *Reporter) changed(obj any) {
	if run, ok := obj.(*v1alpha1.FunctionRun); ok && run != nil {
		r.queue.Add(run.UID)
	}
}

// Run reports until ctx ends, with so many writes at a time.
func (r *Reporter) Run(ctx context.Context, workers int) {
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for r.next(ctx) {
			}
		})
	}
	group.Go(func() { r.rounds(ctx) })
	<-ctx.Done()
	r.queue.ShutDown()
	group.Wait()
}

// rounds enqueues every unfinished run now and then.
func (r *Reporter) rounds(ctx context.Context) {
	if r.informer == nil {
		return
	}
	ticker := r.clock.NewTicker(round)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		for _, obj := range r.informer.GetStore().List() {
			if run, ok := obj.(*v1alpha1.FunctionRun); ok && !closed(run) {
				r.queue.Add(run.UID)
			}
		}
	}
}

func (r *Reporter) next(ctx context.Context) bool {
	uid, shutdown := r.queue.Get()
	if shutdown {
		return false
	}
	defer r.queue.Done(uid)
	after, err := r.reconcile(ctx, uid)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		if !apierrors.IsConflict(err) {
			klog.FromContext(ctx).Error(err, "Reporting a run's progress failed", "runUID", uid)
		}
		r.queue.AddRateLimited(uid)
	default:
		r.queue.Forget(uid)
		if after > 0 {
			r.queue.AddAfter(uid, after)
		}
	}
	return true
}

// reconcile makes the status of one run say what the store says. It returns after which time to look again, 0 for when
// there is news.
func (r *Reporter) reconcile(ctx context.Context, uid types.UID) (time.Duration, error) {
	run, ok := r.runs.CachedUID(uid)
	if !ok {
		r.forget(uid)
		return 0, nil
	}
	if closed(run) {
		r.forget(uid)
		return r.retain(ctx, run) // nothing else changes any more
	}
	if run.Status.Revision == nil {
		return 0, nil // waiting for the controller to pin a revision; its write is an event
	}
	if run.Status.Progress == nil && !jobMade(run) && r.runOf(run).Ending == "" {
		return 0, nil // waiting for the controller's Job, which a report would only delay; the note of its uid is an event
	}
	if wait := r.look(uid, run.Status.Progress); wait > 0 {
		return wait, nil
	}
	progress, err := r.progress(ctx, r.runOf(run))
	if err != nil {
		return 0, err
	}
	if run.Status.Progress != nil && equality.Semantic.DeepEqual(*run.Status.Progress, progress) {
		return 0, nil
	}
	if wait := r.wait(uid, progress); wait > 0 {
		return wait, nil
	}
	return 0, r.write(ctx, run, progress)
}

func closed(run *v1alpha1.FunctionRun) bool {
	return run.Status.Progress != nil && run.Status.Progress.Closed
}

func jobMade(run *v1alpha1.FunctionRun) bool {
	return run.Status.Job != nil && run.Status.Job.UID != ""
}

// progress is how far the store says that a run is. A run that shall end is closed first.
func (r *Reporter) progress(ctx context.Context, run work.Run) (v1alpha1.RunProgress, error) {
	progress, err := r.exchange.Progress(ctx, run)
	if err == nil && run.Ending != "" && !progress.Closed {
		if err = r.exchange.Close(ctx, run, run.Ending, run.EndingMessage); err == nil {
			progress, err = r.exchange.Progress(ctx, run)
		}
	}
	if err != nil {
		return progress, fmt.Errorf("reading the progress of FunctionRun %s/%s: %w", run.Namespace, run.Name, err)
	}
	return progress, nil
}

// look notes that a run is looked at, or says how long that must wait. A report that the cache shows and that is not of this
// process is another server's: it counts as one, or servers would overwrite each other as fast as they can.
func (r *Reporter) look(uid types.UID, shown *v1alpha1.RunProgress) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.written[uid]
	if !ok {
		last = &report{}
		r.written[uid] = last
	} else if wait := lookInterval - r.clock.Since(last.looked); wait > 0 {
		return wait
	}
	last.looked = r.clock.Now()
	if shown != nil && !equality.Semantic.DeepEqual(*shown, last.progress) && !equality.Semantic.DeepEqual(*shown, last.earlier) {
		// One that was there before this process looked is as old as it may be.
		if ok {
			last.at = last.looked
		}
		last.progress, last.earlier = *shown, last.progress
	}
	return 0
}

// wait is how long a report must wait for its turn.
func (r *Reporter) wait(uid types.UID, progress v1alpha1.RunProgress) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.written[uid]
	switch {
	case !ok || last.at.IsZero():
		return 0
	case equality.Semantic.DeepEqual(last.progress, progress):
		// It was written, and the cache has not seen it yet. Or somebody else has overwritten it.
		return max(0, settle-r.clock.Since(last.at))
	case progress.Closed || done(&last.progress) == 0 && done(&progress) > 0:
		return 0
	default:
		return max(0, interval-r.clock.Since(last.at))
	}
}

func done(p *v1alpha1.RunProgress) int32 {
	return p.Succeeded + p.Failed + p.TimedOut + p.Cancelled
}

// write applies the report. The uid keeps it off another run of the name, the resource version off a state that this
// report was not made for: a controller may have written meanwhile.
func (r *Reporter) write(ctx context.Context, run *v1alpha1.FunctionRun, progress v1alpha1.RunProgress) error {
	applied := ac.FunctionRun(run.Name, run.Namespace).
		WithUID(run.UID).
		WithResourceVersion(run.ResourceVersion).
		WithStatus(ac.FunctionRunStatus().WithProgress(applyProgress(&progress)))
	err := r.writer.Status().Apply(ctx, applied, client.FieldOwner(v1alpha1.FieldManagerAPIServer), client.ForceOwnership)
	switch {
	case err == nil:
		r.note(run.UID, progress)
		count(run.Status.Progress, &progress)
		if progress.Closed && !closed(run) {
			klog.FromContext(ctx).Info("Reported the end of a run", "run", klog.KObj(run), "reason", progress.Reason,
				"succeeded", progress.Succeeded, "failed", progress.Failed, "timedOut", progress.TimedOut, "cancelled", progress.Cancelled)
		}
		return nil
	case apierrors.IsConflict(err):
		// The cache will see the newer state by itself; reading it now is faster, and the next try builds on it.
		if _, refresh := r.runs.Refresh(ctx, run.Namespace, run.Name); refresh != nil && !apierrors.IsNotFound(refresh) {
			klog.FromContext(ctx).V(1).Info("Reading a run after a conflict failed", "run", klog.KObj(run), "reason", refresh.Error())
		}
		return err
	case apierrors.IsNotFound(err):
		r.forget(run.UID)
		return nil
	default:
		return fmt.Errorf("writing the progress of FunctionRun %s/%s: %w", run.Namespace, run.Name, err)
	}
}

func (r *Reporter) note(uid types.UID, progress v1alpha1.RunProgress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.written[uid]; ok {
		last.at, last.progress, last.earlier = r.clock.Now(), progress, last.progress
	}
}

func (r *Reporter) forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.written, uid)
}

// applyProgress is all of status.progress: the fields that are required always, the others where they say something.
func applyProgress(p *v1alpha1.RunProgress) *ac.RunProgressApplyConfiguration {
	applied := ac.RunProgress().
		WithTotal(p.Total).WithPending(p.Pending).WithRunning(p.Running).
		WithSucceeded(p.Succeeded).WithFailed(p.Failed).WithTimedOut(p.TimedOut).WithCancelled(p.Cancelled)
	if p.FailedIndexes != "" {
		applied.WithFailedIndexes(p.FailedIndexes)
	}
	if p.GPUSeconds != 0 {
		applied.WithGPUSeconds(p.GPUSeconds)
	}
	if p.Workers != 0 {
		applied.WithWorkers(p.Workers)
	}
	if p.Message != "" {
		applied.WithMessage(p.Message)
	}
	if p.Closed {
		applied.WithClosed(true)
	}
	if p.Reason != "" {
		applied.WithReason(p.Reason)
	}
	if p.ResultsDeleted {
		applied.WithResultsDeleted(true)
	}
	return applied
}
