package apiserver

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

//security:attack tenant | sends a token or a secret in the query of a request that is then readable in the request log | the library logs only the path
func TestTheQueryOfARequestIsNotLogged(t *testing.T) {
	var uri, query string
	quiet(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { uri, query = r.RequestURI, r.URL.RawQuery })).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/apis/a%20b?spec=secret&token=other", nil))
	if uri != "/apis/a%20b" || query != "spec=secret&token=other" {
		t.Errorf("the log has %q, handlers have %q", uri, query)
	}
}

//security:attack administrator | raises the log verbosity above the bound at runtime, with /debug/flags/v | the path is not served
func TestTheVerbosityCannotBeRaisedAtRuntime(t *testing.T) {
	answer := httptest.NewRecorder()
	quiet(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the library's handler was reached") })).
		ServeHTTP(answer, httptest.NewRequest(http.MethodPut, "/debug/flags/v", nil))
	if answer.Code != http.StatusNotFound {
		t.Errorf("status %d", answer.Code)
	}
}
