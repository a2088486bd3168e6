package core

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// newerSize and newerTTL bound the cache of live reads. A longer lag of the informer costs another read. The TTL also removes a run that
	// was deleted while it was being read.
	newerSize = 4096
	newerTTL  = 15 * time.Second
)

// Runs finds FunctionRuns without their inputs: in the cache, or live where the cache may be stale.
type Runs struct {
	informer toolscache.SharedIndexInformer
	live     *live[*v1alpha1.FunctionRun]

	// newer has the results of live reads that the informer has not seen yet, so that later look-ups do not return the older state. mu makes
	// comparing and replacing atomic.
	mu    sync.Mutex
	newer *utilcache.LRUExpireCache
}

// NewRuns returns the runs of an informer. It does not start the informer.
func NewRuns(informer toolscache.SharedIndexInformer, reader client.Reader, clock clock.Clock) (*Runs, error) {
	r := &Runs{informer: informer, newer: utilcache.NewLRUExpireCacheWithClock(newerSize, clock)}
	r.live = newLive(50, 100, func(ctx context.Context, namespace, name string) (*v1alpha1.FunctionRun, error) {
		return r.read(ctx, reader, namespace, name)
	})
	_, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { r.caughtUp(obj, false) },
		UpdateFunc: func(_, obj any) { r.caughtUp(obj, false) },
		DeleteFunc: func(obj any) { r.caughtUp(obj, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching FunctionRuns: %w", err)
	}
	return r, nil
}

// Informer returns the informer, to watch changes of runs.
func (r *Runs) Informer() toolscache.SharedIndexInformer { return r.informer }

// Synced reports whether the cache has received its first list.
func (r *Runs) Synced() bool { return r.informer.HasSynced() }

// Cached returns the latest known state of the run.
func (r *Runs) Cached(namespace, name string) (*v1alpha1.FunctionRun, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest(types.NamespacedName{Namespace: namespace, Name: name})
}

func (r *Runs) latest(key types.NamespacedName) (*v1alpha1.FunctionRun, bool) {
	cached, found := lookup[*v1alpha1.FunctionRun](r.informer, key.Namespace, key.Name)
	if value, ok := r.newer.Get(key); ok {
		if newer, ok := value.(*v1alpha1.FunctionRun); ok && (!found || older(cached, newer)) {
			return newer, true
		}
	}
	return cached, found
}

// CachedUID returns the latest known state of the run with the uid.
func (r *Runs) CachedUID(uid types.UID) (*v1alpha1.FunctionRun, bool) {
	cached, found := lookupUID[*v1alpha1.FunctionRun](r.informer, uid)
	if !found {
		return nil, false
	}
	if run, ok := r.Cached(cached.Namespace, cached.Name); ok && run.UID == uid {
		return run, true
	}
	return cached, true
}

// List returns all runs of the cache.
func (r *Runs) List() []*v1alpha1.FunctionRun {
	objs := r.informer.GetStore().List()
	runs := make([]*v1alpha1.FunctionRun, 0, len(objs))
	for _, obj := range objs {
		if run, ok := obj.(*v1alpha1.FunctionRun); ok {
			runs = append(runs, run)
		}
	}
	return runs
}

// Get returns the run from the cache, or reads it from the API, because it may have just been created. Errors are the API's own
// (IsNotFound), or ErrBusy.
func (r *Runs) Get(ctx context.Context, namespace, name string) (*v1alpha1.FunctionRun, error) {
	if run, ok := r.Cached(namespace, name); ok {
		return run, nil
	}
	return r.Refresh(ctx, namespace, name)
}

// Refresh reads the run from the API. All later look-ups return its result.
func (r *Runs) Refresh(ctx context.Context, namespace, name string) (*v1alpha1.FunctionRun, error) {
	return r.live.get(ctx, namespace, name)
}

func (r *Runs) read(ctx context.Context, reader client.Reader, namespace, name string) (*v1alpha1.FunctionRun, error) {
	read := &v1alpha1.FunctionRun{}
	if err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, read); err != nil {
		return nil, err
	}
	slim, err := slimRun(read)
	if err != nil {
		return nil, err
	}
	run, ok := slim.(*v1alpha1.FunctionRun)
	if !ok {
		return nil, fmt.Errorf("dropping the inputs of FunctionRun %s/%s returned a %T", namespace, name, slim)
	}
	key := types.NamespacedName{Namespace: namespace, Name: name}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.latest(key); !ok || older(known, run) {
		r.newer.Add(key, run, newerTTL)
	}
	return run, nil
}

// caughtUp drops the result of a live read once the informer has seen the same state or a later one.
func (r *Runs) caughtUp(obj any, deleted bool) {
	if tombstone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	seen, ok := obj.(*v1alpha1.FunctionRun)
	if !ok || seen == nil {
		return
	}
	key := types.NamespacedName{Namespace: seen.Namespace, Name: seen.Name}
	r.mu.Lock()
	defer r.mu.Unlock()
	value, ok := r.newer.Get(key)
	if !ok {
		return
	}
	known, ok := value.(*v1alpha1.FunctionRun)
	if !ok || deleted && known.UID == seen.UID || !deleted && !older(seen, known) {
		r.newer.Remove(key)
	}
}

// older reports whether a was stored before b. Versions that cannot be compared count as older, so that a live read is preferred until it
// expires.
func older(a, b *v1alpha1.FunctionRun) bool {
	return laterThan(b.ResourceVersion, a.ResourceVersion)
}
