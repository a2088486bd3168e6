// Package buildinfo reports which build of the operator a program is. The linker sets the values, in
// k8s.io/component-base/version: see hack/ldflags.sh.
package buildinfo

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/version"
)

// Text returns what --version prints after the program's name.
func Text() string {
	info := version.Get()
	return fmt.Sprintf("%s (commit %s, %s, built %s, %s, %s)",
		info.GitVersion, info.GitCommit, info.GitTreeState, info.BuildDate, info.GoVersion, info.Platform)
}

// Metric returns the gauge sharedcloud_build_info. Its value is 1, and its labels describe the build of the component, which is
// "manager" or "apiserver".
func Metric(component string) prometheus.Collector {
	info := version.Get()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sharedcloud_build_info",
		Help: "The build of this component, as labels. The value is always 1.",
		ConstLabels: prometheus.Labels{
			"component": component, "git_version": info.GitVersion, "git_commit": info.GitCommit, "git_tree_state": info.GitTreeState,
			"build_date": info.BuildDate, "go_version": info.GoVersion, "platform": info.Platform,
		},
	})
	gauge.Set(1)
	return gauge
}
