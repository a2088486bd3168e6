package controllers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Metrics of the controllers. Labels have closed sets of values: no names of objects.
type Metrics struct {
	runsFinished     *prometheus.CounterVec
	runSeconds       *prometheus.HistogramVec
	jobsCreated      prometheus.Counter
	revisionsCreated prometheus.Counter
	revisionsDeleted prometheus.Counter
}

// NewMetrics creates and registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		runsFinished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sharedcloud_functionruns_finished_total",
			Help: "FunctionRuns that have finished, by result.",
		}, []string{"result"}),
		runSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sharedcloud_functionrun_duration_seconds",
			Help:    "Time from the creation of a FunctionRun to its end, by result.",
			Buckets: []float64{1, 3, 10, 30, 100, 300, 1000, 3600, 10800, 36000, 86400},
		}, []string{"result"}),
		jobsCreated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sharedcloud_jobs_created_total",
			Help: "Jobs created for FunctionRuns.",
		}),
		revisionsCreated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sharedcloud_revisions_created_total",
			Help: "Revisions of Functions created.",
		}),
		revisionsDeleted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sharedcloud_revisions_deleted_total",
			Help: "Revisions of Functions deleted because nothing uses them any more.",
		}),
	}
	registry.MustRegister(m.runsFinished, m.runSeconds, m.jobsCreated, m.revisionsCreated, m.revisionsDeleted)
	return m
}

func (m *Metrics) runFinished(complete bool, reason string, took time.Duration) {
	result := "failed"
	switch {
	case complete:
		result = "complete"
	case reason == v1alpha1.ReasonCancelled:
		result = "cancelled"
	}
	m.runsFinished.WithLabelValues(result).Inc()
	m.runSeconds.WithLabelValues(result).Observe(took.Seconds())
}
