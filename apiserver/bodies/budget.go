package bodies

import (
	"errors"
	"sync"
)

var (
	// ErrFull: the budget has no room for the bytes that arrived. The answer is 429, and the body's share is released.
	ErrFull = errors.New("the memory for request bodies is used up: try again in a second")
	// ErrBusy: another body of the same sender is being read. The answer is 429.
	ErrBusy = errors.New("another body of the same sender is being read: send one at a time")
)

const (
	// minCharge is the minimum charge of a body.
	minCharge = 4 << 10
	// maxSmallBody is the size up to which a body can use all of a budget. Larger bodies leave an eighth of it to smaller
	// ones.
	maxSmallBody = 64 << 10
)

// Kind is a kind of key. The set is closed, because each is a label of a metric.
type Kind string

// The kinds.
const (
	Pod       Kind = "pod"
	Caller    Kind = "caller"
	Namespace Kind = "namespace"
	Address   Kind = "address"
)

// Key is what a body is charged to in addition to the total: a kind, such as Pod, and a name.
type Key struct {
	Kind Kind
	Name string
}

// Budget limits the bytes of request bodies in memory. It charges bytes that have arrived; announced bytes are not charged. A
// body that exceeds the budget is refused immediately and releases its share, so bodies never wait for each other.
type Budget struct {
	class Class
	total int64
	caps  map[Kind]int64

	mu   sync.Mutex
	used int64
	keys map[Key]int64
	busy map[Key]bool
}

// NewBudget returns a budget of total bytes, with the class as its label in metrics. caps are the maximum for one key of each
// kind; a kind without a cap may use the total. If each cap is below the total, no caller can exclude all others.
func NewBudget(class Class, total int64, caps map[Kind]int64) *Budget {
	registerMetrics()
	bodyLimit.WithLabelValues(string(class)).Set(float64(total))
	return &Budget{class: class, total: total, caps: caps, keys: map[Key]int64{}, busy: map[Key]bool{}}
}

// Used returns the charged bytes.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Charge is the share of a budget that one body uses.
type Charge struct {
	budget    *Budget
	keys      []Key
	exclusive Key // the zero key if the sender may send several bodies at a time
	arrived   int64
	charged   int64
}

// Open starts the charge of a body. Close ends it.
func (b *Budget) Open(keys ...Key) (*Charge, error) { return b.open(Key{}, keys) }

// OpenExclusive is like Open, for a key that may send one body at a time.
func (b *Budget) OpenExclusive(exclusive Key, keys ...Key) (*Charge, error) {
	return b.open(exclusive, keys)
}

func (b *Budget) open(exclusive Key, keys []Key) (*Charge, error) {
	c := &Charge{budget: b, keys: keys}
	b.mu.Lock()
	defer b.mu.Unlock()
	if exclusive != (Key{}) {
		if b.busy[exclusive] {
			b.refused(reasonBusy)
			return nil, ErrBusy
		}
		b.busy[exclusive], c.exclusive = true, exclusive
	}
	if !b.take(c, minCharge) {
		delete(b.busy, c.exclusive)
		return nil, ErrFull
	}
	return c, nil
}

// take charges n more bytes, if there is room. mu must be held.
func (b *Budget) take(c *Charge, n int64) bool {
	room := b.total
	if c.charged+n > maxSmallBody {
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

// add changes the number of charged bytes. mu must be held.
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
	missing := (c.arrived+minCharge-1)/minCharge*minCharge - c.charged
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

// Read records that the body has been read: the sender may send another one. The bytes stay charged until Close.
func (c *Charge) Read() {
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	c.read()
}

func (c *Charge) read() {
	if c.exclusive != (Key{}) {
		delete(c.budget.busy, c.exclusive)
		c.exclusive = Key{}
	}
}

// Close releases the charge. It may be called more than once.
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
