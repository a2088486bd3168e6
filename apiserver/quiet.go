package apiserver

import (
	"net/http"
	"strings"
)

// quiet removes the query from the URI that the library logs, at a high verbosity and whenever a handler panics: it may contain names,
// fields of a run or a token. Handlers read the query from the URL. It also blocks the profiling path that sets the log verbosity at runtime,
// because it has no upper bound.
func quiet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/debug/flags") {
			http.NotFound(w, r)
			return
		}
		if strings.Contains(r.RequestURI, "?") {
			bare := *r
			bare.RequestURI = r.URL.EscapedPath()
			r = &bare
		}
		next.ServeHTTP(w, r)
	})
}
