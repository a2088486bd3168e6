package workload

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
)

func TestJobName(t *testing.T) {
	tests := []struct {
		name string
		run  string
		k    int32
		want string
	}{
		{name: "a short name is unchanged", run: "digits", k: 1, want: "digits-1"},
		{name: "the longest name that leaves room for the names of pods is unchanged", run: strings.Repeat("a", 50), k: 1, want: strings.Repeat("a", 50) + "-1"},
		{name: "a longer name is shortened with a hash", run: strings.Repeat("a", 51), k: 1, want: strings.Repeat("a", 41) + "-" + values.Hash(strings.Repeat("a", 51))[:8] + "-1"},
		{name: "a second digit takes its room from the name", run: strings.Repeat("a", 50), k: 12, want: strings.Repeat("a", 40) + "-" + values.Hash(strings.Repeat("a", 50))[:8] + "-12"},
		{name: "dots, which a host name may not have, are replaced and distinguished by the hash", run: "a.b", k: 1, want: "a-b-" + values.Hash("a.b")[:8] + "-1"},
		{name: "a cut that ends in a hyphen leaves only one", run: strings.Repeat("a", 40) + "-" + strings.Repeat("b", 20), k: 1, want: strings.Repeat("a", 40) + "-" + values.Hash(strings.Repeat("a", 40) + "-" + strings.Repeat("b", 20))[:8] + "-1"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := JobName(tc.run, tc.k)
			if got != tc.want {
				t.Errorf("JobName(%q, %d) = %q, want %q", tc.run, tc.k, got, tc.want)
			}
			host := fmt.Sprintf("%s-%d", got, 9999)
			if problems := validation.IsDNS1123Label(host); len(problems) > 0 {
				t.Errorf("the host name %q of its last pod is not a DNS label: %v", host, problems)
			}
			if pod := host + "-xxxxx"; len(pod) > 63 {
				t.Errorf("the name %q of its last pod has %d characters", pod, len(pod))
			}
		})
	}
}

func TestJobNamesOfRunsDiffer(t *testing.T) {
	long := strings.Repeat("a", 60)
	names := map[string]string{}
	for _, run := range []string{long + "-b", long + "-c", "x.y", "x-y"} {
		name := JobName(run, 1)
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
		{name: "a short name is unchanged", function: "mnist", want: "mnist-0123456789"},
		{name: "a long name is cut at 40", function: strings.Repeat("m", 63), want: strings.Repeat("m", 40) + "-0123456789"},
		{name: "a cut that ends in a dot omits it", function: strings.Repeat("m", 39) + ".x", want: strings.Repeat("m", 39) + "-0123456789"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := revisionName(tc.function, hash)
			if got != tc.want {
				t.Errorf("revisionName(%q) = %q, want %q", tc.function, got, tc.want)
			}
			if problems := validation.IsDNS1123Subdomain(got); len(problems) > 0 {
				t.Errorf("%q is not a valid name of a ConfigMap: %v", got, problems)
			}
		})
	}
}

//security:attack tenant | gives runs and functions names of 63 and 253 characters, with dots and homoglyphs, from which names of Jobs, pods and ConfigMaps are built | each derived name is a valid one, or cut with a hash
func TestDerivedNamesAreValid(t *testing.T) {
	names := []string{strings.Repeat("a", 63), strings.Repeat("a", 253), strings.Repeat("a.", 31) + "a", "а-homoglyph", strings.Repeat("é", 126), "-", "."}
	for _, name := range names {
		for _, k := range []int32{1, v1alpha1.MaxJobNumber} {
			if job := JobName(name, k); len(job) > maxJobName || strings.Contains(job, ".") {
				t.Errorf("%q: the Job's name is %q", name, job)
			}
		}
		if revision := revisionName(name, values.Hash(name)); len(revision) > maxFunctionPart+1+revisionHashLength {
			t.Errorf("%q: the revision's name is %q", name, revision)
		}
		if inputs := InputsName(name); len(inputs) > 253 {
			t.Errorf("%q: the name of the inputs has %d characters", name, len(inputs))
		}
	}
}
