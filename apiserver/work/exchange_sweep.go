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
	// sweepsPerLease is how often per lease the deadlines are checked.
	sweepsPerLease = 6
	// othersInterval is the maximum time after which an open call sees what another server did for its run. It costs one small read per
	// second for each run with open calls. Notifications (LISTEN and NOTIFY, for example) would need another connection, whose loss
	// could go unnoticed, so that polling would be needed as well.
	othersInterval = time.Second
)

// Run expires leases and finishes closings until ctx ends.
func (e *Exchange) Run(ctx context.Context) {
	ticker := e.options.Clock.NewTicker(e.options.Lease / sweepsPerLease)
	defer ticker.Stop()
	others := e.options.Clock.NewTicker(othersInterval)
	defer others.Stop()
	logError := func(err error, action string) {
		if err != nil && ctx.Err() == nil && !errors.Is(err, outcomes.ErrNotReady) {
			klog.FromContext(ctx).Error(err, "Cannot "+action+"; trying again soon")
		}
	}
	logError(e.observe(ctx), "read the leases")
	for {
		logError(e.finishClosings(ctx), "finish closings")
		for tick := false; !tick; {
			select {
			case <-ctx.Done():
				return
			case <-e.closing:
				tick = true
			case <-ticker.C():
				logError(e.Sweep(ctx), "end expired leases")
				tick = true
			case <-others.C():
				logError(e.checkOtherServers(ctx), "read what other servers changed")
			}
		}
	}
}

// observe compares the deadlines with the leases in the store.
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

// waitState is the part of a run's row that open calls wait for: an input to hand out, or an answer that ends the worker.
type waitState struct {
	next                          int
	returned                      string
	suspects                      string
	closing                       string
	nothingToHandOut, closed, row bool
}

// checkOtherServers notifies open calls whose runs have changed. If this server made the change, it has notified them already, and a
// second notification has no effect.
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
		// The first read has nothing to compare with, and the run may have changed between the call's decision and this read.
		if before, known := e.seen[uid]; !known || before != now {
			e.events.notify(uid)
		}
		seen[uid] = now
	}
	e.seen = seen
	return nil
}

// Sweep ends the leases that have expired. Run calls it.
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
		// The sweeper of package report deletes its rows.
		e.deadlines.forget(lease)
		return nil
	}
	if errors.Is(err, ErrNotDecodable) {
		return nil // the lease is ended when the run can be decoded again
	}
	if err != nil {
		return fmt.Errorf("finding the run %s/%s: %w", names.namespace, names.run, err)
	}
	podExit := e.podExits.PodExit(ctx, names.namespace, names.pod, lease.pod)
	logger(ctx, run).Info("Lease expired", "pod", klog.KRef(names.namespace, names.pod))
	return e.endLease(ctx, run, worker, podExit, leaseExpired)
}

// finishClosings finishes closings that a call began, or a server that stopped.
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
