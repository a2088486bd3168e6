package main

import (
	"flag"
	"io"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name      string
		arguments []string
		wantURL   string
		wantError string
	}{
		{name: "by default workers reach the API server's Service", wantURL: "https://sharedcloud-apiserver.sharedcloud-system.svc:443"},
		{name: "in another namespace that one's", arguments: []string{"--namespace=ops"}, wantURL: "https://sharedcloud-apiserver.ops.svc:443"},
		{name: "an address that is said is taken", arguments: []string{"--exchange-url=https://example.org:8443/"}, wantURL: "https://example.org:8443"},
		{name: "one that is none is refused", arguments: []string{"--exchange-url=example.org"}, wantError: "--exchange-url must be of the form https://host:port"},
		{name: "an unknown flag is refused", arguments: []string{"--nonsense"}, wantError: "nonsense"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			set := flag.NewFlagSet("manager", flag.ContinueOnError)
			set.SetOutput(io.Discard)
			got, err := parse(set, tc.arguments)
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Errorf("got %v, want an error with %q", err, tc.wantError)
				}
				return
			}
			if err != nil || got.ExchangeURL != tc.wantURL {
				t.Errorf("the exchange is at %q (%v), want %q", got.ExchangeURL, err, tc.wantURL)
			}
		})
	}
}

func TestSchemeKnowsWhatTheControllersUse(t *testing.T) {
	scheme := newScheme()
	for _, group := range []string{"sharedcloud.io", "batch", "apiregistration.k8s.io", ""} {
		if !scheme.IsGroupRegistered(group) {
			t.Errorf("the group %q is not in the scheme", group)
		}
	}
}

//security:attack administrator | the manager is started with -v=10, at which client-go logs the bodies of requests | it logs as with -v=7
func TestTheVerbosityIsBounded(t *testing.T) {
	for given, want := range map[string]int{"-v=10": 7, "-v=8": 7, "-v=7": 7, "-v=2": 2} {
		f, err := parse(flag.NewFlagSet("manager", flag.ContinueOnError), []string{given})
		if err != nil || f.verbosity != want {
			t.Errorf("%s: level %d (%v), want %d", given, f.verbosity, err, want)
		}
	}
}
