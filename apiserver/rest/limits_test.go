package rest

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
)

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
		refused := new(refusal)
		if !errors.As(err, &refused) || refused.status != http.StatusTooManyRequests || refused.retryAfter <= 0 {
			t.Errorf("refused with %v", err)
		}
	}
	granted(alice, http.MethodPost, 2, 1)
	granted(alice, http.MethodGet, 4, 2)
	granted(bob, http.MethodPatch, 2, 1)
}

func TestAnAddressShowsSoManyUnknownTokens(t *testing.T) {
	l := newLimits(Config{})
	from := func(address string) *http.Request { return &http.Request{RemoteAddr: address} }
	begun, n := time.Now(), 0
	// A new connection is no new address.
	for ; n < 10*strangerBurst && l.unknownToken(from("192.0.2.1:"+strconv.Itoa(n))); n++ {
		continue
	}
	if most := strangerBurst + int(strangersPerSecond*time.Since(begun).Seconds()); n < strangerBurst || n > most {
		t.Errorf("%d at once, want %d to %d", n, strangerBurst, most)
	}
	if !l.unknownToken(from("192.0.2.2:1")) {
		t.Error("another address is kept out as well")
	}
	if err := l.guest(from("192.0.2.1:1")); err != nil {
		t.Errorf("what needs no token: %v", err)
	}
}
