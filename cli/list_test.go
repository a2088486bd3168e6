package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tableResponse is a server's table of runs with their names and times of creation.
func tableResponse(rows ...[2]string) string {
	var parts []string
	for _, row := range rows {
		parts = append(parts, fmt.Sprintf(`{"cells":[%q,1000000],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":%q,"namespace":"ns","creationTimestamp":%q}}}`, row[0], row[0], row[1]))
	}
	return `{"kind":"Table","apiVersion":"meta.k8s.io/v1","columnDefinitions":[{"name":"Name","type":"string"},{"name":"Total","type":"integer"}],"rows":[` + strings.Join(parts, ",") + `]}`
}

func TestRunsAreListedInOrderOfCreation(t *testing.T) {
	f := newFakeCluster(t)
	response := tableResponse([2]string{"a", "2026-11-26T12:00:03Z"}, [2]string{"b", "2026-11-26T12:00:01Z"})
	asked := ""
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/functionruns") {
			return false
		}
		asked = r.URL.RequestURI()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(response))
		return true
	}
	got := f.plugin(t, t.Context(), nil, "list", "runs", "--function", "train")
	if diff := cmp.Diff("NAME   TOTAL\nb      1000000\na      1000000\n", got.stdout); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := "/apis/sharedcloud.io/v1alpha1/namespaces/ns/functionruns?fieldSelector=spec.functionRef.name%3Dtrain&includeObject=Metadata"; asked != want {
		t.Errorf("requested %s, want %s", asked, want)
	}
	f.plugin(t, t.Context(), nil, "list", "runs", "-A").mustExit(t, ExitOK, "NAMESPACE   NAME   TOTAL\nns          b      1000000\n", "")
	if !strings.HasPrefix(asked, "/apis/sharedcloud.io/v1alpha1/functionruns?") {
		t.Errorf("requested %s", asked)
	}
	// The last argument is the word to complete.
	command(t, t.Context(), nil, "__complete", "--server", f.url, "-n", "ns", "describe", "run", "").mustExit(t, ExitOK, "b\na\n", "")
	response = tableResponse()
	f.plugin(t, t.Context(), nil, "list", "runs").mustExit(t, ExitOK, "", "There are no runs in the namespace ns.")
}
