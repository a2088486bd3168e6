package apiserver

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/metrics/testutil"
)

func TestOnlyFrontendPathsBypassTheGenericChain(t *testing.T) {
	config := NewGenericConfig()
	exchange := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	documented := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusLoopDetected) })
	// Other paths end at authentication, which this configuration does not have.
	config.Authentication.Authenticator = denyAll{}
	config.RequestInfoResolver = genericapiserver.NewRequestInfoResolver(config)
	handler := withFrontends(exchange, documented)(http.NotFoundHandler(), config)
	for path, want := range map[string]int{
		"/work/v1/namespaces/a/runs/b/exchange":  http.StatusTeapot,
		"/work/v1/":                              http.StatusTeapot,
		"/work/v2/":                              http.StatusUnauthorized,
		"/work":                                  http.StatusUnauthorized,
		"/apis/work/v1/":                         http.StatusUnauthorized,
		"//work/v1/":                             http.StatusUnauthorized,
		"/":                                      http.StatusUnauthorized,
		"/api":                                   http.StatusLoopDetected,
		"/api/":                                  http.StatusLoopDetected,
		"/api/v1/functions":                      http.StatusLoopDetected,
		"/api/v2/functions":                      http.StatusLoopDetected,
		"/apis":                                  http.StatusUnauthorized,
		"/apis/rest.sharedcloud.io/v1/functions": http.StatusUnauthorized,
		"//api/v1/functions":                     http.StatusUnauthorized,
	} {
		t.Run(path, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.URL.Path = path
			handler.ServeHTTP(recorder, r)
			if recorder.Code != want {
				t.Errorf("status %d, want %d", recorder.Code, want)
			}
		})
	}
}

func TestStreamsAreLongRunning(t *testing.T) {
	for name, tc := range map[string]struct {
		info *apirequest.RequestInfo
		want bool
	}{
		"results":                       {&apirequest.RequestInfo{IsResourceRequest: true, APIGroup: "subresources.sharedcloud.io", Resource: "functionruns", Subresource: "results"}, true},
		"the run itself":                {&apirequest.RequestInfo{IsResourceRequest: true, APIGroup: "subresources.sharedcloud.io", Resource: "functionruns"}, false},
		"results of another group":      {&apirequest.RequestInfo{IsResourceRequest: true, APIGroup: "other", Subresource: "results"}, false},
		"a path":                        {&apirequest.RequestInfo{Path: "/results"}, false},
		"a request without RequestInfo": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := longRunning(nil, tc.info); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

func TestCallsAreCounted(t *testing.T) {
	handler := instrument(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) }))
	before, err := testutil.GetCounterMetricValue(exchangeCalls.WithLabelValues("409"))
	if err != nil {
		t.Fatal(err)
	}
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
	after, err := testutil.GetCounterMetricValue(exchangeCalls.WithLabelValues("409"))
	if err != nil || after != before+1 {
		t.Errorf("%v calls counted, %v", after-before, err)
	}
	if open, err := testutil.GetGaugeMetricValue(exchangeOpen); err != nil || open != 0 {
		t.Errorf("%v calls in flight, %v", open, err)
	}
}

// denyAll authenticates no worker.
type denyAll struct{}

func (denyAll) AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error) {
	return nil, false, nil
}
