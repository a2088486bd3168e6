package report

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Stored is the outcome store.
type Stored interface {
	// Names lists the runs with rows in the store.
	Names(ctx context.Context) (map[types.UID]types.NamespacedName, error)
	// Forget deletes all rows of a run.
	Forget(ctx context.Context, uid types.UID) error
}

// Sweeper deletes the rows of runs that are gone. An empty cache, or a cluster that is being restored, must not empty the
// store: a run counts as gone when the API itself returned 404 twice, an interval apart, and no other answer in between.
type Sweeper struct {
	stored   Stored
	reader   client.Reader
	cached   func(types.UID) bool
	clock    clock.WithTicker
	interval time.Duration
	// gone is when a run was first observed to be gone.
	gone map[types.UID]time.Time
	// forget is called for each swept run, so that caches drop it.
	forgotten func(types.UID)
}

// NewSweeper returns a sweeper. cached reports whether a run is known to exist, forgotten is called for swept runs.
func NewSweeper(stored Stored, reader client.Reader, cached func(types.UID) bool, forgotten func(types.UID), interval time.Duration, clock clock.WithTicker) *Sweeper {
	return &Sweeper{
		stored:    stored,
		reader:    reader,
		cached:    cached,
		forgotten: forgotten,
		interval:  interval,
		clock:     clock,
		gone:      map[types.UID]time.Time{},
	}
}

// Run sweeps every interval until ctx ends, once at the start.
func (s *Sweeper) Run(ctx context.Context) {
	ticker := s.clock.NewTicker(s.interval)
	defer ticker.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Sweeping the outcomes of deleted runs failed, will retry", "after", s.interval)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// sweep checks every run of the store. A failure of one run does not affect the others.
func (s *Sweeper) sweep(ctx context.Context) error {
	names, err := s.stored.Names(ctx)
	if err != nil {
		return err
	}
	for uid := range s.gone {
		if _, ok := names[uid]; !ok {
			delete(s.gone, uid)
		}
	}
	var errs []error
	for uid, name := range names {
		gone, err := s.isGone(ctx, uid, name)
		if err != nil {
			// No answer: the earlier observation does not count either.
			delete(s.gone, uid)
			errs = append(errs, err)
			continue
		}
		if !gone {
			delete(s.gone, uid)
			continue
		}
		since, seen := s.gone[uid]
		if !seen {
			s.gone[uid] = s.clock.Now()
			continue
		}
		// Ticks can be early or late; half an interval distinguishes the second check from the first.
		if s.clock.Since(since) < s.interval/2 {
			continue
		}
		if err := s.stored.Forget(ctx, uid); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(s.gone, uid)
		s.forgotten(uid)
		klog.FromContext(ctx).Info("Deleted the outcomes of a deleted run", "run", klog.KRef(name.Namespace, name.Name), "runUID", uid)
	}
	return errors.Join(errs...)
}

// isGone reads from the API, unless the cache has the run.
func (s *Sweeper) isGone(ctx context.Context, uid types.UID, name types.NamespacedName) (bool, error) {
	if s.cached(uid) {
		return false, nil
	}
	run := &v1alpha1.FunctionRun{}
	err := s.reader.Get(ctx, name, run)
	switch {
	case apierrors.IsNotFound(err):
		return notFoundObject(err), nil
	case err != nil:
		return false, err
	}
	return run.UID != uid, nil
}

// notFoundObject distinguishes a missing run from a missing kind: while the CRD is not installed, every name is answered with a
// 404 that is not a Status, which the client marks by a cause.
func notFoundObject(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Name != "" && len(details.Causes) == 0
}
