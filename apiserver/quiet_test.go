package apiserver

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

//security:attack tenant | a token or a secret is sent in the query of a request, and the log of requests is read | the library's log has the path alone
func TestTheQueryOfARequestIsNotLogged(t *testing.T) {
	var uri, query string
	quiet(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { uri, query = r.RequestURI, r.URL.RawQuery })).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/apis/a%20b?spec=secret&token=other", nil))
	if uri != "/apis/a%20b" || query != "spec=secret&token=other" {
		t.Errorf("the log sees %q, handlers see %q", uri, query)
	}
}

//security:attack administrator | the verbosity is raised above the bound while the server runs, by /debug/flags/v | the path is not served
func TestTheVerbosityCannotBeRaisedWhileTheServerRuns(t *testing.T) {
	answer := httptest.NewRecorder()
	quiet(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the library's handler was reached") })).
		ServeHTTP(answer, httptest.NewRequest(http.MethodPut, "/debug/flags/v", nil))
	if answer.Code != http.StatusNotFound {
		t.Errorf("status %d", answer.Code)
	}
}
