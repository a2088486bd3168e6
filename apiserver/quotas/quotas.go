// Package quotas bounds what each namespace has in the outcome store: uploads, and results with output.
//
//	quotas.go    how much a namespace has, and how much more it may have
//	limits.go    the quota of a namespace: the flag's, or what an annotation of the Namespace says
//	sentences.go the messages for a namespace that exceeds a quota
//	metrics.go   metrics
//
// The truth is in the rows of the store: each run and each upload has the sum of what belongs to it, kept in the same
// transaction. What is kept here is the sum of a namespace's rows, with what this server has added since, so that not each call
// sums up. It can be lost at any time.
//
// What must not be here: what follows from a quota that is used up (packages work and uploads decide that), SQL.
package quotas

import (
	"math"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// Kind is what a quota is of.
type Kind string

// The kinds.
const (
	Uploads Kind = "uploads"
	Results Kind = "results"
)

const (
	// validFor is how long a sum is taken for what the other servers have stored, too. A namespace exceeds its quota by what they
	// store in that time, at most.
	validFor = time.Second
	// costShare: a sum that takes long is made less often, so that summing takes no more than one part in so many of the time.
	costShare = 20
	// maxKnown bounds the namespaces that are kept; with more, all sums are made again.
	maxKnown = 1 << 14
)

// Quotas knows how much each namespace may store. A nil one sets no bounds. Its methods may be called from any goroutine.
type Quotas struct {
	defaults   Limits
	namespaces Namespaces
	clock      clock.PassiveClock

	mu    sync.Mutex
	known map[key]*use
	// odd are annotations that were found unreadable, so that each is logged once; logged is when what was not stored was last logged.
	odd    map[string]bool
	logged map[string]time.Time
}

type key struct {
	kind      Kind
	namespace string
	uid       types.UID
}

// use is how much a namespace has.
type use struct {
	counted bool
	// sum is what the rows said at a time, and cost how long summing took; added is what this server has added since.
	sum, added int64
	at         time.Time
	cost       time.Duration
}

// New makes quotas with these limits for namespaces that have no annotation.
func New(defaults Limits, namespaces Namespaces, clk clock.PassiveClock) *Quotas {
	registerMetrics()
	return &Quotas{defaults: defaults, namespaces: namespaces, clock: clk, known: map[key]*use{}, odd: map[string]bool{}, logged: map[string]time.Time{}}
}

// Room is how much a namespace has and may have.
type Room struct {
	Kind      Kind
	Namespace string
	// Used is what it has; Limit its quota, 0 for none.
	Used, Limit int64
}

// Left is how many bytes more it may have; it is negative where the namespace has more than its quota.
func (r *Room) Left() int64 {
	if r.Limit == 0 {
		return math.MaxInt64
	}
	return r.Limit - r.Used
}

// Room returns how much more the namespace may have, to somebody who has so many bytes more for it. It is called in the
// transaction that stores them: what is summed up is then what that transaction sees.
//
// A server that is alone sees all that there is, so the answer is exact. Where several servers, or several transactions of one
// server on PostgreSQL, store at the same moment, they don't see each other: the namespace may exceed its quota by that much.
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
	begun := q.clock.Now()
	sum, err := q.sum(tx, k)
	if err != nil {
		return Room{}, err
	}
	room.Used = q.counted(k, sum, added, begun)
	return room, nil
}

// estimate is what is known of a namespace's use. It is enough where what is wanted fits in any case or nothing more does, and where
// another sum would cost too much. What this server has added counts when it is about to be committed: what then is not
// counts until the next sum, so the estimate is too high rather than too low.
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

// counted notes a sum in which is all that was added up to then, and returns the namespace's use.
func (q *Quotas) counted(k key, sum, added int64, begun time.Time) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.use(k)
	u.counted, u.sum, u.at = true, sum, begun
	u.cost = q.clock.Since(begun)
	// What was added while it was summed up may be missing in it.
	u.added = max(0, u.added-added)
	return u.sum + u.added
}

// use is the entry of a namespace. mu is held.
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

// Added notes that a transaction which is about to be committed adds so many bytes to what a namespace has.
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

// Freed notes that something of a namespace was deleted: the next one to ask sums up.
func (q *Quotas) Freed(kind Kind, namespace string) {
	if q == nil {
		return
	}
	uid, _ := q.Of(kind, namespace)
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.known, key{kind, namespace, uid})
}
