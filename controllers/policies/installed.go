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
	// inForceTTL is how long a positive result is cached. Only administrators can remove the policies.
	inForceTTL = 15 * time.Second
	// missingTTL is how long a negative result is cached.
	missingTTL = 2 * time.Second
)

// Installed reports whether the cluster has the policies that check references, as this version builds them. It is safe for
// concurrent use.
type Installed struct {
	reader client.Reader
	clock  clock.PassiveClock

	mu      sync.Mutex
	problem string
	until   time.Time
}

// NewInstalled creates an Installed that reads the policies by name. The reader must not use a cache.
func NewInstalled(reader client.Reader, clk clock.PassiveClock) *Installed {
	return &Installed{reader: reader, clock: clk}
}

// Problem returns a clause about a policy that is not in force, or "" if all are. It fails if the policies cannot be read.
func (i *Installed) Problem(ctx context.Context) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.clock.Now().Before(i.until) {
		return i.problem, nil
	}
	problem, err := i.read(ctx)
	if err != nil {
		return "", err
	}
	ttl := inForceTTL
	if problem != "" {
		ttl = missingTTL
	}
	i.problem, i.until = problem, i.clock.Now().Add(ttl)
	return problem, nil
}

func (i *Installed) read(ctx context.Context) (string, error) {
	for _, wanted := range References() {
		policy := &admissionv1.ValidatingAdmissionPolicy{}
		problem, err := i.get(ctx, "ValidatingAdmissionPolicy", wanted.Policy.Name, policy)
		if problem != "" || err != nil {
			return problem, err
		}
		if !equality.Semantic.DeepEqual(policy.Spec, wanted.Policy.Spec) {
			return fmt.Sprintf("the ValidatingAdmissionPolicy %s differs from the one of this version of the operator", policy.Name), nil
		}
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
		problem, err = i.get(ctx, "ValidatingAdmissionPolicyBinding", wanted.Binding.Name, binding)
		if problem != "" || err != nil {
			return problem, err
		}
		if !denies(binding, wanted.Policy.Name) {
			return fmt.Sprintf("the ValidatingAdmissionPolicyBinding %s does not enforce the policy with the action Deny in all namespaces", binding.Name), nil
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

// denies reports whether the binding enforces the policy for all objects. It may audit or warn in addition.
func denies(binding *admissionv1.ValidatingAdmissionPolicyBinding, policy string) bool {
	return binding.Spec.PolicyName == policy && binding.Spec.ParamRef == nil && binding.Spec.MatchResources == nil &&
		slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny)
}
