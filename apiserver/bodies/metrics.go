package bodies

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// Class is the label of a budget in metrics.
type Class string

// The classes. The set is closed, because each is a time series.
const (
	// Exchange: calls of workers.
	Exchange Class = "exchange"
	// REST: requests to the documented API with credentials.
	REST Class = "rest"
	// Anonymous: requests to the documented API without credentials.
	Anonymous Class = "anonymous"
	// Upload: inputs that are sent to functions/run.
	Upload Class = "upload"
)

// Reasons of refusals other than the kinds of keys.
const (
	reasonServer = "server"
	reasonBusy   = "busy"
)

var (
	bodyBytes = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Subsystem: "sharedcloud", Name: "body_budget_used_bytes", StabilityLevel: metrics.ALPHA,
		Help: "Bytes of request bodies that have arrived and are in memory, by class: exchange, rest, anonymous, upload.",
	}, []string{"class"})
	bodyLimit = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Subsystem: "sharedcloud", Name: "body_budget_limit_bytes", StabilityLevel: metrics.ALPHA,
		Help: "Bytes of request bodies that may be in memory at the same time, by class: exchange, rest, anonymous, upload.",
	}, []string{"class"})
	bodyRefusals = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: "sharedcloud", Name: "body_budget_refusals_total", StabilityLevel: metrics.ALPHA,
		Help: "Request bodies that were refused with 429, by class (exchange, rest, anonymous, upload) and by the exhausted limit: server, namespace, caller, pod, address; or busy, if another body of the same pod was being read.",
	}, []string{"class", "reason"})

	registerMetrics = sync.OnceFunc(func() { legacyregistry.MustRegister(bodyBytes, bodyLimit, bodyRefusals) })
)
