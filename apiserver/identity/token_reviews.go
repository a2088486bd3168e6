package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/connections"
)

const (
	// goodSize and badSize bound the kept answers, separately, so that bad tokens do not evict good ones. A key is a hash
	// of 32 bytes, whatever the token's length.
	goodSize, badSize = 32768, 8192
	// knownTTL is how long a token counts as known after a review. Its answer expires earlier.
	knownTTL = 10 * time.Minute
)

// tokenReviews authenticates tokens by TokenReview and keeps the answers.
type tokenReviews struct {
	ask func(ctx context.Context, token string) (*authenticator.Response, bool, error)
	// stale is how long an old answer is valid while the cluster cannot be asked.
	stale   time.Duration
	budgets budgets
	// good and bad hold answers by a keyed hash of the token. The token itself is not kept.
	good, bad *utilcache.LRUExpireCache
	secret    []byte
	flights   singleflight.Group
	clock     clock.PassiveClock
}

func newTokenReviews(clk clock.Clock, stale time.Duration, ask func(ctx context.Context, token string) (*authenticator.Response, bool, error)) *tokenReviews {
	secret := make([]byte, sha256.Size)
	_, _ = rand.Read(secret) // it never fails
	return &tokenReviews{
		ask: ask, stale: stale, budgets: newBudgets(clk), secret: secret, clock: clk,
		good: utilcache.NewLRUExpireCacheWithClock(goodSize, clk), bad: utilcache.NewLRUExpireCacheWithClock(badSize, clk),
	}
}

// answered is the answer for a good token.
type answered struct {
	info user.Info
	at   time.Time
}

// of returns the token's user. The error is ErrInvalidToken, a *shares.Error, ErrUnavailable or that of ctx. A known token is
// never refused because of unknown ones.
func (r *tokenReviews) of(ctx context.Context, token string) (user.Info, error) {
	if !plausible(token) {
		return nil, ErrInvalidToken
	}
	mac := hmac.New(sha256.New, r.secret)
	mac.Write([]byte(token))
	key := string(mac.Sum(nil))
	var last *answered
	if entry, ok := r.good.Get(key); ok {
		if last, ok = entry.(*answered); ok && r.clock.Since(last.at) < acceptedTTL {
			return last.info, nil
		}
	}
	if entry, ok := r.bad.Get(key); ok {
		if at, ok := entry.(time.Time); ok && r.clock.Since(at) < refusedTTL {
			return nil, ErrInvalidToken
		}
	}
	source := connections.SourceOf(ctx)
	flight := r.flights.DoChan(key, func() (any, error) {
		done := func(bool) {}
		if last == nil {
			var err error
			if done, err = r.budgets.of(token, r.clock.Now()).enter(source); err != nil {
				return nil, err
			}
		}
		info, err := r.review(context.WithoutCancel(ctx), key, token)
		done(errors.Is(err, ErrInvalidToken))
		return info, err
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-flight:
		if errors.Is(result.Err, ErrUnavailable) && last != nil && r.clock.Since(last.at) < r.stale {
			return last.info, nil // the last answer is recent
		}
		if result.Err != nil {
			return nil, result.Err
		}
		info, ok := result.Val.(user.Info)
		if !ok {
			return nil, fmt.Errorf("a token belongs to a %T", result.Val)
		}
		return info, nil
	}
}

// review asks the cluster and keeps its answer.
func (r *tokenReviews) review(ctx context.Context, key, token string) (user.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	response, ok, err := r.ask(ctx, token)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case !ok:
		r.good.Remove(key)
		r.bad.Add(key, r.clock.Now(), refusedTTL)
		return nil, ErrInvalidToken
	}
	r.good.Add(key, &answered{info: response.User, at: r.clock.Now()}, knownTTL)
	return response.User, nil
}

var _ authenticator.Token = (*tokenReviews)(nil)

// AuthenticateToken implements authenticator.Token.
func (r *tokenReviews) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	info, err := r.of(ctx, token)
	switch {
	case errors.Is(err, ErrInvalidToken):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	return &authenticator.Response{User: info}, true, nil
}
