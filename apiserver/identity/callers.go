package identity

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/connections"
)

// HeaderNamespace is the header with which a caller with several namespaces chooses one.
const HeaderNamespace = "X-Sharedcloud-Namespace"

// TokenError describes invalid credentials, in the words of the contract. It is answered with 401.
type TokenError struct{ Message string }

func (e *TokenError) Error() string { return e.Message }

// The errors of invalid credentials.
var (
	ErrNoCredentials = &TokenError{"Authentication credentials were not provided."}
	ErrInvalidToken  = &TokenError{"Invalid token."}
	ErrEmptyToken    = &TokenError{"Invalid token header. No credentials provided."}
	ErrSpacedToken   = &TokenError{"Invalid token header. Token string should not contain spaces."}
)

// Errors of callers with valid credentials.
var (
	// ErrUnavailable: the Kubernetes API cannot authenticate or authorize the caller.
	ErrUnavailable = errors.New("the Kubernetes API is temporarily unavailable")
	// ErrNoNamespace: the caller has no namespace, and chose none that the caller may use.
	ErrNoNamespace = errors.New("the caller has no namespace")
)

// staleTTL is how long an answer stays valid while the cluster is unreachable: a revoked token or right stays valid for at
// most this long.
const staleTTL = time.Minute

// Callers authenticates callers by their token.
type Callers struct{ reviews *tokenReviews }

// NewCallers authenticates by TokenReview. A positive answer is kept for 30 seconds, a negative one for 5.
func NewCallers(reviews authenticationv1client.AuthenticationV1Interface, clk clock.Clock) *Callers {
	client := reviews.TokenReviews()
	return &Callers{newTokenReviews(clk, staleTTL, func(ctx context.Context, token string) (*authenticator.Response, bool, error) {
		review, err := client.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
		if err != nil || !review.Status.Authenticated {
			return nil, false, err
		}
		extra := map[string][]string{}
		for key, value := range review.Status.User.Extra {
			extra[key] = value
		}
		of := review.Status.User
		return &authenticator.Response{User: &user.DefaultInfo{Name: of.Username, UID: of.UID, Groups: of.Groups, Extra: extra}}, true, nil
	})}
}

// Authenticate returns the caller. The error is a *TokenError, ErrUnavailable, a *shares.Error or that of the request's context.
func (c *Callers) Authenticate(r *http.Request) (user.Info, error) {
	token, err := tokenOf(r.Header.Values("Authorization"))
	if err != nil {
		return nil, err
	}
	return c.Of(connections.WithSource(r.Context(), connections.Source(r)), token)
}

// tokenOf reads the header as the contract of 2018 does: the schemes Token and Bearer in any case; another scheme counts as no
// credentials.
func tokenOf(headers []string) (string, error) {
	if len(headers) != 1 {
		return "", ErrNoCredentials
	}
	parts := strings.Fields(headers[0])
	switch {
	case len(parts) == 0 || !strings.EqualFold(parts[0], "token") && !strings.EqualFold(parts[0], "bearer"):
		return "", ErrNoCredentials
	case len(parts) == 1:
		return "", ErrEmptyToken
	case len(parts) > 2:
		return "", ErrSpacedToken
	}
	return parts[1], nil
}

// Of returns the user of the token, see Authenticate. The context has the address it comes from.
func (c *Callers) Of(ctx context.Context, token string) (user.Info, error) {
	return c.reviews.of(ctx, token)
}

// plausible reports whether the text can be a token. Other texts are refused without a review.
func plausible(token string) bool {
	if token == "" || len(token) > maxToken {
		return false
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] >= 0x7f {
			return false
		}
	}
	return true
}
