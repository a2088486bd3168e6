package rest

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
)

//security:attack tenant | sends more requests per second than a caller may | the response is 429 with Retry-After
func TestRequestsBeyondTheRateAreRefusedWithRetryAfter(t *testing.T) {
	l := newLimits(Config{ReadsPerSecond: 2, WritesPerSecond: 1})
	alice, bob := &user.DefaultInfo{Name: "alice"}, &user.DefaultInfo{Name: "bob"}
	// The limit grows while the test runs: by a second's rate per second.
	granted := func(caller user.Info, method string, burst, perSecond int) {
		t.Helper()
		begun, n := time.Now(), 0
		err := l.caller(caller, method)
		for ; err == nil && n < 100; n++ {
			err = l.caller(caller, method)
		}
		if limit := burst + int(float64(perSecond)*time.Since(begun).Seconds()); n < burst || n > limit {
			t.Errorf("%s may %s %d times in a burst, want %d to %d", caller.GetName(), method, n, burst, limit)
		}
		refused := refusalOf(err)
		if refused.status != http.StatusTooManyRequests || refused.retryAfter <= 0 {
			t.Errorf("refused with %v", err)
		}
	}
	granted(alice, http.MethodPost, 2, 1)
	granted(alice, http.MethodGet, 4, 2)
	granted(bob, http.MethodPatch, 2, 1)
}

//security:attack anonymous | One address sends requests without a token as fast as possible. | It is refused with 429; other addresses and callers are served.
func TestAnonymousRequestsAreLimitedPerAddress(t *testing.T) {
	l := newLimits(Config{})
	from := func(address string) *http.Request { return &http.Request{RemoteAddr: address} }
	begun, n := time.Now(), 0
	// A new connection has the same address.
	for ; n < 1000; n++ {
		release, err := l.anonymousCaller(from("192.0.2.1:" + strconv.Itoa(n)))
		if err != nil {
			break
		}
		release()
	}
	if limit := 2*anonymousPerSecond + int(anonymousPerSecond*time.Since(begun).Seconds()); n < 2*anonymousPerSecond || n > limit {
		t.Errorf("a burst of %d, want %d to %d", n, 2*anonymousPerSecond, limit)
	}
	for i := range 100 {
		if _, err := l.anonymousCaller(from("192.0.2.2:1")); err != nil {
			if refused := refusalOf(err); i != anonymousLimits.Caller || refused.status != http.StatusTooManyRequests {
				t.Errorf("%d concurrent requests of an address are served, then %v", i, err)
			}
			break
		}
	}
	if _, err := l.anonymousCaller(from("192.0.2.3:1")); err != nil {
		t.Errorf("another address is refused too: %v", err)
	}
}
