package work

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// leaseKey is a worker of a run.
type leaseKey struct{ run, pod types.UID }

// leaseNames are what the worker's pod is looked up by when the lease runs out.
type leaseNames struct{ namespace, run, pod string }

// deadlines are when leases run out. They are in memory and on the monotonic clock: a clock that is stepped ends no
// lease, and a server that starts, or was away, gives everybody one whole lease more.
type deadlines struct {
	clock clock.PassiveClock
	epoch time.Time
	lease time.Duration

	mu sync.Mutex
	// leases by worker; times are since epoch.
	leases map[leaseKey]*lease
	// floor: nothing runs out before.
	floor time.Duration
	// swept is when dues was last called; -1 before.
	swept time.Duration
}

type lease struct {
	leaseNames
	deadline time.Duration
	// last is when the worker last called, for the time that it has lived; -1 when that was another server.
	last time.Duration
	// calls of it that are being worked on or kept open.
	calls int
	// live: it has a lease by what is stored. An entry that is not is only there while it calls.
	live bool
}

func newDeadlines(clock clock.PassiveClock, period time.Duration) *deadlines {
	d := &deadlines{clock: clock, epoch: clock.Now(), lease: period, leases: map[leaseKey]*lease{}, swept: -1}
	d.floor = period
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
	entry.deadline = d.now() + d.lease
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
	entry.deadline = d.now() + d.lease
	if entry.calls <= 0 && !entry.live {
		delete(d.leases, key)
	}
}

// called notes what a call has come to: whether the worker has a lease now, and whether its time was written down.
func (d *deadlines) called(key leaseKey, live, wrote bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry, ok := d.leases[key]
	if !ok {
		return
	}
	entry.live = live
	entry.deadline = d.now() + d.lease
	if wrote {
		entry.last = d.now()
	}
}

// elapsed is how long ago the worker last called: by the monotonic clock where this server knows, else by what is written
// down, which a stepped clock can make anything.
func (d *deadlines) elapsed(key leaseKey, writtenMicros int64) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if entry, ok := d.leases[key]; ok && entry.last >= 0 {
		return d.now() - entry.last
	}
	const most = time.Hour
	return min(max(0, time.Duration(writtenMicros)*time.Microsecond), most)
}

// restore gives a lease that an earlier server granted its deadline here.
func (d *deadlines) restore(key leaseKey, names leaseNames) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if entry, ok := d.leases[key]; ok {
		entry.live = true
		return
	}
	d.leases[key] = &lease{leaseNames: names, deadline: d.now() + d.lease, last: -1, live: true}
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
	d.floor = max(d.floor, d.now()+d.lease)
}

// dues are the leases that have run out. It must be called every sixth of a lease or so: that it was not means that this
// process stood still (or the machine slept), and with it the calls that came.
func (d *deadlines) dues() []leaseKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if d.swept >= 0 && now-d.swept > d.lease/2 {
		d.floor = max(d.floor, now+d.lease)
	}
	d.swept = now
	var due []leaseKey
	for key, entry := range d.leases {
		if d.dueLocked(entry, now) {
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

// due says whether the lease has still run out: the worker may have called since.
func (d *deadlines) due(key leaseKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry, ok := d.leases[key]
	return ok && d.dueLocked(entry, d.now())
}

func (d *deadlines) dueLocked(entry *lease, now time.Duration) bool {
	return entry.live && entry.calls <= 0 && now >= entry.deadline && now >= d.floor
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
	happened chan struct{}
	watchers int
}

func newEvents() *events {
	return &events{waiting: map[types.UID]*event{}, drained: make(chan struct{})}
}

// of is closed at the next event of the run; release must be called when nobody waits for it any more.
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

func (e *events) happened(run types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if entry, ok := e.waiting[run]; ok {
		close(entry.happened)
		delete(e.waiting, run)
	}
}

func (e *events) drain() { e.draining.Do(func() { close(e.drained) }) }
