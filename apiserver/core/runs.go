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
	// newerSize and newerTTL bound what is remembered of live reads. A cache that lags longer costs another read; and a
	// run that was deleted between its read and its remembering is forgotten as well.
	newerSize = 4096
	newerTTL  = 15 * time.Second
)

// Runs finds FunctionRuns, their inputs dropped: in the cache, and live where the cache may lag behind.
type Runs struct {
	informer toolscache.SharedIndexInformer
	live     *live[*v1alpha1.FunctionRun]

	// newer holds what live reads brought that the cache has not seen yet, so that who asks next does not fall back to
	// the older state. mu makes looking and changing one act.
	mu    sync.Mutex
	newer *utilcache.LRUExpireCache
}

// NewRuns makes the look-up over an informer. It does not start it.
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

// Informer is where changes of runs can be watched.
func (r *Runs) Informer() toolscache.SharedIndexInformer { return r.informer }

// Synced says whether the cache has seen all runs once.
func (r *Runs) Synced() bool { return r.informer.HasSynced() }

// Cached returns the run as it was last seen.
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

// CachedUID returns the run of that uid as it was last seen.
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

// List returns all runs that the cache knows.
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

// Get returns the run from the cache, and where that does not know it from the API: it may just have been made.
// The errors are the API's own (IsNotFound), or ErrBusy.
func (r *Runs) Get(ctx context.Context, namespace, name string) (*v1alpha1.FunctionRun, error) {
	if run, ok := r.Cached(namespace, name); ok {
		return run, nil
	}
	return r.Refresh(ctx, namespace, name)
}

// Refresh reads the run from the API. What it finds is seen by all look-ups from then on.
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
		return nil, fmt.Errorf("dropping the inputs of FunctionRun %s/%s gave a %T", namespace, name, slim)
	}
	key := types.NamespacedName{Namespace: namespace, Name: name}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.latest(key); !ok || older(known, run) {
		r.newer.Add(key, run, newerTTL)
	}
	return run, nil
}

// caughtUp drops what a live read had brought once the cache has seen the same or more.
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

// older says whether a was stored before b. Versions that cannot be compared count as older: what was read live wins,
// for as long as it is remembered.
func older(a, b *v1alpha1.FunctionRun) bool {
	return laterThan(b.ResourceVersion, a.ResourceVersion)
}
