// Package quotas limits what each namespace stores in the outcome store: uploads, and results with output.
//
//	quotas.go    what a namespace uses, and how much more it may store
//	limits.go    the quota of a namespace: the default, or an annotation of the Namespace
//	messages.go  the messages for a namespace that exceeds a quota
//	metrics.go   metrics
//
// The rows of the store are authoritative: each run and each upload has the sum of its rows, updated in the same transaction.
// This package caches the sum of a namespace, plus what this server has added since, so that not every call has to sum. The
// cache may be dropped at any time.
//
// What must not be here: the consequences of a quota that is used up (packages work and uploads decide them), SQL.
package quotas

import (
	"math"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// Kind is what a quota limits.
type Kind string

// The kinds.
const (
	Uploads Kind = "uploads"
	Results Kind = "results"
)

const (
	// validFor is how long a sum is used although other servers may have stored more since. A namespace can exceed its quota
	// by what they store in that time.
	validFor = time.Second
	// costShare: a slow sum is computed less often, so that summing takes at most 1/costShare of the time.
	costShare = 20
	// maxKnown limits the number of cached namespaces; above it, the cache is cleared.
	maxKnown = 1 << 14
)

// Quotas limits what namespaces may store. A nil *Quotas sets no limits. Its methods are safe for concurrent use.
type Quotas struct {
	defaults   Limits
	namespaces Namespaces
	clock      clock.PassiveClock

	mu    sync.Mutex
	known map[key]*use
	// invalid are annotations with an invalid value, so that each is logged once; logged is when a rejection was last logged.
	invalid map[string]bool
	logged  map[string]time.Time
}

type key struct {
	kind      Kind
	namespace string
	uid       types.UID
}

// use is what a namespace stores.
type use struct {
	counted bool
	// sum is what the rows counted at the time at, and cost how long summing took; added is what this server has added since.
	sum, added int64
	at         time.Time
	cost       time.Duration
}

// New returns quotas with defaults for namespaces without an annotation.
func New(defaults Limits, namespaces Namespaces, clk clock.PassiveClock) *Quotas {
	registerMetrics()
	return &Quotas{defaults: defaults, namespaces: namespaces, clock: clk, known: map[key]*use{}, invalid: map[string]bool{}, logged: map[string]time.Time{}}
}

// Room is what a namespace stores and its quota.
type Room struct {
	Kind      Kind
	Namespace string
	// Used is what it stores; Limit is its quota, 0 for none.
	Used, Limit int64
}

// Left returns how many bytes more it may store; negative if it exceeds its quota.
func (r *Room) Left() int64 {
	if r.Limit == 0 {
		return math.MaxInt64
	}
	return r.Limit - r.Used
}

// Room returns what the namespace stores and may store, for a caller that wants to store want bytes more. It must be called
// in the transaction that stores them, so that the sum includes its writes.
//
// With one server, which sees all writes, the result is exact. Concurrent transactions of several servers, or of one server
// on PostgreSQL, do not see each other: the namespace can exceed its quota by what they store.
func (q *Quotas) Room(tx *outcomes.Tx, kind Kind, namespace string, want int64) (Room, error) {
	if q == nil {
		return Room{}, nil
	}
	uid, limit := q.Of(kind, namespace)
	room := Room{Kind: kind, Namespace: namespace, Limit: limit}
	if limit == 0 {
		return room, nil
	}
	k := key{kind, namespace, uid}
	used, added, enough := q.estimate(k, limit, want)
	room.Used = used
	if enough {
		return room, nil
	}
	started := q.clock.Now()
	sum, err := q.sum(tx, k)
	if err != nil {
		return Room{}, err
	}
	room.Used = q.counted(k, sum, added, started)
	return room, nil
}

// estimate returns the cached use of a namespace. It is enough if want certainly fits or nothing more fits, or if another sum
// would be too expensive. Bytes of this server are added before their commit and stay until the next sum if it fails, so the
// estimate is rather too high than too low.
func (q *Quotas) estimate(k key, limit, want int64) (used, added int64, enough bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.known[k]
	if u == nil {
		return 0, 0, false
	}
	if !u.counted {
		return 0, u.added, false
	}
	age := q.clock.Since(u.at)
	used = u.sum + u.added
	switch {
	case age < costShare*u.cost:
		enough = true
	case age < validFor:
		enough = want <= limit-used || u.sum >= limit
	}
	return used, u.added, enough
}

// counted records a sum that includes everything added before it started, and returns the namespace's use.
func (q *Quotas) counted(k key, sum, added int64, started time.Time) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.use(k)
	u.counted, u.sum, u.at = true, sum, started
	u.cost = q.clock.Since(started)
	// Bytes that were added during the summing may be missing from the sum.
	u.added = max(0, u.added-added)
	return u.sum + u.added
}

// use returns the entry of a namespace. mu must be held.
func (q *Quotas) use(k key) *use {
	u := q.known[k]
	if u == nil {
		if len(q.known) >= maxKnown {
			clear(q.known)
		}
		u = &use{}
		q.known[k] = u
	}
	return u
}

func (q *Quotas) sum(tx *outcomes.Tx, k key) (int64, error) {
	if k.kind == Uploads {
		return tx.UploadsBytes(k.namespace, k.uid)
	}
	return tx.RunsBytes(k.namespace, k.uid)
}

// Added records that a transaction that is about to commit adds bytes to what a namespace stores.
func (q *Quotas) Added(kind Kind, namespace string, bytes int64) {
	if q == nil || bytes == 0 {
		return
	}
	uid, limit := q.Of(kind, namespace)
	if limit == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.use(key{kind, namespace, uid}).added += bytes
}

// Freed records that rows of a namespace were deleted: the next call of Room computes the sum.
func (q *Quotas) Freed(kind Kind, namespace string) {
	if q == nil {
		return
	}
	uid, _ := q.Of(kind, namespace)
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.known, key{kind, namespace, uid})
}
