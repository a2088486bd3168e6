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
)

// measured is a store with metrics of its transactions.
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

// namespacesOf looks up namespaces in a server's cluster, which is created after the store.
type namespacesOf struct{ server *Server }

var _ quotas.Namespaces = namespacesOf{}

// Lookup implements quotas.Namespaces.
func (n namespacesOf) Lookup(name string) (types.UID, map[string]string, bool) {
	return n.server.cluster.Namespaces.Lookup(name)
}

var (
	_ subresources.OutcomeReader = &outcomes.Reader{}
	_ subresources.LogReader     = &outcomes.Reader{}
	_ subresources.FailureReader = &outcomes.Reader{}
)

// stored lists the runs in the store for the sweeper.
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
		// One transaction per run keeps each view short.
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
