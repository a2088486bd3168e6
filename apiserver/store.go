package apiserver

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/apiserver/report"
	"sharedcloud.io/function-operator/apiserver/subresources"
	"sharedcloud.io/function-operator/apiserver/work"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// measured is a store whose transactions are measured.
type measured struct{ outcomes.Store }

// Update implements outcomes.Store.
func (m measured) Update(ctx context.Context, run types.UID, fn func(*outcomes.Tx) error) error {
	began := time.Now()
	err := m.Store.Update(ctx, run, fn)
	observeTransaction("update", began, err)
	return err
}

// View implements outcomes.Store.
func (m measured) View(ctx context.Context, fn func(*outcomes.Tx) error) error {
	began := time.Now()
	err := m.Store.View(ctx, fn)
	observeTransaction("view", began, err)
	return err
}

// namespacesOf are a server's namespaces, which it has after its store.
type namespacesOf struct{ server *Server }

var _ quotas.Namespaces = namespacesOf{}

// Lookup implements quotas.Namespaces.
func (n namespacesOf) Lookup(name string) (types.UID, map[string]string, bool) {
	return n.server.cluster.Namespaces.Lookup(name)
}

// reading gives the results their outcomes.
type reading struct{ store outcomes.Store }

var _ subresources.OutcomeReader = reading{}

// Read implements subresources.OutcomeReader.
func (r reading) Read(ctx context.Context, run types.UID, selected outcomes.Selection, limit int, yield func(*outcomes.Outcome) bool) error {
	return outcomes.Read(ctx, r.store, run, selected, limit, yield)
}

var (
	_ subresources.LogReader     = reading{}
	_ subresources.FailureReader = reading{}
)

// ofRun reads what belongs to a run, in one state of the store; nothing where the store does not have the run.
func ofRun[T any](ctx context.Context, store outcomes.Store, run types.UID, read func(*outcomes.Tx, *outcomes.Run) (T, error)) (found T, err error) {
	err = store.View(ctx, func(tx *outcomes.Tx) error {
		var none T
		found = none // a transaction may be run more than once
		row, err := tx.Run(run)
		if err == nil && row != nil {
			found, err = read(tx, row)
		}
		return err
	})
	return found, err
}

// Finished implements subresources.LogReader.
func (r reading) Finished(ctx context.Context, run types.UID, indexes indexset.Set) (indexset.Set, error) {
	return ofRun(ctx, r.store, run, func(tx *outcomes.Tx, row *outcomes.Run) (indexset.Set, error) {
		return tx.HaveOutcome(row.ID, indexes)
	})
}

// Unsuccessful implements subresources.FailureReader.
func (r reading) Unsuccessful(ctx context.Context, run types.UID) (indexset.Set, error) {
	const atOnce = 1 << 16
	all := indexset.Set{}
	for from := 0; ; {
		page, err := ofRun(ctx, r.store, run, func(tx *outcomes.Tx, row *outcomes.Run) ([]int, error) {
			return tx.Unsuccessful(row.ID, from, atOnce)
		})
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = all.Union(indexset.Of(page...))
		from = page[len(page)-1] + 1
	}
}

// Live implements subresources.LogReader.
func (r reading) Live(ctx context.Context, run types.UID) ([]outcomes.LiveOutput, error) {
	return ofRun(ctx, r.store, run, func(tx *outcomes.Tx, row *outcomes.Run) ([]outcomes.LiveOutput, error) {
		return tx.LiveOutputs(row.ID)
	})
}

// stored gives the sweeper the names of what the store has.
type stored struct {
	exchange *work.Exchange
	store    outcomes.Store
}

var _ report.Stored = stored{}

// Names implements report.Stored.
func (s stored) Names(ctx context.Context) (map[types.UID]types.NamespacedName, error) {
	uids, err := s.exchange.RunUIDs(ctx)
	if err != nil {
		return nil, err
	}
	names := make(map[types.UID]types.NamespacedName, len(uids))
	for _, uid := range uids {
		// One transaction each: a view must be short.
		err := s.store.View(ctx, func(tx *outcomes.Tx) error {
			row, err := tx.Run(uid)
			if err == nil && row != nil {
				names[uid] = types.NamespacedName{Namespace: row.Namespace, Name: row.Name}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// Forget implements report.Stored.
func (s stored) Forget(ctx context.Context, uid types.UID) error { return s.exchange.Forget(ctx, uid) }
