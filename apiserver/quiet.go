package apiserver

import (
	"net/http"
	"strings"
)

// quiet keeps what callers say out of the library's log. It logs a request by its RequestURI, at a high verbosity and whenever a
// handler panics; the query of that may hold names, fields of a run or a token. Handlers read the query from the URL. The path by which
// profiling lets a caller raise the verbosity while the server runs is not served: it knows no bound.
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
