package quotas

import (
	"context"
	"sync"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// No metric is labelled with a namespace: a tenant who can create namespaces could create any number of time series. The log
// names the namespace that exceeds a quota.
var (
	storedBytes = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Subsystem: "sharedcloud", Name: "storage_bytes", StabilityLevel: metrics.ALPHA,
		Help: "Bytes in the outcome store that count against quotas, summed over all namespaces, by kind: uploads, results.",
	}, []string{"kind"})
	refusedTotal = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: "sharedcloud", Name: "storage_quota_refusals_total", StabilityLevel: metrics.ALPHA,
		Help: "Objects that were not stored because a namespace exceeded its quota, by what: upload, outcome, live_output.",
	}, []string{"what"})
	refusedBytes = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: "sharedcloud", Name: "storage_quota_refused_bytes_total", StabilityLevel: metrics.ALPHA,
		Help: "Bytes that were not stored because a namespace exceeded its quota, by what: upload, outcome, live_output.",
	}, []string{"what"})
)

var registerMetrics = sync.OnceFunc(func() {
	legacyregistry.MustRegister(storedBytes, refusedTotal, refusedBytes)
})

// Values of the label what.
const (
	Upload     = "upload"
	Outcome    = "outcome"
	LiveOutput = "live_output"
)

// logInterval limits log lines to one per namespace and kind in this time.
const logInterval = time.Minute

// Refused counts n objects of a namespace that were not stored.
func (q *Quotas) Refused(what, namespace string, n int, bytes int64) {
	if q == nil || n == 0 {
		return
	}
	if q.logs(what + "/" + namespace) {
		klog.Background().Info("A namespace has exceeded a storage quota", "namespace", namespace, "notStored", what, "bytes", bytes)
	}
	refusedTotal.WithLabelValues(what).Add(float64(n))
	refusedBytes.WithLabelValues(what).Add(float64(bytes))
}

// logs reports whether to log: false if the same was logged within the interval.
func (q *Quotas) logs(what string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	if last, ok := q.logged[what]; ok && q.clock.Since(last) < logInterval {
		return false
	}
	if len(q.logged) >= maxKnown {
		clear(q.logged)
	}
	q.logged[what] = now
	return true
}

// MeasureInterval is how often Measure updates the metric.
const MeasureInterval = time.Minute

// Measure updates the metric of stored bytes until ctx ends.
func Measure(ctx context.Context, store outcomes.Store, clk clock.WithTicker) {
	ticker := clk.NewTicker(MeasureInterval)
	defer ticker.Stop()
	for {
		var uploads, results int64
		err := store.View(ctx, func(tx *outcomes.Tx) (err error) {
			uploads, results, err = tx.AllBytes()
			return err
		})
		if err != nil {
			klog.FromContext(ctx).V(1).Info("Failed to measure the stored bytes", "err", err)
		} else {
			storedBytes.WithLabelValues(string(Uploads)).Set(float64(uploads))
			storedBytes.WithLabelValues(string(Results)).Set(float64(results))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}
