package work

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// sweepsPerLease is how often deadlines are looked at.
const sweepsPerLease = 6

// Run lets leases run out and goes on with closings, until ctx ends.
func (e *Exchange) Run(ctx context.Context) {
	ticker := e.options.Clock.NewTicker(e.options.Lease / sweepsPerLease)
	defer ticker.Stop()
	for loaded := false; ; {
		err := e.finishClosings(ctx)
		if !loaded && err == nil {
			// Leases that an earlier server granted get their deadlines here.
			err = e.loadLeases(ctx)
			loaded = err == nil
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, outcomes.ErrNotReady) {
			klog.FromContext(ctx).Error(err, "Cannot look after leases and closings; trying again soon")
		}
		select {
		case <-ctx.Done():
			return
		case <-e.closing:
		case <-ticker.C():
			if err := e.Sweep(ctx); err != nil && ctx.Err() == nil {
				klog.FromContext(ctx).Error(err, "Cannot end leases that have run out; trying again soon")
			}
		}
	}
}

// loadLeases gives every lease in the store a deadline.
func (e *Exchange) loadLeases(ctx context.Context) error {
	var leases []outcomes.Lease
	err := e.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		leases, err = tx.Leases()
		return err
	})
	if err != nil {
		e.deadlines.outage()
		return err
	}
	for _, l := range leases {
		e.deadlines.restore(leaseKey{l.Run, l.Pod}, leaseNames{l.Namespace, l.RunName, l.PodName})
	}
	return nil
}

// Sweep ends the leases that have run out. Run calls it.
func (e *Exchange) Sweep(ctx context.Context) error {
	var errs []error
	for _, lease := range e.deadlines.dues() {
		errs = append(errs, e.lapse(ctx, lease, e.deadlines.names(lease)))
	}
	return errors.Join(errs...)
}

func (e *Exchange) lapse(ctx context.Context, lease leaseKey, names leaseNames) error {
	worker := Worker{Namespace: names.namespace, Run: names.run, RunUID: lease.run, PodName: names.pod, PodUID: lease.pod}
	run, err := e.runOf(ctx, worker)
	if errors.Is(err, ErrNoRun) {
		// What belongs to it is deleted by others.
		e.deadlines.forget(lease)
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding the run %s/%s: %w", names.namespace, names.run, err)
	}
	fate := e.fates.Fate(ctx, names.namespace, names.pod, lease.pod)
	logger(ctx, run).Info("Lease ran out", "pod", klog.KRef(names.namespace, names.pod))
	return e.bury(ctx, run, worker, fate, lossLapsed)
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
