package work

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// leaseKey identifies a worker of a run.
type leaseKey struct{ run, pod types.UID }

// leaseNames locate the worker's pod when its lease expires.
type leaseNames struct{ namespace, run, pod string }

// heartbeat identifies the latest recorded call of a worker. When it changes, the worker is alive, whichever server it called. The values
// are only compared for equality, so the clocks of two servers are never compared.
type heartbeat struct{ sequence, micros int64 }

func heartbeatOf(worker *outcomes.Worker) heartbeat {
	return heartbeat{worker.Sequence, worker.LastMicros}
}

// deadlines holds when leases expire. It is in memory and uses the monotonic clock: a clock step expires no lease, and a server that starts
// or was suspended extends every lease by one period.
//
// Several servers may share the store. A lease expires when its heartbeat did not change for one period while this server watched, and the
// worker made no call here. The transaction that ends the lease checks the heartbeat again.
type deadlines struct {
	clock clock.PassiveClock
	epoch time.Time
	lease time.Duration

	mu sync.Mutex
	// leases by worker. Times are relative to epoch.
	leases map[leaseKey]*lease
	// notBefore: no lease expires earlier.
	notBefore time.Duration
	// lastSweep is when expired was last called; -1 before the first time.
	lastSweep time.Duration
}

type lease struct {
	leaseNames
	deadline time.Duration
	// heartbeat is the latest one that was read from the store.
	heartbeat heartbeat
	// last is when a call to this server wrote the heartbeat, to compute the worker's time; -1 if it never called this server.
	last time.Duration
	// touched is when a call of the worker last changed this entry.
	touched time.Duration
	// calls counts the worker's calls that are being decided or kept open.
	calls int
	// live: the store has a lease of the worker. Otherwise the entry exists only during its calls.
	live bool
}

func newDeadlines(clock clock.PassiveClock, period time.Duration) *deadlines {
	d := &deadlines{clock: clock, epoch: clock.Now(), lease: period, leases: map[leaseKey]*lease{}, lastSweep: -1}
	d.notBefore = period
	return d
}

func (d *deadlines) now() time.Duration { return d.clock.Since(d.epoch) }

// enter notes the start of a worker's call. It reports whether the worker has called this server before.
func (d *deadlines) enter(key leaseKey, names leaseNames) (known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry, ok := d.leases[key]
	if !ok {
		entry = &lease{last: -1}
		d.leases[key] = entry
	}
	entry.leaseNames = names
	entry.calls++
	entry.touch(d)
	return entry.last >= 0
}

// leave notes the end of a call, answered or not.
func (d *deadlines) leave(key leaseKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry, ok := d.leases[key]
	if !ok {
		return
	}
	entry.calls--
	entry.touch(d)
	if entry.calls <= 0 && !entry.live {
		delete(d.leases, key)
	}
}

func (l *lease) touch(d *deadlines) {
	l.touched = d.now()
	l.deadline = l.touched + d.lease
}

// called notes the result of a call: whether the worker has a lease, the heartbeat in the store, and whether this call wrote it.
func (d *deadlines) called(key leaseKey, live bool, stored heartbeat, wrote bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry, ok := d.leases[key]
	if !ok {
		return
	}
	entry.live, entry.heartbeat = live, stored
	entry.touch(d)
	if wrote {
		entry.last = entry.touched
	}
}

// elapsed returns the time since the worker's last call. If this server wrote the stored heartbeat, known is true and the time comes from
// the monotonic clock. Otherwise it comes from the stored time, which is wrong after a clock step.
func (d *deadlines) elapsed(key leaseKey, stored heartbeat, nowMicros int64) (elapsed time.Duration, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if entry, ok := d.leases[key]; ok && entry.last >= 0 && entry.heartbeat == stored {
		return d.now() - entry.last, true
	}
	const maxElapsed = time.Hour
	return min(max(0, time.Duration(nowMicros-stored.micros)*time.Microsecond), maxElapsed), false
}

// observe applies the leases that were in the store at some time after began: leases that other servers granted get deadlines here, those
// with a new heartbeat get new deadlines, and those that other servers ended are dropped.
func (d *deadlines) observe(leases []outcomes.Lease, began time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	there := make(map[leaseKey]bool, len(leases))
	for i := range leases {
		l := &leases[i]
		key, stored := leaseKey{l.Run, l.Pod}, heartbeat{l.Sequence, l.LastMicros}
		there[key] = true
		entry, ok := d.leases[key]
		switch {
		case !ok:
			d.leases[key] = &lease{
				leaseNames: leaseNames{l.Namespace, l.RunName, l.PodName}, deadline: d.now() + d.lease, heartbeat: stored, last: -1, live: true,
			}
		case entry.touched >= began:
			// A call since then is more recent than what was read.
		case !entry.live || entry.heartbeat != stored:
			entry.live, entry.heartbeat, entry.deadline = true, stored, d.now()+d.lease
		}
	}
	for key, entry := range d.leases {
		if !there[key] && entry.touched < began {
			entry.live = false
			if entry.calls <= 0 {
				delete(d.leases, key)
			}
		}
	}
}

// forget drops a worker whose lease has ended.
func (d *deadlines) forget(key leaseKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if entry, ok := d.leases[key]; ok {
		entry.live = false
		if entry.calls <= 0 {
			delete(d.leases, key)
		}
	}
}

// forgetRun drops all workers of a run.
func (d *deadlines) forgetRun(run types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, entry := range d.leases {
		if key.run == run && entry.calls <= 0 {
			delete(d.leases, key)
		}
	}
}

// outage extends all leases by one period: workers could not be served until now.
func (d *deadlines) outage() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notBefore = max(d.notBefore, d.now()+d.lease)
}

// expired returns the leases that have expired. It must be called about every sixth of a lease: a longer gap means that this process was
// stopped (or the machine suspended), and could not receive calls.
func (d *deadlines) expired() []leaseKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if d.lastSweep >= 0 && now-d.lastSweep > d.lease/2 {
		d.notBefore = max(d.notBefore, now+d.lease)
	}
	d.lastSweep = now
	var due []leaseKey
	for key, entry := range d.leases {
		if d.expiredLocked(entry, now) {
			due = append(due, key)
		}
	}
	slices.SortFunc(due, func(a, b leaseKey) int {
		return cmp.Or(cmp.Compare(a.run, b.run), cmp.Compare(a.pod, b.pod))
	})
	return due
}

// names returns the names of a lease.
func (d *deadlines) names(key leaseKey) leaseNames {
	d.mu.Lock()
	defer d.mu.Unlock()
	if entry, ok := d.leases[key]; ok {
		return entry.leaseNames
	}
	return leaseNames{}
}

// stillExpired reports whether the lease is still expired: the worker may have called since, here or another server.
func (d *deadlines) stillExpired(key leaseKey, stored heartbeat) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry, ok := d.leases[key]
	return ok && entry.heartbeat == stored && d.expiredLocked(entry, d.now())
}

func (d *deadlines) expiredLocked(entry *lease, now time.Duration) bool {
	return entry.live && entry.calls <= 0 && now >= entry.deadline && now >= d.notBefore
}

// events notifies the calls that are kept open.
type events struct {
	mu      sync.Mutex
	waiting map[types.UID]*event
	// drained is closed when no call may be kept open any more.
	drained  chan struct{}
	draining sync.Once
}

type event struct {
	happened chan struct{}
	watchers int
}

func newEvents() *events {
	return &events{waiting: map[types.UID]*event{}, drained: make(chan struct{})}
}

// of returns a channel that is closed at the next event of the run. The caller must call release when it stops waiting.
func (e *events) of(run types.UID) (happened <-chan struct{}, release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	entry, ok := e.waiting[run]
	if !ok {
		entry = &event{happened: make(chan struct{})}
		e.waiting[run] = entry
	}
	entry.watchers++
	return entry.happened, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if entry.watchers--; entry.watchers == 0 && e.waiting[run] == entry {
			delete(e.waiting, run)
		}
	}
}

// watched returns the runs with open calls.
func (e *events) watched() []types.UID {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.waiting))
}

func (e *events) notify(run types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if entry, ok := e.waiting[run]; ok {
		close(entry.happened)
		delete(e.waiting, run)
	}
}

func (e *events) drain() { e.draining.Do(func() { close(e.drained) }) }
