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

// No metric has the name of a namespace: a tenant who may make namespaces would make as many time series. Which namespace is
// over a quota is in the log.
var (
	storedBytes = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Subsystem: "sharedcloud", Name: "storage_bytes", StabilityLevel: metrics.ALPHA,
		Help: "Bytes in the outcome store that count against quotas, of all namespaces together, by kind: uploads, results.",
	}, []string{"kind"})
	refusedTotal = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: "sharedcloud", Name: "storage_quota_refusals_total", StabilityLevel: metrics.ALPHA,
		Help: "What was not stored because a namespace was over its quota, by what: upload, outcome, live_output.",
	}, []string{"what"})
	refusedBytes = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: "sharedcloud", Name: "storage_quota_refused_bytes_total", StabilityLevel: metrics.ALPHA,
		Help: "Bytes that were not stored because a namespace was over its quota, by what: upload, outcome, live_output.",
	}, []string{"what"})
)

var registerMetrics = sync.OnceFunc(func() {
	legacyregistry.MustRegister(storedBytes, refusedTotal, refusedBytes)
})

// What a refusal was of.
const (
	Upload     = "upload"
	Outcome    = "outcome"
	LiveOutput = "live_output"
)

// logInterval is how often the log says that something of a namespace is not stored.
const logInterval = time.Minute

// Refused counts what was not stored of a namespace.
func (q *Quotas) Refused(what, namespace string, n int, bytes int64) {
	if q == nil || n == 0 {
		return
	}
	if q.logs(what + "/" + namespace) {
		klog.Background().Info("A namespace has used up a storage quota", "namespace", namespace, "notStored", what, "bytes", bytes)
	}
	refusedTotal.WithLabelValues(what).Add(float64(n))
	refusedBytes.WithLabelValues(what).Add(float64(bytes))
}

// logs says whether something is to be logged that was not within the interval.
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

// MeasureInterval is how often Measure measures.
const MeasureInterval = time.Minute

// Measure keeps the metric of what is stored, until ctx ends.
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
			klog.FromContext(ctx).V(1).Info("What is stored cannot be measured", "err", err)
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
