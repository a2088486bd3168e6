package apiserver

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/clock"
)

// guarded is a server with the guard of the real one and handlers that read nothing.
func guarded(t *testing.T) *httptest.Server {
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	inner, bare := bounded(answer), newUnusedBodies(clock.RealClock{})
	server := httptest.NewTLSServer(guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := &apirequest.RequestInfo{Path: r.URL.Path}
		if strings.HasSuffix(r.URL.Path, "/run") {
			info = &apirequest.RequestInfo{IsResourceRequest: true, APIGroup: "subresources.sharedcloud.io", Resource: "functions", Subresource: "run"}
		}
		if r = bare.discard(w, r, info); r != nil {
			inner.ServeHTTP(w, r)
		}
	})))
	t.Cleanup(server.Close)
	return server
}

//security:attack tenant | A body over the limit, a compressed one, an upgrade, a URL of 64 KB, or an ambiguous path, on each group of routes. | 413, 415, 400, 414 and 400, in the error format of the frontend; nothing is decompressed.
func TestRequestsThatEveryRouteRefuses(t *testing.T) {
	server := guarded(t)
	const library, group = "/apis/subresources.sharedcloud.io/v1alpha1/namespaces/a/functionruns/b/cancel", "/apis/rest.sharedcloud.io/v1"
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	none := func(*http.Request) {}
	for name, tc := range map[string]struct {
		path   string
		body   io.Reader
		change func(*http.Request)
		want   int
		words  string
	}{
		"an ordinary request":                {library, nil, none, 204, ""},
		"an unused body":                     {library, strings.NewReader(strings.Repeat("x", maxUnusedBody)), none, 204, ""},
		"one byte too many":                  {library, strings.NewReader(strings.Repeat("x", maxUnusedBody+1)), none, 413, `"message":"the body has more than 65536 bytes`},
		"one byte too many, in chunks":       {library, io.MultiReader(strings.NewReader(strings.Repeat("x", maxUnusedBody+1))), none, 413, `"code":413`},
		"a large body for discovery":         {group, strings.NewReader(strings.Repeat("x", maxUnusedBody+1)), none, 413, `"code":413`},
		"a large upload of inputs":           {strings.Replace(library, "cancel", "run", 1), strings.NewReader(strings.Repeat("x", maxUnusedBody+1)), none, 204, ""},
		"a compressed body":                  {library, strings.NewReader("x"), header("Content-Encoding", "gzip"), 415, `"reason":"UnsupportedMediaType"`},
		"an upgrade":                         {library, nil, header("Upgrade", "websocket"), 400, `"kind":"Status"`},
		"an upgrade of the exchange":         {"/work/v1/namespaces/a/runs/b/exchange", nil, header("Upgrade", "websocket"), 400, `{"error":"the server supports only HTTP`},
		"an upgrade of the documented API":   {"/api/v1/functions", nil, header("Upgrade", "websocket"), 400, `{"detail":"The server supports only HTTP`},
		"an upgrade of it through the group": {group + "/functions", nil, header("Upgrade", "h2c"), 400, `{"detail":"The server supports only HTTP`},
		"a long URL":                         {library + "?x=" + strings.Repeat("x", 64<<10), nil, none, 414, `"code":414`},
		"a long URL of the documented API":   {"/api/v1/" + strings.Repeat("x", 64<<10), nil, none, 414, `{"detail":"The URL has more`},
		"an escaped slash":                   {"/apis/subresources.sharedcloud.io/v1alpha1/namespaces/a%2f..%2fb/functionruns", nil, none, 400, `"code":400`},
		"an empty segment":                   {"/apis//subresources.sharedcloud.io", nil, none, 400, `"code":400`},
		"an unknown group":                   {"/apis/x", nil, header("Upgrade", "x"), 400, `"kind":"Status"`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+tc.path, tc.body)
			if err != nil {
				t.Fatal(err)
			}
			tc.change(r)
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != tc.want || !strings.Contains(string(body), tc.words) || len(body) > 0 && !json.Valid(body) {
				t.Errorf("%d %s %v; want %d with %s", response.StatusCode, body, err, tc.want, tc.words)
			}
		})
	}
}

//security:attack anonymous | A request with Content-Length and chunks, a folded header, two hosts, or two lengths. | 400, or only the chunks count: bytes that a length would hide are never read as another request.
func TestRequestSmuggling(t *testing.T) {
	server := guarded(t)
	send := func(text string) []int {
		conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}}).DialContext(t.Context(), "tcp", server.Listener.Addr().String()) //nolint:gosec // the test's own
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		var statuses []int
		reader := bufio.NewReader(conn)
		for {
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				return statuses
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			statuses = append(statuses, response.StatusCode)
		}
	}
	hidden := "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, tc := range map[string]struct {
		text string
		want string
	}{
		// With a length of 0 the chunk would be another request. RFC 9112, 6.3: the chunks count.
		"a length and chunks":        {"POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden), "[204]"},
		"two hosts":                  {"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n", "[400]"},
		"two lengths":                {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab", "[400]"},
		"a host in a folded line":    {"GET /a HTTP/1.1\r\nHost: x\r\nX: a\r\n Host: y\r\nConnection: close\r\n\r\n", "[204]"}, // RFC 9112, 5.2: the fold is a space
		"a fold in the first line":   {"GET /a HTTP/1.1\r\n Host: x\r\nConnection: close\r\n\r\n", "[400]"},
		"a space before a colon":     {"GET /a HTTP/1.1\r\nHost : x\r\nConnection: close\r\n\r\n", "[400]"},
		"chunked and another coding": {"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\nConnection: close\r\n\r\n0\r\n\r\n", "[501]"},
		"an unknown HTTP version":    {"GET /a HTTP/3.7\r\nHost: x\r\n\r\n", "[505]"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(send(tc.text)); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}
