package core

import (
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// FunctionName is the display name of a function.
func FunctionName(f *v1alpha1.Function) string {
	if f.Spec.Name != "" {
		return f.Spec.Name
	}
	return f.Name
}

// RunsOf are the runs that exist of a function, newest first.
func (c *Cluster) RunsOf(f *v1alpha1.Function) []*v1alpha1.FunctionRun {
	return c.FunctionRuns.ListBy(f.Namespace, functionKey(f.Name))
}

// CountRunsOf is how many runs exist of a function.
func (c *Cluster) CountRunsOf(f *v1alpha1.Function) int {
	return c.FunctionRuns.CountBy(f.Namespace, functionKey(f.Name))
}
