package controllers

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestMetricsAreWellNamed(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	m.runFinished(true, v1alpha1.ReasonSucceeded, time.Second)
	m.runFinished(false, v1alpha1.ReasonCancelled, time.Second)
	m.runFinished(false, "any other reason", time.Second)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("problems %v, error %v", problems, err)
	}
	if n := testutil.CollectAndCount(m.runsFinished); n != 3 {
		t.Errorf("%d results, want the closed set of complete, cancelled and failed", n)
	}
}
