package uploads

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

const (
	// unusedTTL is how long an upload is kept that no run references: such a run may be created later. It is also long enough
	// to restore the runs of a cluster from a backup.
	unusedTTL = 24 * time.Hour
	// idleTimeout is how long an incomplete upload is kept without new inputs.
	idleTimeout = time.Hour
	// maxSwept limits one sweep.
	maxSwept = 1000
)

// AnyUpload, in place of a digest, means that a run of the namespace may reference any upload: none is deleted there.
const AnyUpload = ""

// Named returns the uploads that runs reference, as (namespace, digest).
type Named func() (map[[2]string]bool, error)

// Sweeper deletes uploads that no run has referenced for a day. Each sweep records the references: what counts is when an
// upload was last referenced, not whether it is referenced now, so that an empty cache deletes nothing.
type Sweeper struct {
	uploads  *Store
	named    Named
	clock    clock.WithTicker
	interval time.Duration
}

// NewSweeper returns a sweeper that runs at every interval.
func NewSweeper(uploads *Store, named Named, interval time.Duration, clk clock.WithTicker) *Sweeper {
	return &Sweeper{uploads: uploads, named: named, clock: clk, interval: interval}
}

// Run sweeps until ctx ends, first at the start.
func (s *Sweeper) Run(ctx context.Context) {
	ticker := s.clock.NewTicker(s.interval)
	defer ticker.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Failed to sweep unused uploads; will retry", "after", s.interval)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

func (s *Sweeper) sweep(ctx context.Context) error {
	named, err := s.named()
	if err != nil {
		return err
	}
	now := s.clock.Now()
	errs := []error{s.claim(ctx)}
	for key := range named {
		if key[1] == AnyUpload {
			continue
		}
		errs = append(errs, s.use(ctx, key[0], key[1], now))
	}
	var idle []outcomes.Upload
	err = s.uploads.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		idle, err = tx.UploadsUsedBefore(now.Add(-idleTimeout).UnixMicro(), maxSwept)
		return err
	})
	errs = append(errs, err)
	for i := range idle {
		u := &idle[i]
		if u.Complete && !s.foreign(u) && now.UnixMicro()-u.UsedMicros < unusedTTL.Microseconds() {
			continue
		}
		if u.Complete && named[[2]string{u.Namespace, AnyUpload}] {
			continue
		}
		if gone, err := s.release(ctx, u); err != nil || !gone {
			errs = append(errs, err)
			continue
		}
		klog.FromContext(ctx).Info("Deleted an upload that no run references", "namespace", u.Namespace, "digest", u.Digest, "inputs", u.Inputs)
	}
	return errors.Join(errs...)
}

// foreign reports whether an upload belongs to a deleted namespace whose name another one has now. If this server has not
// seen the new namespace yet, no harm is done: uploads that were used within the last hour are not considered.
func (s *Sweeper) foreign(u *outcomes.Upload) bool {
	uid, found := s.uploads.quota.UID(u.Namespace)
	return found && u.NamespaceUID != "" && uid != "" && uid != u.NamespaceUID
}

// claim assigns uploads without a namespace UID, which are older than that column, to the namespaces with their names.
func (s *Sweeper) claim(ctx context.Context) error {
	var names []string
	err := s.uploads.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		names, err = tx.NamespacesOfUnclaimed()
		return err
	})
	errs := []error{err}
	for _, name := range names {
		if uid, found := s.uploads.quota.UID(name); found && uid != "" {
			errs = append(errs, s.uploads.store.Update(ctx, types.UID("uploads/"+name), func(tx *outcomes.Tx) error {
				return tx.ClaimUploads(name, uid)
			}))
		}
	}
	return errors.Join(errs...)
}

// release deletes an upload, unless it was used since it was read.
func (s *Sweeper) release(ctx context.Context, u *outcomes.Upload) (gone bool, err error) {
	err = s.uploads.store.Update(ctx, lockOf(u.Namespace, u.Digest), func(tx *outcomes.Tx) (err error) {
		gone, err = tx.ReleaseUpload(u.ID, u.UsedMicros)
		return err
	})
	if err != nil || !gone {
		return gone, err
	}
	return true, s.uploads.remove(ctx, u.Namespace, u.ID)
}

// use records that an upload is referenced, unless that was recorded recently.
func (s *Sweeper) use(ctx context.Context, namespace, digest string, now time.Time) error {
	uid, found := s.uploads.quota.UID(namespace)
	if !found {
		return nil
	}
	var upload *outcomes.Upload
	find := func(tx *outcomes.Tx) (err error) {
		upload, err = tx.Upload(namespace, uid, digest)
		return err
	}
	if err := s.uploads.store.View(ctx, find); err != nil || upload == nil {
		return err
	}
	if now.UnixMicro()-upload.UsedMicros < idleTimeout.Microseconds()/2 {
		return nil
	}
	return s.uploads.store.Update(ctx, lockOf(namespace, digest), func(tx *outcomes.Tx) error {
		return tx.UseUpload(upload.ID, now.UnixMicro())
	})
}
