// Package sized is a cache that is bounded by the size of its content. It does not know what the content is.
package sized

import (
	"container/list"
	"sync"
)

// Cache keeps the values that were used last, so many bytes of them.
type Cache[K comparable, V any] struct {
	mu       sync.Mutex
	capacity int64
	used     int64
	entries  map[K]*list.Element
	recent   *list.List // of entry[K, V]; the front was used last
}

type entry[K comparable, V any] struct {
	key   K
	value V
	size  int64
}

// New makes a cache of that capacity, in the unit of the sizes that are put.
func New[K comparable, V any](capacity int64) *Cache[K, V] {
	return &Cache[K, V]{capacity: capacity, entries: map[K]*list.Element{}, recent: list.New()}
}

// Get returns the value of that key, if it is kept.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[key]
	if !ok {
		var none V
		return none, false
	}
	c.recent.MoveToFront(element)
	return element.Value.(entry[K, V]).value, true
}

// Put keeps a value of that size; one that is larger than the cache is not kept.
func (c *Cache[K, V]) Put(key K, value V, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[key]; ok || size > c.capacity {
		return
	}
	c.entries[key] = c.recent.PushFront(entry[K, V]{key, value, size})
	c.used += size
	for c.used > c.capacity {
		c.drop(c.recent.Back())
	}
}

// Forget drops what is kept under the key.
func (c *Cache[K, V]) Forget(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[key]; ok {
		c.drop(element)
	}
}

func (c *Cache[K, V]) drop(element *list.Element) {
	entry := c.recent.Remove(element).(entry[K, V])
	delete(c.entries, entry.key)
	c.used -= entry.size
}
