package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChoose(t *testing.T) {
	tests := map[string]struct {
		args []string
		want []string // nil: no program
	}{
		"the name it was called by":           {[]string{"/x/kubectl", "get", "nodes"}, []string{"/x/kubectl", "get", "nodes"}},
		"the first argument":                  {[]string{"/x/kubernetes", "etcd", "--x"}, []string{"etcd", "--x"}},
		"the called name before the argument": {[]string{"kubectl", "etcd"}, []string{"kubectl", "etcd"}},
		"neither names a program":             {[]string{"kubernetes", "nonsense"}, nil},
		"no argument at all":                  {[]string{"kubernetes"}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			run, got := choose(tc.args)
			if (run != nil) != (tc.want != nil) {
				t.Fatalf("choose(%q) found a program: %t", tc.args, run != nil)
			}
			if run == nil {
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}
