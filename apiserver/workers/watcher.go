package workers

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/work"
)

// Exchange is what the watcher reports to.
type Exchange interface {
	PodEnded(ctx context.Context, worker work.Worker, podExit work.PodExit) error
	RunChanged(run types.UID)
}

// Watcher reports pods that have ended to the exchange, so that their inputs are handed out again long before a lease expires. It also
// reports runs that are ending or suspended, so that their open calls are decided again.
type Watcher struct {
	podExits *PodExits
	runs     *core.Runs
	exchange Exchange
	store    outcomes.Store
	queue    workqueue.TypedRateLimitingInterface[podKey]
}

type podKey struct {
	namespace, name string
	uid             types.UID
	// run is set for pods with a lease in the store, which the cache may not know.
	run    string
	runUID types.UID
}

// NewWatcher returns a watcher that collects events. Run reports them.
func NewWatcher(cluster *core.Cluster, podExits *PodExits, exchange Exchange, store outcomes.Store, clock clock.WithTicker) (*Watcher, error) {
	w := &Watcher{
		podExits: podExits,
		runs:     cluster.Runs,
		exchange: exchange,
		store:    store,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[podKey](100*time.Millisecond, 30*time.Second),
			workqueue.TypedRateLimitingQueueConfig[podKey]{Name: "pods", Clock: clock}),
	}
	if _, err := cluster.Pods.Informer().AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { w.podChanged(obj, false) },
		UpdateFunc: func(_, obj any) { w.podChanged(obj, false) },
		DeleteFunc: func(obj any) { w.podChanged(obj, true) },
	}); err != nil {
		return nil, fmt.Errorf("watching pods: %w", err)
	}
	if _, err := cluster.Runs.Informer().AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		UpdateFunc: w.runChanged,
		DeleteFunc: func(obj any) {
			if run, ok := last[*v1alpha1.FunctionRun](obj); ok && run != nil {
				w.exchange.RunChanged(run.UID)
			}
		},
	}); err != nil {
		return nil, fmt.Errorf("watching FunctionRuns: %w", err)
	}
	return w, nil
}

// last returns the last known state of an object, even if its deletion was missed.
func last[T any](obj any) (T, bool) {
	if tombstone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	typed, ok := obj.(T)
	return typed, ok
}

func (w *Watcher) podChanged(obj any, deleted bool) {
	if pod, ok := last[*corev1.Pod](obj); ok && pod != nil && (deleted || core.PodEnded(pod)) {
		w.queue.Add(podKey{namespace: pod.Namespace, name: pod.Name, uid: pod.UID})
	}
}

// runChanged notifies open calls when what they wait for may not happen any more.
func (w *Watcher) runChanged(before, after any) {
	old, okOld := before.(*v1alpha1.FunctionRun)
	run, ok := after.(*v1alpha1.FunctionRun)
	if !ok || !okOld || old == nil || run == nil {
		return
	}
	was, is := RunOf(old), RunOf(run)
	if was.Ending != is.Ending || was.Suspended != is.Suspended || was.Finished != is.Finished || was.UID != is.UID {
		w.exchange.RunChanged(was.UID)
	}
}

// Run reports until ctx ends. The caches must be filled and the store open: it starts with the workers whose end was missed because no
// server was running.
func (w *Watcher) Run(ctx context.Context) {
	if err := w.missed(ctx); err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Cannot look for workers whose end was missed; their leases expire instead")
	}
	const reporters = 4
	var group sync.WaitGroup
	for range reporters {
		group.Go(func() {
			for w.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	w.queue.ShutDown()
	group.Wait()
}

// missed enqueues the workers that have a lease in the store and no pod in the cache.
func (w *Watcher) missed(ctx context.Context) error {
	var leases []outcomes.Lease
	err := w.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		leases, err = tx.Leases()
		return err
	})
	if err != nil {
		return err
	}
	for _, lease := range leases {
		if _, ok := w.podExits.pods.Cached(lease.Namespace, lease.PodName, lease.Pod); !ok {
			w.queue.Add(podKey{namespace: lease.Namespace, name: lease.PodName, uid: lease.Pod, run: lease.RunName, runUID: lease.Run})
		}
	}
	return nil
}

func (w *Watcher) next(ctx context.Context) bool {
	key, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(key)
	switch err := w.report(ctx, key); {
	case ctx.Err() != nil:
	case err != nil:
		klog.FromContext(ctx).Error(err, "Cannot report the end of a pod to the exchange; trying again", "pod", klog.KRef(key.namespace, key.name))
		w.queue.AddRateLimited(key)
	default:
		w.queue.Forget(key)
	}
	return true
}

// report reports one pod to the exchange.
func (w *Watcher) report(ctx context.Context, key podKey) error {
	worker, podExit, ended := w.known(key)
	if !ended && key.run != "" {
		// The store has a lease and the cache no pod: read the pod before its inputs are handed out again.
		worker = work.Worker{Namespace: key.namespace, Run: key.run, RunUID: key.runUID, PodName: key.name, PodUID: key.uid}
		switch podExit = w.podExits.PodExit(ctx, key.namespace, key.name, key.uid); podExit.State {
		case work.PodExitUnknown:
			return fmt.Errorf("cannot read the pod: the Kubernetes API is unavailable")
		case work.PodExitRunning:
			return nil // the cache will report its end
		}
		ended = true
	}
	if !ended {
		return nil
	}
	run, ok := w.runs.CachedUID(worker.RunUID)
	if !ok || run.Status.Progress != nil && run.Status.Progress.Closed {
		return nil // no input of the run is leased
	}
	return w.exchange.PodEnded(ctx, worker, podExit)
}

// known returns what the caches know of a pod that has ended.
func (w *Watcher) known(key podKey) (work.Worker, work.PodExit, bool) {
	pod, podExit, ended := w.podExits.ended(key.namespace, key.name, key.uid)
	if !ended {
		return work.Worker{}, podExit, false
	}
	worker, ok := workerOf(pod)
	return worker, podExit, ok
}
