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
	// newTokensPerSecond and newTokensBurst bound the reviews of tokens that are not known yet, from addresses that have
	// shown no bad one of late: a thousand workers may start at once.
	newTokensPerSecond, newTokensBurst = 200, 400
	// suspectsPerSecond and suspectsBurst bound those from all other addresses together.
	suspectsPerSecond, suspectsBurst = 25, 50
	// failuresPerSecond and failuresBurst are how many reviews of one address may find a bad token.
	failuresPerSecond, failuresBurst = 5, 50
	// reviewsAtOnce are the reviews of unknown tokens that are made at a time, and those of them for one address.
	reviewsAtOnce, reviewsOfAddress = 64, 8
	// sourcesKept bounds how many addresses are remembered.
	sourcesKept = 8192
)

// budget bounds the TokenReviews of tokens that are not known yet, so that who shows tokens that were made up takes
// nothing from who has a good one: those that are known never ask for it.
type budget struct {
	newcomers, suspects *rate.Limiter
	places              *shares.Places
	clock               clock.PassiveClock

	mu       sync.Mutex
	failures *lru.Cache // of *rate.Limiter, by source
}

func newBudget(clk clock.PassiveClock) *budget {
	return &budget{
		newcomers: rate.NewLimiter(newTokensPerSecond, newTokensBurst),
		suspects:  rate.NewLimiter(suspectsPerSecond, suspectsBurst),
		places:    shares.NewPlaces("checks of unknown tokens", shares.Limits{Total: reviewsAtOnce, Caller: reviewsOfAddress, Namespace: reviewsAtOnce}),
		clock:     clk,
		failures:  lru.New(sourcesKept),
	}
}

// enter asks for one review. done is told whether the token was a bad one. The error is a *shares.Refusal.
func (b *budget) enter(source string) (done func(bad bool), err error) {
	failures := b.failuresOf(source)
	now := b.clock.Now()
	left := failures.TokensAt(now)
	if left < 1 {
		return nil, &shares.Refusal{Limit: shares.OfCaller, RetryAfter: time.Second,
			Sentence: "too many unknown tokens came from your address: use a token that the cluster accepts, or try again in a second"}
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
		return nil, &shares.Refusal{Limit: shares.OfServer, RetryAfter: time.Second,
			Sentence: "the server checks as many unknown tokens as it may: try again in a second"}
	}
	return func(bad bool) {
		leave()
		if bad {
			failures.AllowN(b.clock.Now(), 1)
		}
	}, nil
}

func (b *budget) failuresOf(source string) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.failures.Get(source); ok {
		if limiter, ok := known.(*rate.Limiter); ok {
			return limiter
		}
	}
	limiter := rate.NewLimiter(failuresPerSecond, failuresBurst)
	b.failures.Add(source, limiter)
	return limiter
}

// budgets are one for tokens that may be a service account's by their form, and one for all others: the cheapest flood, of
// arbitrary text, never takes from those who share an address with it.
type budgets struct{ accounts, others *budget }

func newBudgets(clk clock.PassiveClock) budgets { return budgets{newBudget(clk), newBudget(clk)} }

func (b budgets) of(token string, now time.Time) *budget {
	if looksLikeAccount(token, now) {
		return b.accounts
	}
	return b.others
}

// looksLikeAccount says whether the token has the form of a service account's that has not expired. It verifies nothing.
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
