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
	// interval is the time between two reports of a running run. Its first outcome and its end are reported at once.
	interval = time.Second
	// lookInterval is the minimum time between two reads of one run: thousands of outcomes can arrive in a second.
	lookInterval = 50 * time.Millisecond
	// settle is how long the cache may take to observe a write; after that it is written again.
	settle = 5 * time.Second
	// round is the interval at which all unfinished runs are read: another server may have crashed between its commit and its
	// report, and no event announces that.
	round = 10 * time.Second
)

// Runs finds runs that may need a report.
type Runs interface {
	CachedUID(uid types.UID) (*v1alpha1.FunctionRun, bool)
	Refresh(ctx context.Context, namespace, name string) (*v1alpha1.FunctionRun, error)
}

// Exchange is the source of the reports.
type Exchange interface {
	// Progress of a run, also before its first worker calls.
	Progress(ctx context.Context, run work.Run) (v1alpha1.RunProgress, error)
	// Close ends a run: no input is leased any more, and every index without an outcome gets one with the reason.
	Close(ctx context.Context, run work.Run, reason, message string) error
	// DeleteResults deletes the results, errors and output of a closed run. It is idempotent.
	DeleteResults(ctx context.Context, run types.UID) error
}

// StatusWriter writes the status of runs.
type StatusWriter interface {
	Status() client.SubResourceWriter
}

// Reporter writes the progress of runs into their status, and closes runs that a controller wants ended. It is a reconciler: it
// compares both sides and corrects the difference, so progress that a crashed server never reported is recovered.
type Reporter struct {
	runs     Runs
	exchange Exchange
	writer   StatusWriter
	clock    clock.WithTicker
	queue    workqueue.TypedRateLimitingInterface[types.UID]
	runOf    func(*v1alpha1.FunctionRun) work.Run

	// informer has the runs that a round reads; nil for none.
	informer toolscache.SharedIndexInformer

	mu      sync.Mutex
	written map[types.UID]*report
}

// report is the last write for a run, by this process or by another server.
type report struct {
	looked, at time.Time
	// progress is the last write, earlier the previous write of this process: the cache may still have that.
	progress, earlier v1alpha1.RunProgress
}

// NewReporter returns a reporter. Enqueue and the informer's events announce runs that may have changed.
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

// Enqueue announces that the progress of a run may have changed.
func (r *Reporter) Enqueue(uid types.UID) { r.queue.Add(uid) }

// Watch enqueues the runs of an informer's events, and all runs at the start.
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

// Run reports until ctx ends, with the given number of concurrent writes.
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

// rounds enqueues every unfinished run at an interval.
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

// reconcile makes the status of one run equal to the store. It returns after which time to look again, 0 to wait for an
// event.
func (r *Reporter) reconcile(ctx context.Context, uid types.UID) (time.Duration, error) {
	run, ok := r.runs.CachedUID(uid)
	if !ok {
		r.forget(uid)
		return 0, nil
	}
	if closed(run) {
		r.forget(uid)
		return r.retain(ctx, run) // nothing else changes after the end
	}
	if run.Status.Revision == nil {
		return 0, nil // waiting for the controller to pin a revision; its write is an event
	}
	if run.Status.Progress == nil && !jobMade(run) && r.runOf(run).Ending == "" {
		return 0, nil // waiting for the controller's Job, which a report would only delay; the write of its uid is an event
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

// progress is the progress of a run in the store. A run that a controller wants ended is closed first.
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

// look records that a run is read, or returns how long that must wait. A report in the cache that this process did not write
// is another server's: it counts as a report, otherwise servers would overwrite each other continuously.
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
		// A report from before this process started counts as old.
		if ok {
			last.at = last.looked
		}
		last.progress, last.earlier = *shown, last.progress
	}
	return 0
}

// wait is how long a report must wait.
func (r *Reporter) wait(uid types.UID, progress v1alpha1.RunProgress) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.written[uid]
	switch {
	case !ok || last.at.IsZero():
		return 0
	case equality.Semantic.DeepEqual(last.progress, progress):
		// It was written and the cache has not observed it yet, or another writer has overwritten it.
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

// write applies the report. The uid protects another run of the same name, the resource version a state that this report was
// not computed for: a controller may have written in between.
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
		// The cache will observe the newer state by itself; reading it now is faster, and the next attempt starts from it.
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

// applyProgress is the whole of status.progress: required fields always, others only when they are set.
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
