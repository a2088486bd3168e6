package controllers

import (
	"context"
	"fmt"
	"time"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/policies"
	"sharedcloud.io/function-operator/controllers/workload"
)

// policyInterval is how often objects with references check again whether the policies are in force: there is no watch.
const policyInterval = 10 * time.Second

// checkReferences reports that no policy checks whether the writer of an object may get what it names. The manager then reads and
// pins nothing for the object. It returns nil if the object names nothing, or if the policies are in force.
func checkReferences(ctx context.Context, installed *policies.Installed, references []v1alpha1.Reference) (*workload.Problem, error) {
	if len(references) == 0 {
		return nil, nil
	}
	problem, err := installed.Problem(ctx)
	if problem == "" || err != nil {
		return nil, err
	}
	first := references[0]
	return &workload.Problem{Reason: v1alpha1.ReasonReferencesUnchecked, Message: fmt.Sprintf(
		"%s names the %s %q, and no policy checks whether its writer may get it: %s. An administrator must apply config/policy of the operator's version; then this continues without further action.",
		first.Field, first.Kind, first.Name, problem)}, nil
}
