package core

import (
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/uuids"
)

// RunOfJob returns the run and the index that a job's uuid identifies.
func (c *Cluster) RunOfJob(namespace, job string) (*v1alpha1.FunctionRun, int, bool) {
	prefix, index, ok := uuids.OfJob(job)
	if !ok {
		return nil, 0, false
	}
	run, ok := c.FunctionRuns.find(namespace, prefix, func(identity string) bool { return uuids.Job(identity, index) == job })
	return run, index, ok
}

// FunctionOf returns the function of a run, if it still exists.
func (c *Cluster) FunctionOf(run *v1alpha1.FunctionRun) (*v1alpha1.Function, bool) {
	return c.Functions.Named(run.Namespace, run.Spec.FunctionRef.Name)
}

// Index keys of FunctionRuns.

func functionKey(name string) string { return "function/" + name }

func runKeys(run *v1alpha1.FunctionRun) []string {
	if run.Spec.FunctionRef.Name == "" {
		return nil // an object that cannot be decoded
	}
	return []string{functionKey(run.Spec.FunctionRef.Name)}
}
