package report

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

var (
	outcomesTotal = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: "sharedcloud", Name: "outcomes_total", StabilityLevel: metrics.ALPHA,
		Help: "Outcomes that were reported in the status of runs, by their status.",
	}, []string{"status"})
	closedTotal = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem: "sharedcloud", Name: "runs_closed_total", StabilityLevel: metrics.ALPHA,
		Help: "Runs that were reported to be closed: every input has its outcome.",
	})
)

var registerMetrics = sync.OnceFunc(func() {
	legacyregistry.MustRegister(outcomesTotal, closedTotal)
})

// count adds the difference between a report and the previous one. The resource version binds the report to exactly that
// previous one, so nothing is counted twice, and nothing is lost over a restart.
func count(before, after *v1alpha1.RunProgress) {
	if before == nil {
		before = &v1alpha1.RunProgress{}
	}
	for status, added := range map[string]int32{
		v1alpha1.OutcomeSucceeded: after.Succeeded - before.Succeeded,
		v1alpha1.OutcomeFailed:    after.Failed - before.Failed,
		v1alpha1.OutcomeTimedOut:  after.TimedOut - before.TimedOut,
		v1alpha1.OutcomeCancelled: after.Cancelled - before.Cancelled,
	} {
		// A store restored from a backup has fewer outcomes than were reported: a counter never decreases.
		if added > 0 {
			outcomesTotal.WithLabelValues(status).Add(float64(added))
		}
	}
	if after.Closed && !before.Closed {
		closedTotal.Inc()
	}
}
