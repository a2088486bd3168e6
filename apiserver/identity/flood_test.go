package identity

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	clocktesting "k8s.io/utils/clock/testing"

	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/shares"
)

// cluster answers reviews: tokens that begin with good are users of that name.
type cluster struct {
	mu    sync.Mutex
	asked int
}

func (c *cluster) ask(_ context.Context, token string) (*authenticator.Response, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if !strings.HasPrefix(token, "good") && !strings.HasSuffix(token, ".good") {
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: token}}, true, nil
}

func newFlooded() (*tokenReviews, *cluster, *clocktesting.FakeClock) {
	c, clk := &cluster{}, clocktesting.NewFakeClock(time.Now())
	return newTokenReviews(clk, staleTTL, c.ask), c, clk
}

// accountToken has the form of a service account's token.
func accountToken(name, signature string, expires time.Time) string {
	claims := fmt.Sprintf(`{"sub":"system:serviceaccount:a:%s","exp":%d}`, name, expires.Unix())
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + signature
}

// flood presents the given number of made-up tokens, and returns how many were refused without a review.
func flood(t *testing.T, r *tokenReviews, source string, n int, token func(i int) string) (throttled int) {
	t.Helper()
	for i := range n {
		_, err := r.of(connections.WithSource(t.Context(), source), token(i))
		switch {
		case errors.As(err, new(*shares.Error)):
			throttled++
		case !errors.Is(err, ErrInvalidToken):
			t.Fatalf("a made up token: %v", err)
		}
	}
	return throttled
}

//security:attack anonymous | A flood of made-up tokens. | An address costs the cluster a bounded number of reviews, and the refusal says when to try again.
func TestAFloodOfUnknownTokensCostsFewReviews(t *testing.T) {
	for name, token := range map[string]func(i int) string{
		"arbitrary text":                     func(i int) string { return fmt.Sprint("bogus-", i) },
		"text in the form of an account's":   func(i int) string { return accountToken(fmt.Sprint(i), "bogus", time.Now().Add(time.Hour)) },
		"the same, expired":                  func(i int) string { return accountToken(fmt.Sprint(i), "bogus", time.Now().Add(-time.Hour)) },
		"as long as a token may be":          func(i int) string { return fmt.Sprintf("%0*d", maxToken, i) },
		"longer than that, which is free":    func(i int) string { return fmt.Sprintf("%0*d", maxToken+1, i) },
		"three parts that decode to no JSON": func(i int) string { return fmt.Sprintf("a.b%d.c", i) },
	} {
		t.Run(name, func(t *testing.T) {
			r, c, _ := newFlooded()
			throttled := flood(t, r, "192.0.2.1", 3000, token)
			if c.asked > failuresBurst || name != "longer than that, which is free" && throttled < 3000-failuresBurst {
				t.Errorf("%d reviews, %d refused", c.asked, throttled)
			}
		})
	}
}

//security:attack anonymous | A flood of made-up tokens while other callers work. | Known callers never wait; a new caller at another address is reviewed; so is an account at the same address.
func TestAFloodOfUnknownTokensDoesNotKeepCallersOut(t *testing.T) {
	r, _, clk := newFlooded()
	known := connections.WithSource(t.Context(), "192.0.2.1")
	if _, err := r.of(known, "good-known"); err != nil {
		t.Fatal(err)
	}
	for address := range 50 {
		flood(t, r, fmt.Sprintf("192.0.2.%d", address), 200, func(i int) string { return fmt.Sprintf("bogus-%d-%d", address, i) })
	}
	if _, err := r.of(known, "good-known"); err != nil {
		t.Errorf("a known token at the flood's address: %v", err)
	}
	clk.Step(acceptedTTL + 1)
	flood(t, r, "192.0.2.1", 1000, func(i int) string { return fmt.Sprint("again-", i) })
	if _, err := r.of(known, "good-known"); err != nil {
		t.Errorf("a known token that has to be reviewed again: %v", err)
	}
	if _, err := r.of(connections.WithSource(t.Context(), "198.51.100.1"), "good-new"); err != nil {
		t.Errorf("a new token at another address: %v", err)
	}
	if _, err := r.of(known, accountToken("worker", "good", clk.Now().Add(time.Hour))); err != nil {
		t.Errorf("a new account at the flood's address: %v", err)
	}
	if _, err := r.of(known, "good-other"); !errors.As(err, new(*shares.Error)) {
		t.Errorf("another new token at the flood's address: %v", err)
	}
	clk.Step(time.Second)
	if _, err := r.of(known, "good-other"); err != nil {
		t.Errorf("the same a second later: %v", err)
	}
}

//security:attack anonymous | More made-up tokens than kept answers. | Answers for valid tokens stay, and the memory is bounded.
func TestBadTokensDoNotEvictGoodOnes(t *testing.T) {
	r, c, _ := newFlooded()
	if _, err := r.of(t.Context(), "good"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * badSize {
		r.bad.Add(fmt.Sprint(i), true, time.Hour)
	}
	asked := c.asked
	if _, err := r.of(t.Context(), "good"); err != nil || c.asked != asked {
		t.Errorf("%v, asked %d times more", err, c.asked-asked)
	}
	if kept := len(r.bad.Keys()); kept > badSize {
		t.Errorf("%d bad tokens are kept", kept)
	}
}

func TestAThousandNewWorkersMayStartAtOnce(t *testing.T) {
	r, _, _ := newFlooded()
	refused := 0
	for i := range newTokensBurst {
		if _, err := r.of(connections.WithSource(t.Context(), fmt.Sprint("node-", i%20)), fmt.Sprint("good-", i)); err != nil {
			refused++
		}
	}
	if refused > 0 {
		t.Errorf("%d of %d good tokens are refused", refused, newTokensBurst)
	}
}

func TestATokenThatIsNoLongerValidIsForgotten(t *testing.T) {
	good := true
	clk := clocktesting.NewFakeClock(time.Now())
	r := newTokenReviews(clk, staleTTL, func(context.Context, string) (*authenticator.Response, bool, error) {
		return &authenticator.Response{User: &user.DefaultInfo{Name: "alice"}}, good, nil
	})
	if _, err := r.of(t.Context(), "token"); err != nil {
		t.Fatal(err)
	}
	good = false
	clk.Step(acceptedTTL)
	for range 2 {
		if _, err := r.of(t.Context(), "token"); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%v", err)
		}
	}
}

func TestBearerTokensAreReviewedOnce(t *testing.T) {
	r, c, _ := newFlooded()
	shown := ""
	delegate := authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		shown = r.Header.Get("Authorization")
		if r.Header.Get("X-Remote-User") != "" {
			return &authenticator.Response{User: &user.DefaultInfo{Name: "proxied"}}, true, nil
		}
		return &authenticator.Response{User: &user.DefaultInfo{Name: user.Anonymous}}, true, nil
	})
	authenticate := ReviewedTokens(delegate, &Callers{r})
	ask := func(name, value string) (string, bool) {
		ctx, attempt := WithAttempt(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", value)
		r.Header.Set(name, "x")
		response, ok, err := authenticate.AuthenticateRequest(r)
		if err != nil || !ok {
			return fmt.Sprint(err), attempt.Token != ""
		}
		return response.User.GetName(), attempt.Token != ""
	}
	for i := range 3 {
		if got, byToken := ask("X", "Bearer good"); got != "good" || !byToken || shown != "" || c.asked != 1 {
			t.Errorf("round %d: %s, by token %v, the delegate saw %q, %d reviews", i, got, byToken, shown, c.asked)
		}
	}
	if got, _ := ask("X", "Bearer bad"); got != ErrInvalidToken.Error() {
		t.Errorf("a bad one: %s", got)
	}
	if got, byToken := ask("X-Remote-User", "Bearer good"); got != "proxied" || byToken {
		t.Errorf("what the front proxy says comes first: %s, by token %v", got, byToken)
	}
	if got, _ := ask("X", "Basic good"); got != user.Anonymous {
		t.Errorf("another scheme: %s", got)
	}
}

func TestRecheck(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		ends bool
	}{
		"while it is allowed it continues":          {nil, false},
		"what is revoked ends":                      {ErrRevoked, true},
		"without an answer it continues for a time": {errors.New("away"), false},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{}, 100)
			ctx, stop := Recheck(t.Context(), time.Millisecond, func(context.Context) error {
				asked <- struct{}{}
				return tc.err
			})
			defer stop()
			<-asked
			if tc.ends {
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), ErrRevoked) {
					t.Errorf("it ends because of %v", context.Cause(ctx))
				}
				return
			}
			<-asked
			<-asked
			if ctx.Err() != nil {
				t.Error("it has ended")
			}
		})
	}
}
