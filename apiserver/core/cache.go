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
	// unconfirmedFor is how long an object that this server wrote is visible before the informer has seen it. After that time it counts as
	// deleted while the watch was interrupted.
	unconfirmedFor = 30 * time.Second
	// tombstoneCount and tombstoneTTL bound the memory of deletions.
	tombstoneCount = 16384
	tombstoneTTL   = 5 * time.Minute
)

// Cache has the objects of one kind, by their identity for REST. An informer fills it, and this server adds its own writes, so that a
// caller reads its own writes before the informer sees them.
//
// The later of two states of an object is kept, in whichever order they arrive, and a delayed event does not restore a deleted object.
// Objects are shared and must not be modified.
type Cache[T client.Object] struct {
	clock clock.PassiveClock
	// keysOf returns the index keys of an object; nil without an index.
	keysOf func(T) []string
	// claimOf returns the part of a uuid that is unique in a namespace.
	claimOf func(id string) string

	mu         sync.RWMutex
	rows       map[types.UID]*row[T]
	names      map[types.NamespacedName]*row[T]
	claims     map[types.NamespacedName]*claim[T] // namespace and claimed part of a uuid
	namespaces map[string]map[types.UID]*row[T]
	indexed    map[types.NamespacedName]map[types.UID]*row[T] // namespace and key
	tombstones *utilcache.LRUExpireCache                      // uids
}

type row[T client.Object] struct {
	object T
	// label is the uuid in the object's label; "" for none.
	label   string
	keys    []string
	created int64
	// undecodable objects have only metadata: lists omit them.
	undecodable bool
	// unconfirmed is when this server wrote the object; zero once the informer has seen it.
	unconfirmed time.Time
}

// NewCache returns an empty cache. keysOf returns the keys with which ListBy finds an object; it may be nil and must not panic.
func NewCache[T client.Object](clk clock.WithTicker, keysOf func(T) []string) *Cache[T] {
	return &Cache[T]{
		clock: clk, keysOf: keysOf, claimOf: func(id string) string { return id },
		rows: map[types.UID]*row[T]{}, names: map[types.NamespacedName]*row[T]{}, namespaces: map[string]map[types.UID]*row[T]{},
		claims: map[types.NamespacedName]*claim[T]{}, indexed: map[types.NamespacedName]map[types.UID]*row[T]{},
		tombstones: utilcache.NewLRUExpireCacheWithClock(tombstoneCount, clk),
	}
}

// FillFrom fills the cache from an informer. The registration has synced when the cache has all objects of the informer's first list, which
// is later than the informer's own HasSynced.
func (t *Cache[T]) FillFrom(informer toolscache.SharedIndexInformer) (toolscache.ResourceEventHandlerRegistration, error) {
	return informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { t.observe(obj) },
		UpdateFunc: func(_, obj any) { t.observe(obj) },
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			if object, ok := obj.(T); ok {
				t.Remove(object.GetUID())
			}
		},
	})
}

func (t *Cache[T]) observe(obj any) {
	if object, ok := obj.(T); ok {
		t.put(object, time.Time{})
	}
}

// AddWritten adds an object that the API returned for a write of this server.
func (t *Cache[T]) AddWritten(object T) { t.put(object, t.clock.Now()) }

// Remove deletes an object. Later events about it are ignored.
func (t *Cache[T]) Remove(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tombstones.Add(uid, true, tombstoneTTL)
	if old, ok := t.rows[uid]; ok {
		t.remove(old)
	}
}

func (t *Cache[T]) put(object T, unconfirmed time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	uid := object.GetUID()
	if uid == "" || object.GetName() == "" {
		return // written to etcd without validation: it cannot be identified
	}
	if _, deleted := t.tombstones.Get(uid); deleted {
		return
	}
	namespace := object.GetNamespace()
	name := types.NamespacedName{Namespace: namespace, Name: object.GetName()}
	if owner, ok := t.names[name]; ok {
		sameObject := owner.object.GetUID() == uid
		if sameObject && unconfirmed.IsZero() {
			owner.unconfirmed = time.Time{}
		}
		if !laterThan(object.GetResourceVersion(), owner.object.GetResourceVersion()) {
			return
		}
		if sameObject {
			unconfirmed = owner.unconfirmed
		} else {
			t.tombstones.Add(owner.object.GetUID(), true, tombstoneTTL) // deleted, because another object has its name
		}
		t.remove(owner)
	}
	fresh := &row[T]{object: object, label: v1alpha1.ClaimedUUID(object), created: CreatedMicros(object), unconfirmed: unconfirmed,
		undecodable: v1alpha1.DecodeError(object) != ""}
	if t.keysOf != nil {
		fresh.keys = t.keysOf(object)
	}
	t.rows[uid] = fresh
	t.names[name] = fresh
	addRow(t.namespaces, namespace, uid, fresh)
	t.addClaims(fresh)
	for _, key := range fresh.keys {
		addRow(t.indexed, types.NamespacedName{Namespace: namespace, Name: key}, uid, fresh)
	}
}

// remove deletes a row from every map. The caller holds the lock.
func (t *Cache[T]) remove(r *row[T]) {
	uid, namespace := r.object.GetUID(), r.object.GetNamespace()
	delete(t.rows, uid)
	delete(t.names, types.NamespacedName{Namespace: namespace, Name: r.object.GetName()})
	removeRow(t.namespaces, namespace, uid)
	t.removeClaims(r)
	for _, key := range r.keys {
		removeRow(t.indexed, types.NamespacedName{Namespace: namespace, Name: key}, uid)
	}
}

func addRow[K comparable, T client.Object](in map[K]map[types.UID]*row[T], key K, uid types.UID, r *row[T]) {
	rows := in[key]
	if rows == nil {
		rows = map[types.UID]*row[T]{}
		in[key] = rows
	}
	rows[uid] = r
}

func removeRow[K comparable, T client.Object](in map[K]map[types.UID]*row[T], key K, uid types.UID) {
	rows := in[key]
	delete(rows, uid)
	if len(rows) == 0 {
		delete(in, key)
	}
}

// Named returns the object with the name.
func (t *Cache[T]) Named(namespace, name string) (T, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r, ok := t.names[types.NamespacedName{Namespace: namespace, Name: name}]; ok && t.visible(r) {
		return r.object, true
	}
	var none T
	return none, false
}

// List returns the decodable objects of a namespace, newest first.
func (t *Cache[T]) List(namespace string) []T {
	t.mu.RLock()
	rows := t.visibleRows(t.namespaces[namespace])
	t.mu.RUnlock()
	return objects(rows)
}

// ListBy returns the decodable objects of a namespace with the index key, newest first.
func (t *Cache[T]) ListBy(namespace, key string) []T {
	t.mu.RLock()
	rows := t.visibleRows(t.indexed[types.NamespacedName{Namespace: namespace, Name: key}])
	t.mu.RUnlock()
	return objects(rows)
}

// CountBy returns the number of objects that ListBy would return.
func (t *Cache[T]) CountBy(namespace, key string) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	count := 0
	for _, r := range t.indexed[types.NamespacedName{Namespace: namespace, Name: key}] {
		if t.visible(r) && !r.undecodable {
			count++
		}
	}
	return count
}

func (t *Cache[T]) visibleRows(from map[types.UID]*row[T]) []*row[T] {
	rows := make([]*row[T], 0, len(from))
	for _, r := range from {
		if t.visible(r) && !r.undecodable {
			rows = append(rows, r)
		}
	}
	return rows
}

func (t *Cache[T]) visible(r *row[T]) bool {
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

// laterThan reports whether a was stored after b. Versions that cannot be compared count as later, so that the last one to arrive is kept.
func laterThan(a, b string) bool {
	if a == b {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || order > 0
}

// CreatedMicros is the creation time in µs since 1970, from the annotation, because creationTimestamp has whole seconds. Use it only to
// order and display objects: clients can set the annotation.
func CreatedMicros(object metav1.Object) int64 {
	if text, ok := object.GetAnnotations()[v1alpha1.AnnotationCreated]; ok {
		if micros, err := strconv.ParseInt(text, 10, 64); err == nil && micros > 0 && micros < 1<<53 {
			return micros
		}
	}
	return object.GetCreationTimestamp().UnixMicro()
}

// UpdatedMicros is the time of the last write of the object, without its status.
func UpdatedMicros(object metav1.Object) int64 {
	if micros, err := strconv.ParseInt(object.GetAnnotations()[v1alpha1.AnnotationUpdated], 10, 64); err == nil && micros < 1<<53 {
		return max(micros, CreatedMicros(object))
	}
	return CreatedMicros(object)
}

// recordUpdated replaces the managed fields by an annotation with the time of the last write.
func recordUpdated(object metav1.Object) {
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
		delete(annotations, v1alpha1.AnnotationUpdated) // a client may have stored one
	}
	object.SetManagedFields(nil)
}
