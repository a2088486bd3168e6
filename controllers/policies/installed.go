package policies

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// inForceTTL is for how long policies that were found in force are believed to be. Only administrators can take them away.
	inForceTTL = 15 * time.Second
	// missingTTL is how soon they are looked for again.
	missingTTL = 2 * time.Second
)

// Installed says whether a cluster has the policies that check references, as this version builds them. It is safe for
// concurrent use.
type Installed struct {
	reader client.Reader
	clock  clock.PassiveClock

	mu      sync.Mutex
	problem string
	until   time.Time
}

// NewInstalled reads the policies by their names, with a reader that has no cache.
func NewInstalled(reader client.Reader, clk clock.PassiveClock) *Installed {
	return &Installed{reader: reader, clock: clk}
}

// Problem says which policy is not in force, in a clause; "" where all are. The error is that it cannot be found out.
func (i *Installed) Problem(ctx context.Context) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.clock.Now().Before(i.until) {
		return i.problem, nil
	}
	problem, err := i.look(ctx)
	if err != nil {
		return "", err
	}
	believed := inForceTTL
	if problem != "" {
		believed = missingTTL
	}
	i.problem, i.until = problem, i.clock.Now().Add(believed)
	return problem, nil
}

func (i *Installed) look(ctx context.Context) (string, error) {
	for _, wanted := range References() {
		policy := &admissionv1.ValidatingAdmissionPolicy{}
		problem, err := i.get(ctx, "ValidatingAdmissionPolicy", wanted.Policy.Name, policy)
		if problem != "" || err != nil {
			return problem, err
		}
		if !equality.Semantic.DeepEqual(policy.Spec, wanted.Policy.Spec) {
			return fmt.Sprintf("the ValidatingAdmissionPolicy %s is not the one of this version of the operator", policy.Name), nil
		}
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
		problem, err = i.get(ctx, "ValidatingAdmissionPolicyBinding", wanted.Binding.Name, binding)
		if problem != "" || err != nil {
			return problem, err
		}
		if !denies(binding, wanted.Policy.Name) {
			return fmt.Sprintf("the ValidatingAdmissionPolicyBinding %s does not deny everywhere what the policy refuses", binding.Name), nil
		}
	}
	return "", nil
}

func (i *Installed) get(ctx context.Context, kind, name string, into client.Object) (string, error) {
	err := i.reader.Get(ctx, client.ObjectKey{Name: name}, into)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("the %s %s is missing", kind, name), nil
	case err != nil:
		return "", fmt.Errorf("reading the %s %s: %w", kind, name, err)
	case into.GetDeletionTimestamp() != nil:
		return fmt.Sprintf("the %s %s is being deleted", kind, name), nil
	}
	return "", nil
}

// denies: the binding puts the policy into force for all objects. It may audit or warn besides.
func denies(binding *admissionv1.ValidatingAdmissionPolicyBinding, policy string) bool {
	return binding.Spec.PolicyName == policy && binding.Spec.ParamRef == nil && binding.Spec.MatchResources == nil &&
		slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny)
}
