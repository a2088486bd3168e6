package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/user"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/utils/clock"
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
	// ErrBusy: so many unknown tokens are shown that no more are asked about for the moment.
	ErrBusy = errors.New("too many unknown tokens are being checked at the moment: try again in a second")
	// ErrNoNamespace: no namespace follows from who calls, and none was chosen that he may use.
	ErrNoNamespace = errors.New("no namespace is the caller's")
)

const (
	// staleTTL is for how long an answer is good while the cluster cannot be asked anew: a token or a right that was taken
	// away is good for at most as long.
	staleTTL = time.Minute
	// callersSize bounds the answers of TokenReviews that are kept.
	callersSize = 8192
	// reviewsPerSecond and reviewBurst bound the TokenReviews: whoever shows tokens that he made up costs the cluster so
	// much and no more.
	reviewsPerSecond, reviewBurst = 50, 200
)

// Callers finds out who calls REST, by the token that he shows.
type Callers struct {
	reviews authenticationv1client.TokenReviewInterface
	// known holds answers by a keyed hash of the token, which is not kept.
	known   *utilcache.LRUExpireCache
	secret  []byte
	flights singleflight.Group
	limiter *rate.Limiter
	clock   clock.PassiveClock
}

// NewCallers asks the cluster by TokenReview. What it answers is kept for 30 seconds, that a token is no good for 5.
func NewCallers(reviews authenticationv1client.AuthenticationV1Interface, clk clock.Clock) *Callers {
	secret := make([]byte, sha256.Size)
	_, _ = rand.Read(secret) // it never fails
	return &Callers{
		reviews: reviews.TokenReviews(),
		secret:  secret,
		known:   utilcache.NewLRUExpireCacheWithClock(callersSize, clk),
		limiter: rate.NewLimiter(reviewsPerSecond, reviewBurst),
		clock:   clk,
	}
}

// Authenticate returns who calls. The error is a *TokenError, ErrUnavailable or ErrBusy. mayAsk is asked before the cluster
// is asked about a token that is not known yet.
func (c *Callers) Authenticate(r *http.Request, mayAsk func() bool) (user.Info, error) {
	token, err := tokenOf(r.Header.Values("Authorization"))
	if err != nil {
		return nil, err
	}
	return c.Of(r.Context(), token, mayAsk)
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

// Of returns whom the token is good for, see Authenticate.
func (c *Callers) Of(ctx context.Context, token string, mayAsk func() bool) (user.Info, error) {
	if !plausible(token) {
		return nil, ErrInvalidToken
	}
	mac := hmac.New(sha256.New, c.secret)
	mac.Write([]byte(token))
	key := string(mac.Sum(nil))
	var last *known
	if entry, ok := c.known.Get(key); ok {
		if last, ok = entry.(*known); ok && c.clock.Since(last.at) < last.freshFor() {
			return last.answer()
		}
	}
	if last == nil && !mayAsk() {
		return nil, ErrBusy
	}
	flight := c.flights.DoChan(key, func() (any, error) {
		if !c.limiter.Allow() {
			return nil, ErrBusy
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		review, err := c.reviews.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if !review.Status.Authenticated {
			refused := &known{at: c.clock.Now()}
			c.known.Add(key, refused, refusedTTL)
			return refused, nil
		}
		extra := map[string][]string{}
		for key, value := range review.Status.User.Extra {
			extra[key] = value
		}
		info := &user.DefaultInfo{Name: review.Status.User.Username, UID: review.Status.User.UID, Groups: review.Status.User.Groups, Extra: extra}
		accepted := &known{info: info, at: c.clock.Now()}
		c.known.Add(key, accepted, staleTTL)
		return accepted, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-flight:
		if errors.Is(result.Err, ErrUnavailable) && last != nil {
			return last.answer() // the cluster cannot be asked anew, and it is not long ago that it said so
		}
		if result.Err != nil {
			return nil, result.Err
		}
		found, ok := result.Val.(*known)
		if !ok {
			return nil, fmt.Errorf("a token belongs to a %T", result.Val)
		}
		return found.answer()
	}
}

// known is what the cluster said of a token: whom it is good for, or nobody.
type known struct {
	info user.Info
	at   time.Time
}

func (k *known) freshFor() time.Duration {
	if k.info == nil {
		return refusedTTL
	}
	return acceptedTTL
}

func (k *known) answer() (user.Info, error) {
	if k.info == nil {
		return nil, ErrInvalidToken
	}
	return k.info, nil
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
