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
	// rulesSize bounds the answers of SubjectAccessReviews that are kept.
	rulesSize = 16384
	// allowedTTL and deniedTTL are for how long they are not asked for again.
	allowedTTL = 10 * time.Second
	deniedTTL  = 3 * time.Second
)

// Rules says what a caller may do, by the cluster's rules for the custom resources.
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

// NewRules asks the authorizer.
func NewRules(rules authorizer.Authorizer, clk clock.Clock) *Rules {
	return &Rules{authorizer: rules, kept: utilcache.NewLRUExpireCacheWithClock(rulesSize, clk), clock: clk}
}

// May says whether the caller may do that with a resource of sharedcloud.io: with all of a namespace, else with the one of
// that name. The error is ErrUnavailable.
func (r *Rules) May(ctx context.Context, caller user.Info, verb, resource, namespace, name string) (bool, error) {
	// Nearly all rules are for all names: asked that way, one answer serves for every object.
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
	case known: // the cluster cannot be asked anew, and it is not long ago that it said so
		return last.allowed, nil
	default:
		return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	allowed := decision == authorizer.DecisionAllow
	r.kept.Add(key, rule{allowed, r.clock.Now()}, staleTTL)
	return allowed, nil
}

// versionOf is the version of the two groups that are asked for: the custom resources' own, and the core.
func versionOf(group string) string {
	if group == v1alpha1.GroupName {
		return v1alpha1.GroupVersion.Version
	}
	return "v1"
}

// ruleKey has all that an authorizer may decide by.
func ruleKey(caller user.Info, verb, group, resource, namespace, name string) string {
	parts := append([]string{caller.GetName(), caller.GetUID(), verb, group, resource, namespace, name}, caller.GetGroups()...)
	extra := caller.GetExtra()
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		parts = append(append(parts, "\x01"+key), extra[key]...)
	}
	return strings.Join(parts, "\x00")
}
