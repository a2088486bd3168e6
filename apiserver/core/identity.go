package core

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// An object's identity for REST is unique in its namespace. No other object can have its metadata.uid as identity. A uuid in the label
// belongs to the first object that claims it, by creationTimestamp and then by uid, which clients cannot set; the annotation with the
// creation time has no influence. The other claimants are identified by their metadata.uid.
//
// Of the uuids of runs only the first 90 bits are claimed, because the uuids of jobs are derived from them.
// claim has the claimants of a uuid, or of the part of it that must be unique.
type claim[T client.Object] struct {
	// uids are the objects with this metadata.uid: at most one while uids are random.
	uids []*row[T]
	// labels are the objects with this label, the owner first.
	labels []*row[T]
}

// ClaimedBy makes only the part of uuids unique that claimOf returns. Call it before the cache is filled.
func (t *Cache[T]) ClaimedBy(claimOf func(id string) string) *Cache[T] {
	t.claimOf = claimOf
	return t
}

func (t *Cache[T]) claimKey(namespace, id string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: t.claimOf(id)}
}

// addClaims adds a row to the claims on its uid and its label. The caller holds the lock.
func (t *Cache[T]) addClaims(r *row[T]) {
	namespace := r.object.GetNamespace()
	own := t.claimed(t.claimKey(namespace, string(r.object.GetUID())))
	own.uids = append(own.uids, r)
	if r.label != "" {
		c := t.claimed(t.claimKey(namespace, r.label))
		at, _ := slices.BinarySearchFunc(c.labels, r, compareClaims[T])
		c.labels = slices.Insert(c.labels, at, r)
	}
}

func (t *Cache[T]) claimed(key types.NamespacedName) *claim[T] {
	c := t.claims[key]
	if c == nil {
		c = &claim[T]{}
		t.claims[key] = c
	}
	return c
}

// removeClaims reverts addClaims. The caller holds the lock.
func (t *Cache[T]) removeClaims(r *row[T]) {
	namespace := r.object.GetNamespace()
	remove := func(id string, from func(*claim[T])) {
		key := t.claimKey(namespace, id)
		if c := t.claims[key]; c != nil {
			if from(c); len(c.uids)+len(c.labels) == 0 {
				delete(t.claims, key)
			}
		}
	}
	remove(string(r.object.GetUID()), func(c *claim[T]) {
		c.uids = slices.DeleteFunc(c.uids, func(other *row[T]) bool { return other == r })
	})
	if r.label == "" {
		return
	}
	remove(r.label, func(c *claim[T]) {
		if at, found := slices.BinarySearchFunc(c.labels, r, compareClaims[T]); found {
			c.labels = slices.Delete(c.labels, at, at+1)
		}
	})
}

func compareClaims[T client.Object](a, b *row[T]) int {
	switch {
	case v1alpha1.ClaimsBefore(a.object, b.object):
		return -1
	case v1alpha1.ClaimsBefore(b.object, a.object):
		return 1
	}
	return 0
}

// identity returns the identity of a row. The caller holds the lock.
func (t *Cache[T]) identity(r *row[T]) string {
	uid := string(r.object.GetUID())
	if r.label == "" {
		return uid
	}
	c := t.claims[t.claimKey(r.object.GetNamespace(), r.label)]
	if c == nil || len(c.labels) == 0 || c.labels[0] != r {
		return uid
	}
	for _, other := range c.uids {
		if other != r {
			return uid
		}
	}
	return r.label
}

// UUID returns the identity of an object for REST.
func (t *Cache[T]) UUID(object T) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r, ok := t.rows[object.GetUID()]; ok {
		return t.identity(r)
	}
	// The object is not, or no longer, in the cache: only its own label and uid are known.
	if claimed := v1alpha1.ClaimedUUID(object); claimed != "" {
		return claimed
	}
	return string(object.GetUID())
}

// Get returns the object with the identity.
func (t *Cache[T]) Get(namespace, id string) (T, bool) {
	return t.find(namespace, t.claimOf(id), func(identity string) bool { return identity == id })
}

// find returns the object whose identity has the unique part and matches.
func (t *Cache[T]) find(namespace, unique string, matches func(identity string) bool) (T, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if c := t.claims[types.NamespacedName{Namespace: namespace, Name: unique}]; c != nil {
		for _, r := range append(slices.Clone(c.uids), c.labels[:min(1, len(c.labels))]...) {
			if t.visible(r) && matches(t.identity(r)) {
				return r.object, true
			}
		}
	}
	var none T
	return none, false
}

// ByUID returns the object with the metadata.uid, independent of its identity.
func (t *Cache[T]) ByUID(uid types.UID) (T, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r, ok := t.rows[uid]; ok && t.visible(r) {
		return r.object, true
	}
	var none T
	return none, false
}
