package main

import (
	"flag"
	"io"
	"slices"
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
		{name: "the default is the API server's Service", wantURL: "https://sharedcloud-apiserver.sharedcloud-system.svc:443"},
		{name: "the Service is in the operator's namespace", arguments: []string{"--namespace=ops"}, wantURL: "https://sharedcloud-apiserver.ops.svc:443"},
		{name: "an address on the command line is used", arguments: []string{"--exchange-url=https://example.org:8443/"}, wantURL: "https://example.org:8443"},
		{name: "an invalid address is refused", arguments: []string{"--exchange-url=example.org"}, wantError: "--exchange-url must be of the form https://host:port"},
		{name: "an empty namespace is refused", arguments: []string{"--namespace="}, wantError: "--namespace must name the namespace of the operator"},
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

func TestVersionIsParsedAndProfilingIsOffByDefault(t *testing.T) {
	set := flag.NewFlagSet("manager", flag.ContinueOnError)
	got, err := parse(set, []string{"--version"})
	if err != nil || !got.version || got.profiling {
		t.Errorf("got version %t, profiling %t (%v), want true, false", got.version, got.profiling, err)
	}
}

func TestParseAdministratorSettings(t *testing.T) {
	parsed := func(arguments ...string) (flags, error) {
		set := flag.NewFlagSet("manager", flag.ContinueOnError)
		set.SetOutput(io.Discard)
		return parse(set, arguments)
	}
	got, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if a := got.Allowed; len(a.PriorityClasses)+len(a.RuntimeClasses)+len(a.Tolerations) > 0 || a.Root {
		t.Errorf("by default %+v is allowed, want nothing", a)
	}
	if w := got.Workers; w.CPURequest.String() != "100m" || w.MemoryRequest.String() != "128Mi" || !w.MemoryLimit.IsZero() || w.MemoryVolume.String() != "1Gi" || !w.DiskVolume.IsZero() {
		t.Errorf("by default workers get %+v", w)
	}
	got, err = parsed("--allowed-priority-classes=batch-*, soon,", "--allowed-runtime-classes=nvidia", "--allowed-tolerations=*", "--allow-root",
		"--default-cpu-request=0", "--default-memory-limit=4Gi")
	if err != nil {
		t.Fatal(err)
	}
	if a := got.Allowed; !slices.Equal(a.PriorityClasses, []string{"batch-*", "soon"}) || !slices.Equal(a.RuntimeClasses, []string{"nvidia"}) || !slices.Equal(a.Tolerations, []string{"*"}) || !a.Root {
		t.Errorf("allowed is %+v", a)
	}
	if w := got.Workers; !w.CPURequest.IsZero() || w.MemoryLimit.String() != "4Gi" {
		t.Errorf("workers get %+v", w)
	}
	for argument, words := range map[string]string{
		"--allowed-priority-classes=system-node-critical": "are for the cluster's own pods",
		"--default-memory-request=lots":                   "must be a quantity",
		"--default-memory-request=-1Mi":                   "must be a quantity",
		"--default-memory-limit=1e999999999":              "must be a quantity",
	} {
		if _, err := parsed(argument); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: got %v, want an error with %q", argument, err, words)
		}
	}
}

func TestSchemeHasTheKindsOfTheControllers(t *testing.T) {
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
