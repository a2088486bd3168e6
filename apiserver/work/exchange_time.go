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

// leaseKey is a worker of a run.
type leaseKey struct{ run, pod types.UID }

// leaseNames are what the worker's pod is looked up by when the lease runs out.
type leaseNames struct{ namespace, run, pod string }

// beat is what a worker's row says of its latest call that was written down. Whoever sees it change knows that the worker
// lives, whichever server it called; the values mean nothing by themselves, so that no two clocks are ever compared.
type heartbeat struct{ sequence, micros int64 }

func heartbeatOf(worker *outcomes.Worker) heartbeat { return heartbeat{worker.Sequence, worker.LastMicros} }

// deadlines are when leases run out. They are in memory and on the monotonic clock: a clock that is stepped ends no
// lease, and a server that starts, or was away, gives everybody one whole lease more.
//
// There may be other servers on the same store. So a lease runs out when its beat has not changed for one lease while this
// server watched, and no call of the worker was here; whoever ends it makes sure of the beat in the transaction that does.
type deadlines struct {
	clock clock.PassiveClock
	epoch time.Time
	lease time.Duration

	mu sync.Mutex
	// leases by worker; times are since epoch.
	leases map[leaseKey]*lease
	// floor: nothing runs out before.
	notBefore time.Duration
	// swept is when dues was last called; -1 before.
	lastSweep time.Duration
}

type lease struct {
	leaseNames
	deadline time.Duration
	// beat is what the store was last seen to say.
	heartbeat heartbeat
	// last is when the worker's call made that beat here, for the time that it has lived; -1 when it never called here.
	last time.Duration
	// touched is when a call of it last changed this entry.
	touched time.Duration
	// calls of it that are being worked on or kept open.
	calls int
	// live: it has a lease by what is stored. An entry that is not is only there while it calls.
	live bool
}

func newDeadlines(clock clock.PassiveClock, period time.Duration) *deadlines {
	d := &deadlines{clock: clock, epoch: clock.Now(), lease: period, leases: map[leaseKey]*lease{}, lastSweep: -1}
	d.notBefore = period
	return d
}

func (d *deadlines) now() time.Duration { return d.clock.Since(d.epoch) }

// enter notes that a call of the worker has begun. It says whether the worker has called this server before.
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

// leave notes that a call has ended, answered or not.
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

// called notes what a call has come to: whether the worker has a lease now, what its row says, and whether this call wrote
// that.
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

// elapsed is how long ago the worker last called, and whether that is known here: by the monotonic clock where it was this
// server that wrote what is stored, else by what is written down, which a stepped clock can make anything.
func (d *deadlines) elapsed(key leaseKey, stored heartbeat, nowMicros int64) (elapsed time.Duration, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if entry, ok := d.leases[key]; ok && entry.last >= 0 && entry.heartbeat == stored {
		return d.now() - entry.last, true
	}
	const maxElapsed = time.Hour
	return min(max(0, time.Duration(nowMicros-stored.micros)*time.Microsecond), maxElapsed), false
}

// observe takes note of every lease that was in the store at a moment, not before began: those that other servers granted
// get their deadlines here, those whose beat has changed get new ones, and those that others ended are dropped.
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
			// A call knows better.
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

// outage: workers could not get through until now. They get one lease more.
func (d *deadlines) outage() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notBefore = max(d.notBefore, d.now()+d.lease)
}

// dues are the leases that have run out. It must be called every sixth of a lease or so: that it was not means that this
// process stood still (or the machine slept), and with it the calls that came.
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

// names are those of a lease.
func (d *deadlines) names(key leaseKey) leaseNames {
	d.mu.Lock()
	defer d.mu.Unlock()
	if entry, ok := d.leases[key]; ok {
		return entry.leaseNames
	}
	return leaseNames{}
}

// due says whether the lease has still run out: the worker may have called since, here or another server.
func (d *deadlines) stillExpired(key leaseKey, stored heartbeat) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry, ok := d.leases[key]
	return ok && entry.heartbeat == stored && d.expiredLocked(entry, d.now())
}

func (d *deadlines) expiredLocked(entry *lease, now time.Duration) bool {
	return entry.live && entry.calls <= 0 && now >= entry.deadline && now >= d.notBefore
}

// events wakes the calls that are kept open.
type events struct {
	mu      sync.Mutex
	waiting map[types.UID]*event
	// drained is closed when no call may be kept open any more.
	drained  chan struct{}
	draining sync.Once
}

type event struct {
	notify chan struct{}
	watchers int
}

func newEvents() *events {
	return &events{waiting: map[types.UID]*event{}, drained: make(chan struct{})}
}

// of is closed at the next event of the run; release must be called when nobody waits for it any more.
func (e *events) of(run types.UID) (notify <-chan struct{}, release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	entry, ok := e.waiting[run]
	if !ok {
		entry = &event{notify: make(chan struct{})}
		e.waiting[run] = entry
	}
	entry.watchers++
	return entry.notify, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if entry.watchers--; entry.watchers == 0 && e.waiting[run] == entry {
			delete(e.waiting, run)
		}
	}
}

// watched are the runs that calls are kept open for.
func (e *events) watched() []types.UID {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.waiting))
}

func (e *events) notify(run types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if entry, ok := e.waiting[run]; ok {
		close(entry.notify)
		delete(e.waiting, run)
	}
}

func (e *events) drain() { e.draining.Do(func() { close(e.drained) }) }
