package core

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Objects that this server has written are added to the caches before the informers see them, so that a caller reads its own writes.

// RememberFunction adds a function that the API returned for a write. It must not be modified afterwards.
func (c *Cluster) RememberFunction(f *v1alpha1.Function) {
	slimMetadata(f)
	c.Functions.AddWritten(f)
}

// RememberRun adds a run that the API returned for a write, which must not be modified afterwards. It returns the cached run, without its
// inputs.
func (c *Cluster) RememberRun(run *v1alpha1.FunctionRun) (*v1alpha1.FunctionRun, error) {
	kept, err := slimRun(run)
	if err != nil {
		return nil, err
	}
	slim, ok := kept.(*v1alpha1.FunctionRun)
	if !ok {
		return nil, fmt.Errorf("a FunctionRun became a %T", kept)
	}
	c.FunctionRuns.AddWritten(slim)
	return slim, nil
}

// ForgetFunction removes a function that this server has deleted.
func (c *Cluster) ForgetFunction(uid types.UID) { c.Functions.Remove(uid) }

// ForgetRun removes a run that this server has deleted.
func (c *Cluster) ForgetRun(uid types.UID) { c.FunctionRuns.Remove(uid) }
