package core

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// An object's identity for REST is unique in its namespace. Its metadata.uid belongs to it alone. A uuid that labels claim belongs
// to the first object that claims it: by creationTimestamp, and by uid among those of one second. No client can set these; the
// annotation that says when an object was made decides nothing. Who loses is known by its metadata.uid.
//
// Of runs the first 90 bits are claimed, since the uuids of jobs follow from them.

// claim is who claims a uuid, or what of it is unique.
type claim[T client.Object] struct {
	// uids are those whose metadata.uid it is. There is one, at most, as long as uids are random.
	uids []*row[T]
	// labels are those whose label it is, the first first.
	labels []*row[T]
}

// ClaimedBy makes only that part of uuids unique that claimOf returns; it is called before the table is filled.
func (t *Cache[T]) ClaimedBy(claimOf func(id string) string) *Cache[T] {
	t.claimOf = claimOf
	return t
}

func (t *Cache[T]) claimKey(namespace, id string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: t.claimOf(id)}
}

// enterClaims notes what a row claims. The lock is held.
func (t *Cache[T]) enterClaims(r *row[T]) {
	namespace := r.object.GetNamespace()
	own := t.claimed(t.claimKey(namespace, string(r.object.GetUID())))
	own.uids = append(own.uids, r)
	if r.label != "" {
		c := t.claimed(t.claimKey(namespace, r.label))
		at, _ := slices.BinarySearchFunc(c.labels, r, firstFirst[T])
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

// leaveClaims is the opposite. The lock is held.
func (t *Cache[T]) leaveClaims(r *row[T]) {
	namespace := r.object.GetNamespace()
	leave := func(id string, from func(*claim[T])) {
		key := t.claimKey(namespace, id)
		if c := t.claims[key]; c != nil {
			if from(c); len(c.uids)+len(c.labels) == 0 {
				delete(t.claims, key)
			}
		}
	}
	leave(string(r.object.GetUID()), func(c *claim[T]) {
		c.uids = slices.DeleteFunc(c.uids, func(other *row[T]) bool { return other == r })
	})
	if r.label == "" {
		return
	}
	leave(r.label, func(c *claim[T]) {
		if at, found := slices.BinarySearchFunc(c.labels, r, firstFirst[T]); found {
			c.labels = slices.Delete(c.labels, at, at+1)
		}
	})
}

func firstFirst[T client.Object](a, b *row[T]) int {
	switch {
	case v1alpha1.ClaimsBefore(a.object, b.object):
		return -1
	case v1alpha1.ClaimsBefore(b.object, a.object):
		return 1
	}
	return 0
}

// identity is what a row is known by. The lock is held.
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

// UUID is the identity of an object for REST.
func (t *Cache[T]) UUID(object T) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r, ok := t.rows[object.GetUID()]; ok {
		return t.identity(r)
	}
	// It is gone from the table, or was never there: what it says of itself is all that is known.
	if claimed := v1alpha1.ClaimedUUID(object); claimed != "" {
		return claimed
	}
	return string(object.GetUID())
}

// Get returns the object of that identity in the namespace.
func (t *Cache[T]) Get(namespace, id string) (T, bool) {
	return t.find(namespace, t.claimOf(id), func(identity string) bool { return identity == id })
}

// find returns the object whose identity has the unique part, and is what is looked for.
func (t *Cache[T]) find(namespace, unique string, is func(identity string) bool) (T, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if c := t.claims[types.NamespacedName{Namespace: namespace, Name: unique}]; c != nil {
		for _, r := range append(slices.Clone(c.uids), c.labels[:min(1, len(c.labels))]...) {
			if t.shown(r) && is(t.identity(r)) {
				return r.object, true
			}
		}
	}
	var none T
	return none, false
}

// ByUID returns the object of that metadata.uid, whatever it is known by.
func (t *Cache[T]) ByUID(uid types.UID) (T, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r, ok := t.rows[uid]; ok && t.shown(r) {
		return r.object, true
	}
	var none T
	return none, false
}
