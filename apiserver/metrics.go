package apiserver

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

const metricsPrefix = "sharedcloud"

var (
	exchangeCalls = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: metricsPrefix, Name: "exchange_requests_total", StabilityLevel: metrics.ALPHA,
		Help: "Calls of workers, by HTTP status.",
	}, []string{"code"})
	exchangeSeconds = metrics.NewHistogram(&metrics.HistogramOpts{
		Subsystem: metricsPrefix, Name: "exchange_request_duration_seconds", StabilityLevel: metrics.ALPHA,
		Help:    "Duration of a worker's call, including the time for which it was held open because there were no inputs.",
		Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30},
	})
	exchangeOpen = metrics.NewGauge(&metrics.GaugeOpts{
		Subsystem: metricsPrefix, Name: "exchange_requests_in_flight", StabilityLevel: metrics.ALPHA,
		Help: "Calls of workers that are being answered or held open.",
	})
	storeSeconds = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Subsystem: metricsPrefix, Name: "outcome_store_transaction_duration_seconds", StabilityLevel: metrics.ALPHA,
		Help:    "Duration of a transaction on the outcome store, including lock wait and sync.",
		Buckets: []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5},
	}, []string{"kind"})
	storeErrors = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: metricsPrefix, Name: "outcome_store_errors_total", StabilityLevel: metrics.ALPHA,
		Help: "Failed transactions on the outcome store, by reason: full, damaged, disk, away.",
	}, []string{"reason"})
)

var registerMetrics = sync.OnceFunc(func() {
	legacyregistry.MustRegister(exchangeCalls, exchangeSeconds, exchangeOpen, storeSeconds, storeErrors)
})

func observeTransaction(kind string, began time.Time, err error) {
	storeSeconds.WithLabelValues(kind).Observe(time.Since(began).Seconds())
	for reason, known := range map[string]error{"full": outcomes.ErrFull, "damaged": outcomes.ErrDamaged, "disk": outcomes.ErrDisk, "away": outcomes.ErrNotReady} {
		if errors.Is(err, known) {
			storeErrors.WithLabelValues(reason).Inc()
		}
	}
}

// instrument counts and measures the calls of workers.
func instrument(next http.Handler) http.Handler {
	registerMetrics()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		exchangeOpen.Inc()
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			exchangeOpen.Dec()
			exchangeSeconds.Observe(time.Since(began).Seconds())
			exchangeCalls.WithLabelValues(strconv.Itoa(recorder.status)).Inc()
		}()
		next.ServeHTTP(recorder, r)
	})
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController through.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
