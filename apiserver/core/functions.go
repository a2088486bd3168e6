package core

import (
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// FunctionName returns the display name of a function.
func FunctionName(f *v1alpha1.Function) string {
	if f.Spec.Name != "" {
		return f.Spec.Name
	}
	return f.Name
}

// RunsOf returns the existing runs of a function, newest first.
func (c *Cluster) RunsOf(f *v1alpha1.Function) []*v1alpha1.FunctionRun {
	return c.FunctionRuns.ListBy(f.Namespace, functionKey(f.Name))
}

// CountRunsOf returns the number of existing runs of a function.
func (c *Cluster) CountRunsOf(f *v1alpha1.Function) int {
	return c.FunctionRuns.CountBy(f.Namespace, functionKey(f.Name))
}
