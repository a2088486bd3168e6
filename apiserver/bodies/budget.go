package bodies

import (
	"errors"
	"sync"
)

var (
	// ErrFull: the budget has no room for the bytes that arrived. 429; what the body had is given back.
	ErrFull = errors.New("too many bytes of bodies are being read: try again")
	// ErrBusy: another body of the same sender is being read. 429.
	ErrBusy = errors.New("another body of the same sender is being read: send one at a time")
)

const (
	// least is what any body counts as.
	least = 4 << 10
	// small is how many bytes a body may have that can use all of a budget. Larger ones leave an eighth of it to the small.
	small = 64 << 10
)

// Kind is a kind of key. The set is closed: each is a label of a metric.
type Kind string

// The kinds.
const (
	Pod       Kind = "pod"
	Caller    Kind = "caller"
	Namespace Kind = "namespace"
	Address   Kind = "address"
)

// Key is what a body is charged to, beside the whole: a kind, such as Pod, and a name.
type Key struct {
	Kind Kind
	Name string
}

// Budget is how many bytes of bodies may be in memory at the same time. It charges bytes that have arrived: a body that is only
// announced takes no room. A body that finds none is refused at once and gives its share back, so no body waits for another.
type Budget struct {
	class Class
	total int64
	caps  map[Kind]int64

	mu   sync.Mutex
	used int64
	keys map[Key]int64
	busy map[Key]bool
}

// NewBudget makes a budget of total bytes; metrics show it under its class. caps are the most that one key of a kind may have of them; a kind without a cap may
// have all. With each cap below the total, no caller shuts the others out.
func NewBudget(class Class, total int64, caps map[Kind]int64) *Budget {
	registerMetrics()
	bodyLimit.WithLabelValues(string(class)).Set(float64(total))
	return &Budget{class: class, total: total, caps: caps, keys: map[Key]int64{}, busy: map[Key]bool{}}
}

// Used is how many bytes are charged.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Charge is the part of a budget that one body has.
type Charge struct {
	budget  *Budget
	keys    []Key
	alone   Key // the zero key where others of the sender may be read beside it
	arrived int64
	charged int64
}

// Open begins the charge of a body. Close ends it.
func (b *Budget) Open(keys ...Key) (*Charge, error) { return b.open(Key{}, keys) }

// OpenAlone is Open for a body of which the key may have one at a time.
func (b *Budget) OpenAlone(alone Key, keys ...Key) (*Charge, error) { return b.open(alone, keys) }

func (b *Budget) open(alone Key, keys []Key) (*Charge, error) {
	c := &Charge{budget: b, keys: keys}
	b.mu.Lock()
	defer b.mu.Unlock()
	if alone != (Key{}) {
		if b.busy[alone] {
			b.refused(reasonBusy)
			return nil, ErrBusy
		}
		b.busy[alone], c.alone = true, alone
	}
	if !b.take(c, least) {
		delete(b.busy, c.alone)
		return nil, ErrFull
	}
	return c, nil
}

// take charges n more bytes, if there is room. The lock is held.
func (b *Budget) take(c *Charge, n int64) bool {
	room := b.total
	if c.charged+n > small {
		room -= room / 8
	}
	if b.used+n > room {
		b.refused(reasonServer)
		return false
	}
	for _, key := range c.keys {
		if limit, capped := b.caps[key.Kind]; capped && b.keys[key]+n > limit {
			b.refused(string(key.Kind))
			return false
		}
	}
	b.add(n)
	c.charged += n
	for _, key := range c.keys {
		b.keys[key] += n
	}
	return true
}

// add changes how many bytes are charged. The lock is held.
func (b *Budget) add(n int64) {
	b.used += n
	bodyBytes.WithLabelValues(string(b.class)).Add(float64(n))
}

func (b *Budget) refused(reason string) {
	bodyRefusals.WithLabelValues(string(b.class), reason).Inc()
}

// Arrived charges n more bytes, or returns ErrFull.
func (c *Charge) Arrived(n int) error {
	c.arrived += int64(n)
	missing := (c.arrived+least-1)/least*least - c.charged
	if missing <= 0 {
		return nil
	}
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	if !c.budget.take(c, missing) {
		return ErrFull
	}
	return nil
}

// Read says that the body has been read: another of the same sender may come. The bytes stay charged until Close.
func (c *Charge) Read() {
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	c.read()
}

func (c *Charge) read() {
	if c.alone != (Key{}) {
		delete(c.budget.busy, c.alone)
		c.alone = Key{}
	}
}

// Close gives everything back. It may be called again.
func (c *Charge) Close() {
	b := c.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	c.read()
	b.add(-c.charged)
	for _, key := range c.keys {
		if b.keys[key] -= c.charged; b.keys[key] == 0 {
			delete(b.keys, key)
		}
	}
	c.charged = 0
}
