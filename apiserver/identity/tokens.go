package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/connections"
)

// Errors of tokens.
var (
	// ErrNoToken: the request has no bearer token, or one that the cluster does not accept for the exchange.
	ErrNoToken = errors.New("the token is missing, expired, or not issued for the exchange")
	// ErrNotAPod: the token is valid, but not bound to a pod.
	ErrNotAPod = errors.New("the token is not bound to a pod")
)

const (
	// acceptedTTL is how long an accepted token is not reviewed again: a revoked token stays valid for at most this long.
	acceptedTTL = 30 * time.Second
	// refusedTTL is short: a refused token may be refused because the API server's own cache lags.
	refusedTTL = 5 * time.Second
	// reviewTimeout bounds one TokenReview.
	reviewTimeout = 10 * time.Second
	// maxToken is far above any service account's token.
	maxToken = 32 << 10
)

// Pod is the pod that a token is bound to.
type Pod struct {
	Namespace, Name string
	UID             types.UID
}

// PodTokens authenticates pods by their bound tokens with the audience of the exchange.
type PodTokens struct {
	tokens authenticator.Token
}

// NewPodTokens authenticates by TokenReview. Answers are kept by a keyed hash of the token in a cache of bounded size; a
// token that arrives on many connections at the same time is reviewed once.
func NewPodTokens(reviews authenticationv1client.AuthenticationV1Interface) (*PodTokens, error) {
	// Few retries: the worker repeats its call anyway, and a long call would delay its outcomes.
	backoff := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 2}
	review, err := webhook.NewFromInterface(reviews, nil, backoff, reviewTimeout, webhook.AuthenticatorMetrics{
		RecordRequestTotal:   func(context.Context, string) {},
		RecordRequestLatency: func(context.Context, string, float64) {},
	})
	if err != nil {
		return nil, fmt.Errorf("creating the authenticator of workers: %w", err)
	}
	return NewPodTokensOf(newTokenReviews(clock.RealClock{}, 0, review.AuthenticateToken)), nil
}

// NewPodTokensOf uses any authenticator of tokens.
func NewPodTokensOf(tokens authenticator.Token) *PodTokens { return &PodTokens{tokens: tokens} }

// Authenticate returns the pod of the request's token. The error is ErrNoToken, ErrNotAPod, or any other error when the
// cluster is temporarily unreachable.
func (p *PodTokens) Authenticate(r *http.Request) (Pod, error) {
	token, ok := bearer(r)
	if !ok {
		return Pod{}, ErrNoToken
	}
	// Only the audience makes a token valid for the exchange: an answer for another audience does not count.
	ctx := connections.WithSource(r.Context(), connections.Source(r))
	ctx = authenticator.WithAudiences(ctx, authenticator.Audiences{v1alpha1.ExchangeAudience})
	response, ok, err := p.tokens.AuthenticateToken(ctx, token)
	if err != nil {
		return Pod{}, fmt.Errorf("reviewing a worker's token: %w", err)
	}
	if !ok {
		return Pod{}, ErrNoToken
	}
	return podOf(response.User)
}

// podOf reads the pod from the review of a bound service account token.
func podOf(info user.Info) (Pod, error) {
	namespace, _, err := serviceaccount.SplitUsername(info.GetName())
	if err != nil {
		return Pod{}, ErrNotAPod
	}
	pod := Pod{
		Namespace: namespace,
		Name:      single(info.GetExtra()[serviceaccount.PodNameKey]),
		UID:       types.UID(single(info.GetExtra()[serviceaccount.PodUIDKey])),
	}
	if pod.Name == "" || pod.UID == "" {
		return Pod{}, ErrNotAPod
	}
	return pod, nil
}

func single(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

func bearer(r *http.Request) (string, bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", false
	}
	scheme, token, found := strings.Cut(strings.TrimSpace(headers[0]), " ")
	token = strings.TrimSpace(token)
	if !found || !strings.EqualFold(scheme, "bearer") || token == "" || len(token) > maxToken || strings.ContainsAny(token, " \t") {
		return "", false
	}
	return token, true
}
