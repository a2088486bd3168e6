package core

import (
	"container/list"
	"sync"
)

// sizedCache keeps the values that were used last, so many bytes of them.
type sizedCache[K comparable, V any] struct {
	mu       sync.Mutex
	capacity int64
	used     int64
	entries  map[K]*list.Element
	recent   *list.List // of sizedEntry[K, V]; the front was used last
}

type sizedEntry[K comparable, V any] struct {
	key   K
	value V
	size  int64
}

func newSizedCache[K comparable, V any](capacity int64) *sizedCache[K, V] {
	return &sizedCache[K, V]{capacity: capacity, entries: map[K]*list.Element{}, recent: list.New()}
}

func (c *sizedCache[K, V]) get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[key]
	if !ok {
		var none V
		return none, false
	}
	c.recent.MoveToFront(element)
	return element.Value.(sizedEntry[K, V]).value, true
}

// put keeps a value of that size; one that is larger than the cache is not kept.
func (c *sizedCache[K, V]) put(key K, value V, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[key]; ok || size > c.capacity {
		return
	}
	c.entries[key] = c.recent.PushFront(sizedEntry[K, V]{key, value, size})
	c.used += size
	for c.used > c.capacity {
		c.drop(c.recent.Back())
	}
}

func (c *sizedCache[K, V]) forget(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[key]; ok {
		c.drop(element)
	}
}

func (c *sizedCache[K, V]) drop(element *list.Element) {
	entry := c.recent.Remove(element).(sizedEntry[K, V])
	delete(c.entries, entry.key)
	c.used -= entry.size
}
