package shares

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	refusals = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: "sharedcloud", Name: "share_refusals_total", StabilityLevel: metrics.ALPHA,
		Help: "Requests that were refused with 429 because a share was used up, by the share: caller, namespace, server.",
	}, []string{"limit"})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(refusals) })
)

func observeRefusal(limit Limit) {
	register()
	refusals.WithLabelValues(string(limit)).Inc()
}
