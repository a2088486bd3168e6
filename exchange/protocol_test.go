package exchange

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestPathOfMatchesPath(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc(Path, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.PathValue("namespace") + " " + r.PathValue("run")))
	})
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, PathOf("ns", "run-1"), nil))
	if got := w.Body.String(); got != "ns run-1" {
		t.Errorf("%s is served as %q, want namespace ns and run run-1", PathOf("ns", "run-1"), got)
	}
}
