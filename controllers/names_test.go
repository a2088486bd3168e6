package controllers

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

func TestJobName(t *testing.T) {
	tests := []struct {
		name string
		run  string
		k    int32
		want string
	}{
		{name: "a short name is kept", run: "digits", k: 1, want: "digits-1"},
		{name: "the longest name that leaves room for a pod's is kept", run: strings.Repeat("a", 50), k: 1, want: strings.Repeat("a", 50) + "-1"},
		{name: "one longer is shortened by a hash", run: strings.Repeat("a", 51), k: 1, want: strings.Repeat("a", 41) + "-" + hashOf(strings.Repeat("a", 51))[:8] + "-1"},
		{name: "a number of two digits takes its room from the name", run: strings.Repeat("a", 50), k: 12, want: strings.Repeat("a", 40) + "-" + hashOf(strings.Repeat("a", 50))[:8] + "-12"},
		{name: "dots, which no host name may have, are replaced and told apart by the hash", run: "a.b", k: 1, want: "a-b-" + hashOf("a.b")[:8] + "-1"},
		{name: "a cut that ends in a hyphen leaves no two", run: strings.Repeat("a", 40) + "-" + strings.Repeat("b", 20), k: 1, want: strings.Repeat("a", 40) + "-" + hashOf(strings.Repeat("a", 40) + "-" + strings.Repeat("b", 20))[:8] + "-1"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := jobName(tc.run, tc.k)
			if got != tc.want {
				t.Errorf("jobName(%q, %d) = %q, want %q", tc.run, tc.k, got, tc.want)
			}
			host := fmt.Sprintf("%s-%d", got, 9999)
			if problems := validation.IsDNS1123Label(host); len(problems) > 0 {
				t.Errorf("the host name %q of its last pod is no DNS label: %v", host, problems)
			}
			if pod := host + "-xxxxx"; len(pod) > 63 {
				t.Errorf("the name %q of its last pod has %d characters", pod, len(pod))
			}
		})
	}
}

func TestJobNameTellsRunsApart(t *testing.T) {
	long := strings.Repeat("a", 60)
	names := map[string]string{}
	for _, run := range []string{long + "-b", long + "-c", "x.y", "x-y"} {
		name := jobName(run, 1)
		if other, taken := names[name]; taken {
			t.Errorf("%q and %q share the Job's name %q", run, other, name)
		}
		names[name] = run
	}
}

func TestRevisionName(t *testing.T) {
	hash := strings.Repeat("0123456789abcdef", 4)
	tests := []struct {
		name, function, want string
	}{
		{name: "a short name is kept", function: "mnist", want: "mnist-0123456789"},
		{name: "a long name is cut at 40", function: strings.Repeat("m", 63), want: strings.Repeat("m", 40) + "-0123456789"},
		{name: "a cut that ends in a dot leaves it out", function: strings.Repeat("m", 39) + ".x", want: strings.Repeat("m", 39) + "-0123456789"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := revisionName(tc.function, hash)
			if got != tc.want {
				t.Errorf("revisionName(%q) = %q, want %q", tc.function, got, tc.want)
			}
			if problems := validation.IsDNS1123Subdomain(got); len(problems) > 0 {
				t.Errorf("%q is no name of a ConfigMap: %v", got, problems)
			}
		})
	}
}

func TestCut(t *testing.T) {
	tests := []struct {
		name, text string
		limit      int
		want       string
	}{
		{name: "a text that fits is kept", text: "abc", limit: 3, want: "abc"},
		{name: "one that doesn't is marked", text: "abcdefgh", limit: 7, want: "abcd…"},
		{name: "no character is split", text: "ääääääää", limit: 8, want: "ää…"},
		{name: "a limit below the mark leaves the mark", text: "abcdef", limit: 1, want: "…"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := cut(tc.text, tc.limit); got != tc.want {
				t.Errorf("cut(%q, %d) = %q, want %q", tc.text, tc.limit, got, tc.want)
			}
		})
	}
}
