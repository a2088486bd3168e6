// Package sized provides an LRU cache that is bounded by the total size of its values.
package sized

import (
	"container/list"
	"sync"
)

// Cache keeps the most recently used values up to a total size.
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

// New returns a cache of that capacity, in the unit of the sizes passed to Put.
func New[K comparable, V any](capacity int64) *Cache[K, V] {
	return &Cache[K, V]{capacity: capacity, entries: map[K]*list.Element{}, recent: list.New()}
}

// Get returns the value of the key, if it is cached.
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

// Put caches a value of that size; a value larger than the cache is not cached.
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

// Forget removes the key.
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
