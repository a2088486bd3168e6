package multicall

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChoose(t *testing.T) {
	programs := map[string]string{"kubectl": "kubectl", "etcd": "etcd"}
	tests := map[string]struct {
		args     []string
		want     string // "" for none
		wantArgs []string
	}{
		"the name it was called by":           {[]string{"/x/kubectl", "get", "nodes"}, "kubectl", []string{"/x/kubectl", "get", "nodes"}},
		"the first argument":                  {[]string{"/x/kubernetes", "etcd", "--x"}, "etcd", []string{"etcd", "--x"}},
		"the called name before the argument": {[]string{"kubectl", "etcd"}, "kubectl", []string{"kubectl", "etcd"}},
		"neither names a program":             {[]string{"kubernetes", "nonsense"}, "", nil},
		"no argument":                         {[]string{"kubernetes"}, "", nil},
		"nothing at all":                      {nil, "", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, args, found := Choose(programs, tc.args)
			if got != tc.want || found != (tc.want != "") {
				t.Errorf("chose %q, %t", got, found)
			}
			if diff := cmp.Diff(tc.wantArgs, args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}
