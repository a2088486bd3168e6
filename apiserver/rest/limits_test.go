package rest

import (
	"errors"
	"net/http"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
)

func TestWhoAsksTooMuchIsToldWhenToComeAgain(t *testing.T) {
	l := newLimits(Config{ReadsPerSecond: 2, WritesPerSecond: 1})
	alice, bob := &user.DefaultInfo{Name: "alice"}, &user.DefaultInfo{Name: "bob"}
	count := func(who user.Info, method string) int {
		for n := range 100 {
			err := l.caller(who, method)
			if err == nil {
				continue
			}
			refused := new(refusal)
			if !errors.As(err, &refused) || refused.status != http.StatusTooManyRequests || refused.retryAfter <= 0 {
				t.Errorf("refused with %v", err)
			}
			return n
		}
		return 100
	}
	if got := count(alice, http.MethodPost); got != 2 {
		t.Errorf("%d writes at once, want 2", got)
	}
	if got := count(alice, http.MethodGet); got != 4 {
		t.Errorf("%d reads at once after the writes, want 4", got)
	}
	if got := count(bob, http.MethodPatch); got != 2 {
		t.Errorf("another caller has %d writes, want 2", got)
	}
}

func TestAnAddressShowsSoManyUnknownTokens(t *testing.T) {
	l := newLimits(Config{})
	from := func(address string) *http.Request { return &http.Request{RemoteAddr: address} }
	for n := range strangerBurst {
		if !l.unknownToken(from("192.0.2.1:1")) {
			t.Fatalf("only %d", n)
		}
	}
	if l.unknownToken(from("192.0.2.1:2")) {
		t.Error("a new connection is a new address")
	}
	if !l.unknownToken(from("192.0.2.2:1")) {
		t.Error("another address is kept out as well")
	}
	if err := l.guest(from("192.0.2.1:1")); err != nil {
		t.Errorf("what needs no token: %v", err)
	}
}

func TestBodiesCountAsWhatTheyMayBe(t *testing.T) {
	for length, want := range map[int64]int64{0: leastBody, 1: leastBody, 1 << 20: 1 << 20, -1: maxBody, maxBody + 1: maxBody} {
		if got := weight(length); got != want {
			t.Errorf("%d bytes count as %d, want %d", length, got, want)
		}
	}
}
