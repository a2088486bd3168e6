package identity

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// rulesSize is the maximum number of SubjectAccessReview answers kept.
	rulesSize = 16384
	// allowedTTL and deniedTTL are how long they are kept.
	allowedTTL = 10 * time.Second
	deniedTTL  = 3 * time.Second
)

// Rules authorizes callers by the cluster's rules for the custom resources.
type Rules struct {
	authorizer authorizer.Authorizer
	kept       *utilcache.LRUExpireCache
	clock      clock.PassiveClock
}

// rule is an answer of the authorizer.
type rule struct {
	allowed bool
	at      time.Time
}

// NewRules returns Rules that ask the authorizer.
func NewRules(rules authorizer.Authorizer, clk clock.Clock) *Rules {
	return &Rules{authorizer: rules, kept: utilcache.NewLRUExpireCacheWithClock(rulesSize, clk), clock: clk}
}

// May reports whether the caller may perform the verb on a resource of sharedcloud.io: on all objects in a namespace, or on
// the named one. The error is ErrUnavailable.
func (r *Rules) May(ctx context.Context, caller user.Info, verb, resource, namespace, name string) (bool, error) {
	// Nearly all rules are for all names: one answer then serves every object.
	allowed, err := r.ask(ctx, caller, verb, v1alpha1.GroupName, resource, namespace, "")
	if err != nil || allowed || name == "" {
		return allowed, err
	}
	return r.ask(ctx, caller, verb, v1alpha1.GroupName, resource, namespace, name)
}

func (r *Rules) ask(ctx context.Context, caller user.Info, verb, group, resource, namespace, name string) (bool, error) {
	key := ruleKey(caller, verb, group, resource, namespace, name)
	last, known := rule{}, false
	if kept, ok := r.kept.Get(key); ok {
		if last, known = kept.(rule); known {
			fresh := deniedTTL
			if last.allowed {
				fresh = allowedTTL
			}
			if r.clock.Since(last.at) < fresh {
				return last.allowed, nil
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	decision, _, err := r.authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: caller, Verb: verb, Namespace: namespace, Name: name, ResourceRequest: true, Resource: resource,
		APIGroup: group, APIVersion: versionOf(group),
	})
	switch {
	case err == nil:
	case known: // the cluster is unreachable, and its last answer is recent
		return last.allowed, nil
	default:
		return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	allowed := decision == authorizer.DecisionAllow
	r.kept.Add(key, rule{allowed, r.clock.Now()}, staleTTL)
	return allowed, nil
}

// versionOf is the version of the two groups in use: the custom resources' own, and the core.
func versionOf(group string) string {
	if group == v1alpha1.GroupName {
		return v1alpha1.GroupVersion.Version
	}
	return "v1"
}

// ruleKey has all inputs of an authorizer's decision.
func ruleKey(caller user.Info, verb, group, resource, namespace, name string) string {
	parts := append([]string{caller.GetName(), caller.GetUID(), verb, group, resource, namespace, name}, caller.GetGroups()...)
	extra := caller.GetExtra()
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		parts = append(append(parts, "\x01"+key), extra[key]...)
	}
	return strings.Join(parts, "\x00")
}
