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

// HeaderNamespace is how a caller with several namespaces chooses one.
const HeaderNamespace = "X-Sharedcloud-Namespace"

// TokenError says what is wrong with a caller's credentials, in the words that clients know. 401.
type TokenError struct{ Sentence string }

func (e *TokenError) Error() string { return e.Sentence }

// The credentials that open nothing.
var (
	ErrNoCredentials = &TokenError{"Authentication credentials were not provided."}
	ErrInvalidToken  = &TokenError{"Invalid token."}
	ErrEmptyToken    = &TokenError{"Invalid token header. No credentials provided."}
	ErrSpacedToken   = &TokenError{"Invalid token header. Token string should not contain spaces."}
)

// Errors of callers with good credentials.
var (
	// ErrUnavailable: the cluster cannot be asked who calls, or what he may do.
	ErrUnavailable = errors.New("the Kubernetes API does not answer at the moment")
	// ErrNoNamespace: no namespace follows from who calls, and none was chosen that he may use.
	ErrNoNamespace = errors.New("no namespace is the caller's")
)

// staleTTL is for how long an answer is good while the cluster cannot be asked anew: a token or a right that was taken
// away is good for at most as long.
const staleTTL = time.Minute

// Callers finds out who calls by the token that is shown.
type Callers struct{ reviews *tokenReviews }

// NewCallers asks the cluster by TokenReview. What it answers is kept for 30 seconds, that a token is no good for 5.
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

// Authenticate returns who calls. The error is a *TokenError, ErrUnavailable, a *shares.Error or that of the request's context.
func (c *Callers) Authenticate(r *http.Request) (user.Info, error) {
	token, err := tokenOf(r.Header.Values("Authorization"))
	if err != nil {
		return nil, err
	}
	return c.Of(connections.WithSource(r.Context(), connections.Source(r)), token)
}

// tokenOf reads the header as the framework of 2018 does: Token as well as Bearer, in any case; another scheme counts as
// no credentials.
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

// Of returns whom the token is good for, see Authenticate. The context says from where it comes.
func (c *Callers) Of(ctx context.Context, token string) (user.Info, error) {
	return c.reviews.of(ctx, token)
}

// plausible says whether the text can be a token at all: nobody is asked about others.
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
