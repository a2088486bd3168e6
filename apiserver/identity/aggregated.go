package identity

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	sharedcloudv1alpha1 "sharedcloud.io/function-operator/api/v1alpha1"
)

// RefuseAnonymous lets a request without credentials reach the given paths and what is below them, and answers 401 to
// it everywhere else: whoever forgot his token is told so, instead of what system:anonymous may not do.
func RefuseAnonymous(delegate authenticator.Request, paths ...string) authenticator.Request {
	return authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		response, ok, err := delegate.AuthenticateRequest(r)
		if err != nil || !ok || response.User.GetName() != user.Anonymous {
			return response, ok, err
		}
		for _, path := range paths {
			if r.URL.Path == path || strings.HasPrefix(r.URL.Path, path+"/") {
				return response, true, nil
			}
		}
		return nil, false, nil
	})
}

// ResourceRules authorizes a request for a subresource of the group by the rule for what it is a subresource of:
// reading functionruns/results of subresources.sharedcloud.io takes the right to get functionruns of sharedcloud.io,
// by RBAC as for everything else. verbs maps resource/subresource to the verb that is asked for on the resource.
func ResourceRules(delegate authorizer.Authorizer, group string, verbs map[string]string) authorizer.Authorizer {
	return authorizer.AuthorizerFunc(func(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
		verb, ok := verbs[attributes.GetResource()+"/"+attributes.GetSubresource()]
		if !ok || !attributes.IsResourceRequest() || attributes.GetAPIGroup() != group {
			return delegate.Authorize(ctx, attributes)
		}
		decision, reason, err := delegate.Authorize(ctx, authorizer.AttributesRecord{
			User:            attributes.GetUser(),
			Verb:            verb,
			Namespace:       attributes.GetNamespace(),
			APIGroup:        sharedcloudv1alpha1.GroupName,
			APIVersion:      sharedcloudv1alpha1.GroupVersion.Version,
			Resource:        attributes.GetResource(),
			Name:            attributes.GetName(),
			ResourceRequest: true,
			Path:            attributes.GetPath(),
		})
		if decision != authorizer.DecisionAllow && err == nil {
			reason = strings.TrimSuffix(fmt.Sprintf("it takes the right to %s %s in the API group %s: %s",
				verb, attributes.GetResource(), sharedcloudv1alpha1.GroupName, reason), ": ")
		}
		return decision, reason, err
	})
}

// OwnRules lets everybody who is somebody in to the group, whose handlers find out themselves what he may do: with the
// custom resources that a path stands for, of which the path says nothing.
func OwnRules(delegate authorizer.Authorizer, group string) authorizer.Authorizer {
	return authorizer.AuthorizerFunc(func(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
		if attributes.IsResourceRequest() && attributes.GetAPIGroup() == group && attributes.GetUser().GetName() != user.Anonymous {
			return authorizer.DecisionAllow, "", nil
		}
		return delegate.Authorize(ctx, attributes)
	})
}
