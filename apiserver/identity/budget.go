package identity

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"sharedcloud.io/function-operator/apiserver/shares"
)

const (
	// newTokensPerSecond and newTokensBurst bound the reviews of unknown tokens from addresses without a recent bad token. Hundreds of
	// workers may start at the same time.
	newTokensPerSecond, newTokensBurst = 200, 400
	// suspectsPerSecond and suspectsBurst bound the reviews of unknown tokens from all other addresses together.
	suspectsPerSecond, suspectsBurst = 25, 50
	// failuresPerSecond and failuresBurst bound the reviews that find a bad token, of one address. asksPerSecond and asksBurst bound all
	// reviews of unknown tokens of one address.
	failuresPerSecond, failuresBurst = 5, 50
	asksPerSecond, asksBurst         = 50, 200
	// reviewsAtOnce bounds the concurrent reviews of unknown tokens, reviewsOfAddress those of one address.
	reviewsAtOnce, reviewsOfAddress = 64, 8
	// sourcesKept is the maximum number of addresses kept.
	sourcesKept = 8192
)

// budget bounds the TokenReviews of unknown tokens, so that bogus tokens do not use up the reviews of valid ones. Known tokens do
// not use it.
type budget struct {
	newcomers, suspects *rate.Limiter
	places              *shares.Limiter
	clock               clock.PassiveClock

	mu       sync.Mutex
	failures *lru.Cache // of *sourceBudget, by source
}

func newBudget(clk clock.PassiveClock) *budget {
	return &budget{
		newcomers: rate.NewLimiter(newTokensPerSecond, newTokensBurst),
		suspects:  rate.NewLimiter(suspectsPerSecond, suspectsBurst),
		places:    shares.NewLimiter("checks of unknown tokens", shares.Limits{Total: reviewsAtOnce, Caller: reviewsOfAddress, Namespace: reviewsAtOnce}),
		clock:     clk,
		failures:  lru.New(sourcesKept),
	}
}

// enter reserves one review. done takes whether the token was bad. The error is a *shares.Error.
func (b *budget) enter(source string) (done func(bad bool), err error) {
	of := b.of(source)
	now := b.clock.Now()
	left := of.failures.TokensAt(now)
	if left < 1 || !of.asks.AllowN(now, 1) {
		return nil, &shares.Error{Limit: shares.OfCaller, RetryAfter: time.Second,
			Message: "too many unknown tokens came from your address: use a token that the cluster accepts, or try again in a second"}
	}
	limiter := b.newcomers
	if left < failuresBurst {
		limiter = b.suspects
	}
	leave, err := b.places.Enter(source, "")
	if err != nil {
		return nil, err
	}
	if !limiter.AllowN(now, 1) {
		leave()
		return nil, &shares.Error{Limit: shares.OfServer, RetryAfter: time.Second,
			Message: "the server already checks the maximum number of unknown tokens: try again in a second"}
	}
	return func(bad bool) {
		leave()
		if bad {
			of.failures.AllowN(b.clock.Now(), 1)
		}
	}, nil
}

// sourceBudget is the budget of one address.
type sourceBudget struct{ failures, asks *rate.Limiter }

func (b *budget) of(source string) *sourceBudget {
	b.mu.Lock()
	defer b.mu.Unlock()
	if kept, ok := b.failures.Get(source); ok {
		if budget, ok := kept.(*sourceBudget); ok {
			return budget
		}
	}
	budget := &sourceBudget{rate.NewLimiter(failuresPerSecond, failuresBurst), rate.NewLimiter(asksPerSecond, asksBurst)}
	b.failures.Add(source, budget)
	return budget
}

// budgets are one for tokens with the form of a service account's, and one for all others: a flood of arbitrary text does not
// affect service accounts that share its address.
type budgets struct{ accounts, others *budget }

func newBudgets(clk clock.PassiveClock) budgets { return budgets{newBudget(clk), newBudget(clk)} }

func (b budgets) of(token string, now time.Time) *budget {
	if looksLikeAccount(token, now) {
		return b.accounts
	}
	return b.others
}

// looksLikeAccount says whether the token has the form of a service account's that has not expired. It does not verify it.
func looksLikeAccount(token string, now time.Time) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var claims struct {
		Subject string  `json:"sub"`
		Expires float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return false
	}
	return strings.HasPrefix(claims.Subject, "system:serviceaccount:") && (claims.Expires == 0 || claims.Expires > float64(now.Unix()))
}
