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

// Stored is what the store keeps of runs.
type Stored interface {
	// Names lists the runs that the store has rows of.
	Names(ctx context.Context) (map[types.UID]types.NamespacedName, error)
	// Forget deletes all that belongs to a run.
	Forget(ctx context.Context, uid types.UID) error
}

// Sweeper deletes from the store what belongs to runs that are gone. A cache that is empty, or a cluster that is just
// being restored, must not empty the store: a run counts as gone when the API itself said so, twice, an interval apart,
// and did not say anything else in between.
type Sweeper struct {
	stored   Stored
	reader   client.Reader
	cached   func(types.UID) bool
	clock    clock.WithTicker
	interval time.Duration
	// gone is since when a run has been seen to be gone.
	gone map[types.UID]time.Time
	// forget lets others drop what they keep of a run.
	forgotten func(types.UID)
}

// NewSweeper makes a sweeper. cached says whether a run is known to exist, forgotten is called for those that were swept.
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
			klog.FromContext(ctx).Error(err, "Sweeping the outcomes of deleted runs failed; it is tried again", "after", s.interval)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// sweep looks at every run of the store. A failure with one does not keep it from the others.
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
			// Nothing is known: what was seen before does not count either.
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
		// Ticks come a little early or late; half an interval tells a second look from the first.
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

// isGone asks the API itself, unless the cache knows the run.
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

// notFoundObject tells "there is no such run" from "there is no such kind": while the CRD is not installed (any more)
// every name is answered with a 404 that is nobody's Status, which the client marks by a cause.
func notFoundObject(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Name != "" && len(details.Causes) == 0
}
