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
	// unusedFor is how long an upload stays that no run names: a run that names it may follow. It is also long enough for
	// a cluster whose runs are being restored from a backup.
	unusedFor = 24 * time.Hour
	// silentFor is how long an upload may be under way without anything coming.
	silentFor = time.Hour
	// sweptAtOnce bounds one sweep.
	sweptAtOnce = 1000
)

// AnyUpload, in place of a digest, says that a run of the namespace may name any upload: none is deleted there.
const AnyUpload = ""

// Named says which uploads runs name, as (namespace, digest).
type Named func() (map[[2]string]bool, error)

// Sweeper deletes uploads that no run has named for a day. That a run names one is noted in each sweep: what counts is
// when it was last seen, not whether it is seen at this moment, so that an empty cache empties nothing.
type Sweeper struct {
	uploads  *Store
	named    Named
	clock    clock.WithTicker
	interval time.Duration
}

// NewSweeper sweeps every interval.
func NewSweeper(uploads *Store, named Named, interval time.Duration, clk clock.WithTicker) *Sweeper {
	return &Sweeper{uploads: uploads, named: named, clock: clk, interval: interval}
}

// Run sweeps until ctx ends, once at the start.
func (s *Sweeper) Run(ctx context.Context) {
	ticker := s.clock.NewTicker(s.interval)
	defer ticker.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Sweeping unused uploads failed; it is tried again", "after", s.interval)
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
	var silent []outcomes.Upload
	err = s.uploads.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		silent, err = tx.UploadsUsedBefore(now.Add(-silentFor).UnixMicro(), sweptAtOnce)
		return err
	})
	errs = append(errs, err)
	for i := range silent {
		u := &silent[i]
		if u.Complete && !s.foreign(u) && now.UnixMicro()-u.UsedMicros < unusedFor.Microseconds() {
			continue
		}
		if u.Complete && named[[2]string{u.Namespace, AnyUpload}] {
			continue
		}
		if gone, err := s.release(ctx, u); err != nil || !gone {
			errs = append(errs, err)
			continue
		}
		klog.FromContext(ctx).Info("Deleted inputs that no run names", "namespace", u.Namespace, "digest", u.Digest, "inputs", u.Inputs)
	}
	return errors.Join(errs...)
}

// foreign says whether an upload belongs to a namespace that is gone, and whose name another has. That this server may not have
// seen the present namespace yet does no harm: what was used within the hour is not looked at.
func (s *Sweeper) foreign(u *outcomes.Upload) bool {
	uid, found := s.uploads.quota.UID(u.Namespace)
	return found && u.NamespaceUID != "" && uid != "" && uid != u.NamespaceUID
}

// claim gives uploads from before namespaces were told apart to those that have their names.
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

// release deletes an upload, unless somebody has used it since it was looked at.
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

// use notes that an upload is named, unless that was noted a short while ago.
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
	if now.UnixMicro()-upload.UsedMicros < silentFor.Microseconds()/2 {
		return nil
	}
	return s.uploads.store.Update(ctx, lockOf(namespace, digest), func(tx *outcomes.Tx) error {
		return tx.UseUpload(upload.ID, now.UnixMicro())
	})
}
