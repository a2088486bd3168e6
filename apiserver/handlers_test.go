package apiserver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/metrics/testutil"
)

func TestOnlyTheOwnFacesPathsLeaveTheLibrarysChain(t *testing.T) {
	config := NewGenericConfig()
	exchange := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	documented := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusLoopDetected) })
	// What is not the exchange's ends at authentication, of which there is none here.
	config.Authentication.Authenticator = nobody{}
	config.RequestInfoResolver = genericapiserver.NewRequestInfoResolver(config)
	handler := withOwnFaces(exchange, documented)(http.NotFoundHandler(), config)
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

func TestStreamsBoundTheirOwnTime(t *testing.T) {
	for name, tc := range map[string]struct {
		info *apirequest.RequestInfo
		want bool
	}{
		"results":                   {&apirequest.RequestInfo{IsResourceRequest: true, APIGroup: "subresources.sharedcloud.io", Resource: "functionruns", Subresource: "results"}, true},
		"the run itself":            {&apirequest.RequestInfo{IsResourceRequest: true, APIGroup: "subresources.sharedcloud.io", Resource: "functionruns"}, false},
		"results of somebody else":  {&apirequest.RequestInfo{IsResourceRequest: true, APIGroup: "other", Subresource: "results"}, false},
		"a path":                    {&apirequest.RequestInfo{Path: "/results"}, false},
		"what nobody has looked at": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := longRunning(nil, tc.info); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

func TestBodiesThatFindNoRoomComeAgain(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	handler := limitBodies(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inside <- struct{}{}
		<-leave
	}), 3*leastBody)
	post := func(size int) int {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", size))))
		if recorder.Code == http.StatusTooManyRequests && (recorder.Header().Get("Retry-After") == "" || !strings.Contains(recorder.Body.String(), `"error"`)) {
			t.Errorf("a refusal that does not say when to come again: %v %s", recorder.Header(), recorder.Body)
		}
		return recorder.Code
	}
	done := make(chan int)
	go func() { done <- post(2 * leastBody) }()
	<-inside
	if got := post(2 * leastBody); got != http.StatusTooManyRequests {
		t.Errorf("where no room is left: %d", got)
	}
	go func() { done <- post(1) }()
	<-inside
	if got := post(1); got != http.StatusTooManyRequests {
		t.Errorf("a small one where no room is left: %d", got)
	}
	close(leave)
	for range 2 {
		if got := <-done; got != http.StatusOK {
			t.Errorf("where there was room: %d", got)
		}
	}
	go func() { done <- post(3 * leastBody) }()
	<-inside
	if got := <-done; got != http.StatusOK {
		t.Errorf("when all have left: %d", got)
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
		t.Errorf("%v calls are open, %v", open, err)
	}
}

// nobody authenticates nobody.
type nobody struct{}

func (nobody) AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error) {
	return nil, false, nil
}
