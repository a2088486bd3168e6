package identity

import (
	"context"
	"net/http"
	"slices"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"sharedcloud.io/function-operator/apiserver/connections"
)

// Attempt is the result of the authentication of a request.
type Attempt struct {
	// Token is the token that authenticated it; "" for a certificate or no credentials.
	Token string
	// Err is why its token was not accepted.
	Err error
}

type attemptKey struct{}

// WithAttempt returns a context in which the authentication stores its result.
func WithAttempt(ctx context.Context) (context.Context, *Attempt) {
	attempt := &Attempt{}
	return context.WithValue(ctx, attemptKey{}, attempt), attempt
}

// AttemptOf returns the result of the authentication.
func AttemptOf(ctx context.Context) *Attempt {
	if attempt, ok := ctx.Value(attemptKey{}).(*Attempt); ok {
		return attempt
	}
	return &Attempt{}
}

// ReviewedTokens authenticates bearer tokens by callers, whose reviews are bounded, and everything else by the delegate, which does
// not see the token.
func ReviewedTokens(delegate authenticator.Request, callers *Callers) authenticator.Request {
	return authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		token, found := bearer(r)
		if !found {
			return delegate.AuthenticateRequest(r)
		}
		bare := r.Clone(r.Context())
		bare.Header.Del("Authorization")
		response, ok, err := delegate.AuthenticateRequest(bare)
		if err != nil || ok && response.User.GetName() != user.Anonymous {
			return response, ok, err
		}
		attempt := AttemptOf(r.Context())
		info, err := callers.Of(connections.WithSource(r.Context(), connections.Source(r)), token)
		if err != nil {
			attempt.Err = err
			return nil, false, err
		}
		attempt.Token = token
		groups := info.GetGroups()
		if !slices.Contains(groups, user.AllAuthenticated) {
			groups = append(slices.Clone(groups), user.AllAuthenticated)
		}
		return &authenticator.Response{User: &user.DefaultInfo{Name: info.GetName(), UID: info.GetUID(), Groups: groups, Extra: info.GetExtra()}}, true, nil
	})
}
