package work

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

const (
	// sweepsPerLease is how often deadlines are looked at.
	sweepsPerLease = 6
	// othersInterval is how long a call that is kept open may not notice what another server did for its run. Asking is one
	// small read a second for each run that has such calls. Being told (by LISTEN and NOTIFY, say) would need a connection more, one
	// that may be lost unseen, so that asking would be needed beside it.
	othersInterval = time.Second
)

// Run lets leases run out and goes on with closings, until ctx ends.
func (e *Exchange) Run(ctx context.Context) {
	ticker := e.options.Clock.NewTicker(e.options.Lease / sweepsPerLease)
	defer ticker.Stop()
	others := e.options.Clock.NewTicker(othersInterval)
	defer others.Stop()
	applyReport := func(err error, action string) {
		if err != nil && ctx.Err() == nil && !errors.Is(err, outcomes.ErrNotReady) {
			klog.FromContext(ctx).Error(err, "Cannot "+action+"; trying again soon")
		}
	}
	applyReport(e.observe(ctx), "look after leases")
	for {
		applyReport(e.finishClosings(ctx), "go on with closings")
		for tick := false; !tick; {
			select {
			case <-ctx.Done():
				return
			case <-e.closing:
				tick = true
			case <-ticker.C():
				applyReport(e.Sweep(ctx), "end leases that have run out")
				tick = true
			case <-others.C():
				applyReport(e.checkOtherServers(ctx), "look at what other servers did")
			}
		}
	}
}

// observe looks at every lease in the store.
func (e *Exchange) observe(ctx context.Context) error {
	began := e.deadlines.now()
	var leases []outcomes.Lease
	err := e.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		leases, err = tx.Leases()
		return err
	})
	if err != nil {
		e.deadlines.outage()
		return err
	}
	e.deadlines.observe(leases, began)
	return nil
}

// signs are what of a run's row a call that is kept open waits for: something to be handed out, or to be sent away.
type waitState struct {
	next              int
	returned          string
	suspects          string
	closing           string
	nothingToHandOut, closed, row bool
}

// lookAtOthers wakes calls that are kept open when their runs have changed. Much of that happened here, and has woken them
// already; looking once more changes nothing.
func (e *Exchange) checkOtherServers(ctx context.Context) error {
	seen := make(map[types.UID]waitState, len(e.seen))
	for _, uid := range e.events.watched() {
		var now waitState
		err := e.store.View(ctx, func(tx *outcomes.Tx) error {
			now = waitState{}
			row, err := tx.Run(uid)
			if err != nil || row == nil {
				return err
			}
			s := runState{row: *row}
			now = waitState{row.Next, row.Returned.String(), row.Suspects.String(), row.Closing, s.nothingToHandOut(), row.Closed, true}
			return nil
		})
		if err != nil {
			return err
		}
		// The first look has nothing to compare with, and something may have happened between the call's decision and it.
		if before, known := e.seen[uid]; !known || before != now {
			e.events.notify(uid)
		}
		seen[uid] = now
	}
	e.seen = seen
	return nil
}

// Sweep ends the leases that have run out. Run calls it.
func (e *Exchange) Sweep(ctx context.Context) error {
	if err := e.observe(ctx); err != nil {
		return err
	}
	var errs []error
	for _, lease := range e.deadlines.expired() {
		errs = append(errs, e.expire(ctx, lease, e.deadlines.names(lease)))
	}
	return errors.Join(errs...)
}

func (e *Exchange) expire(ctx context.Context, lease leaseKey, names leaseNames) error {
	worker := Worker{Namespace: names.namespace, Run: names.run, RunUID: lease.run, PodName: names.pod, PodUID: lease.pod}
	run, err := e.runOf(ctx, worker)
	if errors.Is(err, ErrNoRun) {
		// What belongs to it is deleted by others.
		e.deadlines.forget(lease)
		return nil
	}
	if errors.Is(err, ErrNotDecodable) {
		return nil // the lease ends when the run can be decoded again
	}
	if err != nil {
		return fmt.Errorf("finding the run %s/%s: %w", names.namespace, names.run, err)
	}
	podExit := e.podExits.PodExit(ctx, names.namespace, names.pod, lease.pod)
	logger(ctx, run).Info("Lease ran out", "pod", klog.KRef(names.namespace, names.pod))
	return e.endLease(ctx, run, worker, podExit, leaseExpired)
}

// finishClosings goes on with closings that were begun by a call, or by a server that has ended since.
func (e *Exchange) finishClosings(ctx context.Context) error {
	var runs []types.UID
	err := e.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		runs, err = tx.ClosingRuns()
		return err
	})
	errs := []error{err}
	for _, run := range runs {
		errs = append(errs, e.fill(ctx, run))
	}
	return errors.Join(errs...)
}
