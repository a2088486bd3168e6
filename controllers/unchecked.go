package controllers

import (
	"context"
	"fmt"
	"time"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/policies"
)

// policyPause is how often objects with references check again whether the policies are in force: there is no watch.
const policyPause = 10 * time.Second

// uncheckedFinding says that nothing checks whether the writer of an object may get what it names. The manager then reads and
// pins nothing for the object. It returns nil if the object names nothing, or if the policies are in force.
func uncheckedFinding(ctx context.Context, installed *policies.Installed, references []v1alpha1.Reference) (*finding, error) {
	if len(references) == 0 {
		return nil, nil
	}
	problem, err := installed.Problem(ctx)
	if problem == "" || err != nil {
		return nil, err
	}
	first := references[0]
	return &finding{standingStalled, v1alpha1.ReasonReferencesUnchecked, fmt.Sprintf(
		"%s names the %s %q, and nothing checks whether its writer may get it: %s. An administrator must apply config/policy of the operator's version; then this continues without further action.",
		first.Field, first.Kind, first.Name, problem)}, nil
}

// imageReferences are the Secrets by which the image of a revision is pulled.
func imageReferences(image ImageSettings) []v1alpha1.Reference {
	return (&v1alpha1.FunctionImage{Spec: v1alpha1.FunctionImageSpec{ImagePullSecrets: image.PullSecrets}}).References()
}
