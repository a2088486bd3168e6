package rest

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
)

//security:attack tenant | sends more requests a second than one caller may | the answer is 429 with Retry-After
func TestWhoAsksTooMuchIsToldWhenToComeAgain(t *testing.T) {
	l := newLimits(Config{ReadsPerSecond: 2, WritesPerSecond: 1})
	alice, bob := &user.DefaultInfo{Name: "alice"}, &user.DefaultInfo{Name: "bob"}
	// What is granted meanwhile, a second's worth after a second, is counted as well.
	granted := func(who user.Info, method string, burst, perSecond int) {
		t.Helper()
		begun, n := time.Now(), 0
		err := l.caller(who, method)
		for ; err == nil && n < 100; n++ {
			err = l.caller(who, method)
		}
		if most := burst + int(float64(perSecond)*time.Since(begun).Seconds()); n < burst || n > most {
			t.Errorf("%s may %s %d times at once, want %d to %d", who.GetName(), method, n, burst, most)
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

//security:attack anonymous | One address makes requests without a token, as fast as it can. | It is refused with 429; other addresses and callers are served.
func TestAnAddressMayAskForSoMuchWithoutAToken(t *testing.T) {
	l := newLimits(Config{})
	from := func(address string) *http.Request { return &http.Request{RemoteAddr: address} }
	begun, n := time.Now(), 0
	// A new connection is no new address.
	for ; n < 1000; n++ {
		leave, err := l.guest(from("192.0.2.1:" + strconv.Itoa(n)))
		if err != nil {
			break
		}
		leave()
	}
	if most := 2*guestsPerSecond + int(guestsPerSecond*time.Since(begun).Seconds()); n < 2*guestsPerSecond || n > most {
		t.Errorf("%d at once, want %d to %d", n, 2*guestsPerSecond, most)
	}
	for i := range 100 {
		if _, err := l.guest(from("192.0.2.2:1")); err != nil {
			if refused := refusalOf(err); i != anonymousPlaces.Caller || refused.status != http.StatusTooManyRequests {
				t.Errorf("%d requests of an address are served at a time, then %v", i, err)
			}
			break
		}
	}
	if _, err := l.guest(from("192.0.2.3:1")); err != nil {
		t.Errorf("another address is kept out as well: %v", err)
	}
}
