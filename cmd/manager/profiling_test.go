package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// fakeReviews answers TokenReviews and SubjectAccessReviews: a token is the name of its user, and the user "profiler" may get
// the paths below /debug/pprof.
func fakeReviews(t *testing.T) *rest.Config {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any
		switch r.URL.Path {
		case "/apis/authentication.k8s.io/v1/tokenreviews":
			review := &authenticationv1.TokenReview{}
			if err := json.NewDecoder(r.Body).Decode(review); err != nil {
				t.Error(err)
			}
			review.Status.Authenticated = review.Spec.Token != "unknown"
			review.Status.User.Username = review.Spec.Token
			answer = review
		case "/apis/authorization.k8s.io/v1/subjectaccessreviews":
			review := &authorizationv1.SubjectAccessReview{}
			if err := json.NewDecoder(r.Body).Decode(review); err != nil {
				t.Error(err)
			}
			attributes := review.Spec.NonResourceAttributes
			review.Status.Allowed = review.Spec.User == "profiler" && attributes != nil && attributes.Verb == "get" && attributes.Path != "/metrics"
			answer = review
		default:
			t.Errorf("unexpected request for %s", r.URL.Path)
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
}

// startMetrics starts the manager's server of metrics and returns its address.
func startMetrics(t *testing.T, f flags) string {
	t.Helper()
	f.metricsAddress = "127.0.0.1:0"
	config := fakeReviews(t)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	server, err := metricsserver.NewServer(metricsOptions(f), config, client)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	bound, ok := server.(interface{ GetBindAddr() string })
	if !ok {
		t.Fatal("the server of metrics does not tell its address")
	}
	for deadline := time.After(time.Minute); bound.GetBindAddr() == ""; {
		select {
		case <-deadline:
			t.Fatal("the server of metrics does not start")
		case <-time.After(time.Millisecond):
		}
	}
	return "https://" + bound.GetBindAddr()
}

//security:attack anonymous | a profile of the manager is read without credentials, and with those of an account that may not get the path | 401 and 403
func TestProfilesAreServedToThoseWhoMayGetThem(t *testing.T) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	tests := map[string]struct {
		profiling           bool
		method, path, token string
		want                int
	}{
		"anonymous":                                     {profiling: true, path: "/debug/pprof/heap", want: http.StatusUnauthorized},
		"anonymous, the index":                          {profiling: true, path: "/debug/pprof/", want: http.StatusUnauthorized},
		"anonymous, a CPU profile":                      {profiling: true, path: "/debug/pprof/profile?seconds=1", want: http.StatusUnauthorized},
		"anonymous, a trace":                            {profiling: true, path: "/debug/pprof/trace?seconds=1", want: http.StatusUnauthorized},
		"anonymous, symbols":                            {profiling: true, path: "/debug/pprof/symbol", want: http.StatusUnauthorized},
		"an account without the right":                  {profiling: true, path: "/debug/pprof/heap", token: "tenant", want: http.StatusForbidden},
		"an account without the right, a CPU profile":   {profiling: true, path: "/debug/pprof/profile?seconds=1", token: "tenant", want: http.StatusForbidden},
		"an account with the right":                     {profiling: true, path: "/debug/pprof/heap", token: "profiler", want: http.StatusOK},
		"an account with the right, a CPU profile":      {profiling: true, path: "/debug/pprof/profile?seconds=1", token: "profiler", want: http.StatusOK},
		"an account with the right, goroutines":         {profiling: true, path: "/debug/pprof/goroutine", token: "profiler", want: http.StatusOK},
		"an account with the right, with another verb":  {profiling: true, method: http.MethodPost, path: "/debug/pprof/symbol", token: "profiler", want: http.StatusForbidden},
		"an account with the right, an unknown profile": {profiling: true, path: "/debug/pprof/unknown", token: "profiler", want: http.StatusNotFound},
		"the right to profiles is no right to metrics":  {profiling: true, path: "/metrics", token: "profiler", want: http.StatusForbidden},
		"without --profiling":                           {path: "/debug/pprof/heap", token: "profiler", want: http.StatusNotFound},
	}
	with, without := startMetrics(t, flags{profiling: true}), startMetrics(t, flags{})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			address := without
			if tc.profiling {
				address = with
			}
			method := http.MethodGet
			if tc.method != "" {
				method = tc.method
			}
			request, err := http.NewRequestWithContext(t.Context(), method, address+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tc.token != "" {
				request.Header.Set("Authorization", "Bearer "+tc.token)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != tc.want {
				t.Fatalf("%s: got %d, want %d: %s", tc.path, response.StatusCode, tc.want, body)
			}
			// A profile is a compressed protocol buffer.
			if tc.want == http.StatusOK && (len(body) < 2 || body[0] != 0x1f || body[1] != 0x8b) {
				t.Errorf("%s is no profile: %d bytes", tc.path, len(body))
			}
		})
	}
}
