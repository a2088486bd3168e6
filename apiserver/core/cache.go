package core

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// unconfirmedFor is how long an object that this server wrote is shown although the informer has not seen it. One that
	// is not seen by then was deleted in a gap of the watch.
	unconfirmedFor = 30 * time.Second
	// goneSize and goneTTL bound what is remembered of deletions.
	goneSize = 16384
	goneTTL  = 5 * time.Minute
)

// Cache holds the objects of one kind by the identity that REST knows them by. It is filled by an informer, and by this
// server's own writes, which the informer sees a moment later: a caller reads what he wrote.
//
// Of two states of an object the later one stays, whoever brings it; and what was deleted does not come back with an event
// that was under way. Objects in it are shared: nobody changes them.
type Cache[T client.Object] struct {
	clock clock.PassiveClock
	// by gives the keys of an object in the table's index; nil where there is none.
	by func(T) []string
	// claimOf is what of a uuid only one object of a namespace may have.
	claimOf func(id string) string

	mu      sync.RWMutex
	rows    map[types.UID]*row[T]
	names   map[types.NamespacedName]*row[T]
	claims  map[types.NamespacedName]*claim[T] // namespace and what is claimed
	spaces  map[string]map[types.UID]*row[T]
	indexed map[types.NamespacedName]map[types.UID]*row[T] // namespace and key
	gone    *utilcache.LRUExpireCache                      // uids
}

type row[T client.Object] struct {
	object T
	// label is the uuid that the object's label claims; "" for none.
	label   string
	keys    []string
	created int64
	// undecodable objects have metadata alone: lists leave them out.
	undecodable bool
	// unconfirmed is since when only this server knows the object; zero when the informer does.
	unconfirmed time.Time
}

// NewCache makes an empty table. by gives the keys under which ListBy finds an object; it may be nil, and never panics.
func NewCache[T client.Object](clk clock.WithTicker, by func(T) []string) *Cache[T] {
	return &Cache[T]{
		clock: clk, by: by, claimOf: func(id string) string { return id },
		rows: map[types.UID]*row[T]{}, names: map[types.NamespacedName]*row[T]{}, spaces: map[string]map[types.UID]*row[T]{},
		claims: map[types.NamespacedName]*claim[T]{}, indexed: map[types.NamespacedName]map[types.UID]*row[T]{},
		gone: utilcache.NewLRUExpireCacheWithClock(goneSize, clk),
	}
}

// Feed fills the table from an informer. The registration has synced when all that the informer found first is in the table,
// which is a moment after the informer itself has.
func (t *Cache[T]) Feed(informer toolscache.SharedIndexInformer) (toolscache.ResourceEventHandlerRegistration, error) {
	return informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { t.seen(obj) },
		UpdateFunc: func(_, obj any) { t.seen(obj) },
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			if object, ok := obj.(T); ok {
				t.Deleted(object.GetUID())
			}
		},
	})
}

func (t *Cache[T]) seen(obj any) {
	if object, ok := obj.(T); ok {
		t.put(object, time.Time{})
	}
}

// Wrote brings an object as the API answered a write of this server.
func (t *Cache[T]) Wrote(object T) { t.put(object, t.clock.Now()) }

// Deleted takes an object out, for good.
func (t *Cache[T]) Deleted(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone.Add(uid, true, goneTTL)
	if old, ok := t.rows[uid]; ok {
		t.remove(old)
	}
}

func (t *Cache[T]) put(object T, unconfirmed time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	uid := object.GetUID()
	if uid == "" || object.GetName() == "" {
		return // restored past the Kubernetes API: nothing identifies it
	}
	if _, deleted := t.gone.Get(uid); deleted {
		return
	}
	namespace := object.GetNamespace()
	name := types.NamespacedName{Namespace: namespace, Name: object.GetName()}
	if owner, ok := t.names[name]; ok {
		sameOne := owner.object.GetUID() == uid
		if sameOne && unconfirmed.IsZero() {
			owner.unconfirmed = time.Time{}
		}
		if !laterThan(object.GetResourceVersion(), owner.object.GetResourceVersion()) {
			return
		}
		if sameOne {
			unconfirmed = owner.unconfirmed
		} else {
			t.gone.Add(owner.object.GetUID(), true, goneTTL) // it was deleted, or the name would not be another's
		}
		t.remove(owner)
	}
	fresh := &row[T]{object: object, label: v1alpha1.ClaimedUUID(object), created: CreatedMicros(object), unconfirmed: unconfirmed,
		undecodable: v1alpha1.DecodeError(object) != ""}
	if t.by != nil {
		fresh.keys = t.by(object)
	}
	t.rows[uid] = fresh
	t.names[name] = fresh
	enter(t.spaces, namespace, uid, fresh)
	t.enterClaims(fresh)
	for _, key := range fresh.keys {
		enter(t.indexed, types.NamespacedName{Namespace: namespace, Name: key}, uid, fresh)
	}
}

// remove takes a row out of every map. The lock is held.
func (t *Cache[T]) remove(r *row[T]) {
	uid, namespace := r.object.GetUID(), r.object.GetNamespace()
	delete(t.rows, uid)
	delete(t.names, types.NamespacedName{Namespace: namespace, Name: r.object.GetName()})
	leave(t.spaces, namespace, uid)
	t.leaveClaims(r)
	for _, key := range r.keys {
		leave(t.indexed, types.NamespacedName{Namespace: namespace, Name: key}, uid)
	}
}

func enter[K comparable, T client.Object](in map[K]map[types.UID]*row[T], key K, uid types.UID, r *row[T]) {
	rows := in[key]
	if rows == nil {
		rows = map[types.UID]*row[T]{}
		in[key] = rows
	}
	rows[uid] = r
}

func leave[K comparable, T client.Object](in map[K]map[types.UID]*row[T], key K, uid types.UID) {
	rows := in[key]
	delete(rows, uid)
	if len(rows) == 0 {
		delete(in, key)
	}
}

// Named returns the object of that name.
func (t *Cache[T]) Named(namespace, name string) (T, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r, ok := t.names[types.NamespacedName{Namespace: namespace, Name: name}]; ok && t.shown(r) {
		return r.object, true
	}
	var none T
	return none, false
}

// List returns the objects of a namespace that can be decoded, newest first.
func (t *Cache[T]) List(namespace string) []T {
	t.mu.RLock()
	rows := t.some(t.spaces[namespace])
	t.mu.RUnlock()
	return objects(rows)
}

// ListBy returns the objects of a namespace that have the key in the table's index, newest first.
func (t *Cache[T]) ListBy(namespace, key string) []T {
	t.mu.RLock()
	rows := t.some(t.indexed[types.NamespacedName{Namespace: namespace, Name: key}])
	t.mu.RUnlock()
	return objects(rows)
}

// CountBy is how many objects ListBy would return.
func (t *Cache[T]) CountBy(namespace, key string) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	count := 0
	for _, r := range t.indexed[types.NamespacedName{Namespace: namespace, Name: key}] {
		if t.shown(r) && !r.undecodable {
			count++
		}
	}
	return count
}

func (t *Cache[T]) some(from map[types.UID]*row[T]) []*row[T] {
	rows := make([]*row[T], 0, len(from))
	for _, r := range from {
		if t.shown(r) && !r.undecodable {
			rows = append(rows, r)
		}
	}
	return rows
}

func (t *Cache[T]) shown(r *row[T]) bool {
	return r.unconfirmed.IsZero() || t.clock.Since(r.unconfirmed) < unconfirmedFor
}

func objects[T client.Object](rows []*row[T]) []T {
	slices.SortFunc(rows, newerFirst[T])
	list := make([]T, len(rows))
	for i, r := range rows {
		list[i] = r.object
	}
	return list
}

func newerFirst[T client.Object](a, b *row[T]) int {
	if order := cmp.Compare(b.created, a.created); order != 0 {
		return order
	}
	return cmp.Compare(b.object.GetUID(), a.object.GetUID())
}

// laterThan says whether a was stored after b. Versions that cannot be compared count as later: what comes last wins.
func laterThan(a, b string) bool {
	if a == b {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || order > 0
}

// CreatedMicros is when the object was made, µs since 1970: as it says of itself, since creationTimestamp has whole
// seconds. It decides in which order lists show objects and nothing else.
func CreatedMicros(object metav1.Object) int64 {
	if text, ok := object.GetAnnotations()[v1alpha1.AnnotationCreated]; ok {
		if micros, err := strconv.ParseInt(text, 10, 64); err == nil && micros > 0 && micros < 1<<53 {
			return micros
		}
	}
	return object.GetCreationTimestamp().UnixMicro()
}

// UpdatedMicros is when somebody last wrote the object, other than its status.
func UpdatedMicros(object metav1.Object) int64 {
	if micros, err := strconv.ParseInt(object.GetAnnotations()[v1alpha1.AnnotationUpdated], 10, 64); err == nil && micros < 1<<53 {
		return max(micros, CreatedMicros(object))
	}
	return CreatedMicros(object)
}

// noteUpdated keeps the time of the last write in place of the managed fields that say so.
func noteUpdated(object metav1.Object) {
	latest := int64(0)
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource == "" && entry.Time != nil && entry.Time.UTC().Year() <= 9999 {
			latest = max(latest, entry.Time.UnixMicro())
		}
	}
	annotations := object.GetAnnotations()
	if latest > 0 {
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[v1alpha1.AnnotationUpdated] = strconv.FormatInt(latest, 10)
		object.SetAnnotations(annotations)
	} else if len(object.GetManagedFields()) > 0 {
		delete(annotations, v1alpha1.AnnotationUpdated) // a stored one is not the cache's
	}
	object.SetManagedFields(nil)
}
