package connections

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	closed = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: "sharedcloud", Name: "connections_closed_total", StabilityLevel: metrics.ALPHA,
		Help: "Connections that the server closed because of their client, by why: overflow (without an authenticated request, and a newer one took the place), grace (without one for too long), requests (too many without an authenticated one), resets (too many cancelled ones).",
	}, []string{"reason"})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(closed) })
)

func observeClosed(reason string) {
	register()
	closed.WithLabelValues(reason).Inc()
}
