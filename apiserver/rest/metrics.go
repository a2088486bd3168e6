package rest

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	requests = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: "sharedcloud", Name: "rest_requests_total", StabilityLevel: metrics.ALPHA,
		Help: "REST requests, by resource, method and HTTP status.",
	}, []string{"resource", "method", "code"})
	requestSeconds = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Subsystem: "sharedcloud", Name: "rest_request_duration_seconds", StabilityLevel: metrics.ALPHA,
		Help:    "Duration of a REST request, to the last byte of the response.",
		Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
	}, []string{"resource", "method"})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(requests, requestSeconds) })
)

// observe counts and measures a request. Status 0 means that the client disconnected before the response.
func observe(resource, method string, status int, took time.Duration) {
	register()
	if !slices.Contains(methodOrder, method) {
		method = "other"
	}
	requests.WithLabelValues(resource, method, strconv.Itoa(status)).Inc()
	requestSeconds.WithLabelValues(resource, method).Observe(took.Seconds())
}
