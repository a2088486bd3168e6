package identity

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// RefuseAnonymous lets a request without credentials reach exactly the given paths, and answers 401 on all other paths: a
// caller without a token learns that the token is missing, instead of which rights system:anonymous lacks.
func RefuseAnonymous(delegate authenticator.Request, paths ...string) authenticator.Request {
	return authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		response, ok, err := delegate.AuthenticateRequest(r)
		if err != nil || !ok || response.User.GetName() != user.Anonymous {
			return response, ok, err
		}
		for _, path := range paths {
			if r.URL.Path == path {
				return response, true, nil
			}
		}
		return nil, false, nil
	})
}

// Rule is a right on a custom resource of sharedcloud.io.
type Rule struct{ Verb, Resource string }

// ResourceRules authorizes a request for a subresource of the group by a rule for the custom resources themselves: reading
// functionruns/results of subresources.sharedcloud.io requires the right to get functionruns of sharedcloud.io in RBAC.
// rules maps resource/subresource to the required rights, all of them.
func ResourceRules(delegate authorizer.Authorizer, group string, rules map[string][]Rule) authorizer.Authorizer {
	return authorizer.AuthorizerFunc(func(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
		needed, ok := rules[attributes.GetResource()+"/"+attributes.GetSubresource()]
		if !ok || !attributes.IsResourceRequest() || attributes.GetAPIGroup() != group {
			return delegate.Authorize(ctx, attributes)
		}
		decision, reason := authorizer.DecisionNoOpinion, ""
		for _, rule := range needed {
			var err error
			decision, reason, err = delegate.Authorize(ctx, rule.on(attributes))
			if err != nil {
				return decision, reason, err
			}
			if decision != authorizer.DecisionAllow {
				reason = strings.TrimSuffix(fmt.Sprintf("requires the right to %s %s in the API group %s: %s",
					rule.Verb, rule.Resource, v1alpha1.GroupName, reason), ": ")
				return decision, reason, nil
			}
		}
		return decision, reason, nil
	})
}

// on is the rule applied to the object that the request names.
func (r Rule) on(attributes authorizer.Attributes) authorizer.AttributesRecord {
	name := attributes.GetName()
	if r.Resource != attributes.GetResource() || r.Verb == "create" {
		name = "" // the name of another kind of object
	}
	return authorizer.AttributesRecord{
		User:            attributes.GetUser(),
		Verb:            r.Verb,
		Namespace:       attributes.GetNamespace(),
		APIGroup:        v1alpha1.GroupName,
		APIVersion:      v1alpha1.GroupVersion.Version,
		Resource:        r.Resource,
		Name:            name,
		ResourceRequest: true,
		Path:            attributes.GetPath(),
	}
}

// OwnRules allows every authenticated caller to use the group. Its handlers authorize the caller themselves, for the custom
// resources that a path refers to: the path does not name them.
func OwnRules(delegate authorizer.Authorizer, group string) authorizer.Authorizer {
	return authorizer.AuthorizerFunc(func(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
		if attributes.IsResourceRequest() && attributes.GetAPIGroup() == group && attributes.GetUser().GetName() != user.Anonymous {
			return authorizer.DecisionAllow, "", nil
		}
		return delegate.Authorize(ctx, attributes)
	})
}
