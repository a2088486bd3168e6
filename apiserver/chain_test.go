package apiserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/rest"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/apiserver/subresources"
)

// tokens authenticates "Bearer NAME" as NAME, and no other credentials.
type tokens struct{}

func (tokens) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if name == "" {
		name = user.Anonymous
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, true, nil
}

// newTestChain returns the chain in front of frontends that respond "reached". slow blocks requests for /apis/slow.
func newTestChain(t *testing.T, conns *connections.Listener, slow chan struct{}) http.Handler {
	t.Helper()
	c := &chain{
		conns: conns, probes: shares.NewLimiter("health requests", probeLimits), requests: rest.NewRequestLimiter(),
		reads: shares.NewRates("reads", 1000), writes: shares.NewRates("writes", 5),
		reasons:      map[string]func(*http.Request) error{"outcome-store": func(*http.Request) error { return errors.New("the disk is full") }},
		recheck:      func(next http.Handler) http.Handler { return next },
		unusedBodies: unusedBodies{bodies.Limits{Bytes: maxUnusedBody, Timeout: 200 * time.Millisecond}, clock.RealClock{}},
	}
	config := NewGenericConfig()
	config.Authentication.Authenticator = identity.RefuseAnonymous(tokens{}, probePaths...)
	config.Authorization.Authorizer = authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		if strings.HasPrefix(a.GetPath(), "/readyz/") && a.GetUser().GetName() != "operator" {
			return authorizer.DecisionDeny, "", nil
		}
		return authorizer.DecisionAllow, "", nil
	})
	config.RequestInfoResolver = genericapiserver.NewRequestInfoResolver(config)
	reached := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			http.Error(w, "[+]ping ok\n[-]outcome-store failed: reason withheld\nreadyz check failed", http.StatusInternalServerError)
			return
		}
		if r.URL.Path == "/apis/slow" && slow != nil {
			select {
			case <-slow:
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, "reached")
	}
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); name != "" && conns != nil {
			if err := conns.Authenticated(r.RemoteAddr, name, ""); err != nil {
				t.Error(err)
			}
		}
		reached(w, r)
	})
	return c.build(own, own)(http.HandlerFunc(reached), config)
}

func sendTo(t *testing.T, handler http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	return recorder
}

var everyFrontend = []string{
	"/work/v1/namespaces/a/runs/b/exchange", "/api/v1/functions", "/api", "/apis/rest.sharedcloud.io/v1/functions",
	"/apis/subresources.sharedcloud.io/v1alpha1/namespaces/a/functionruns/b/log", "/apis", "/metrics", "/readyz", "/livez", "/openapi/v3", "/nothing",
}

func TestRequestsThatNoFrontendAccepts(t *testing.T) {
	for name, tc := range map[string]struct {
		method  string
		headers []string
		status  int
		says    string
	}{
		//security:attack tenant | Upgrade: websocket on any route. | 400 with an error message, and the connection is closed.
		"a websocket": {http.MethodGet, []string{"Connection", "Upgrade", "Upgrade", "websocket"}, http.StatusBadRequest, "header Upgrade"},
		//security:attack tenant | Upgrade to SPDY or h2c on any route. | 400 with an error message, and the connection is closed.
		"SPDY": {http.MethodPost, []string{"Connection", "Upgrade", "Upgrade", "SPDY/3.1"}, http.StatusBadRequest, "header Upgrade"},
		//security:attack anonymous | CONNECT on any route. | 400 with an error message, and the connection is closed.
		"CONNECT": {http.MethodConnect, nil, http.StatusBadRequest, "supports only HTTP"},
		//security:attack tenant | Impersonate-User on any route. | 403 with an error message.
		"impersonating a user": {http.MethodGet, []string{"Impersonate-User", "admin"}, http.StatusForbidden, "kubectl --as"},
		//security:attack tenant | Impersonate-Group, -Uid or -Extra on any route. | 403 with an error message.
		"impersonating a group": {http.MethodDelete, []string{"impersonate-group", "system:masters"}, http.StatusForbidden, "Impersonate-*"},
		"impersonating extra":   {http.MethodPost, []string{"Impersonate-Extra-Scopes", "all"}, http.StatusForbidden, "Impersonate-*"},
		//security:attack anonymous | A header of more than 128 KiB. | 431, and the connection is closed.
		"a header that is too large": {http.MethodGet, []string{"X-Large", strings.Repeat("x", maxHeader)}, http.StatusRequestHeaderFieldsTooLarge, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			handler := newTestChain(t, nil, nil)
			for _, path := range everyFrontend {
				got := sendTo(t, handler, tc.method, path, append(tc.headers, "Authorization", "Bearer operator")...)
				if got.Code != tc.status || !strings.Contains(got.Body.String(), tc.says) || got.Header().Get("Connection") != "close" {
					t.Errorf("%s: %d %v %s", path, got.Code, got.Header(), got.Body)
				}
				form := map[bool]string{true: `"detail":`, false: `"kind":"Status"`}[strings.HasPrefix(path, "/api/") || path == "/api" || strings.Contains(path, "rest.sharedcloud.io/v1/")]
				if strings.HasPrefix(path, "/work/") {
					form = `"error":`
				}
				if !strings.Contains(got.Body.String(), form) {
					t.Errorf("%s is refused with %s, want %s", path, got.Body, form)
				}
			}
		})
	}
}

//security:attack anonymous | Requests without a token to every path except health. | 401; health responds only ok or not ok, without names and reasons.
func TestAnonymousRequestsReadOnlyHealth(t *testing.T) {
	handler := newTestChain(t, nil, nil)
	for path, want := range map[string]int{
		"/livez": http.StatusOK, "/healthz": http.StatusOK, "/readyz": http.StatusInternalServerError, "/readyz?verbose": http.StatusInternalServerError,
		"/readyz/outcome-store": http.StatusUnauthorized, "/livez/ping": http.StatusUnauthorized, "/livezz": http.StatusUnauthorized,
		"/metrics": http.StatusUnauthorized, "/metrics/slis": http.StatusUnauthorized, "/debug/pprof/": http.StatusUnauthorized, "/debug/flags/v": http.StatusNotFound,
		"/openapi/v2": http.StatusUnauthorized, "/openapi/v3": http.StatusUnauthorized, "/version": http.StatusUnauthorized,
		"/": http.StatusUnauthorized, "/apis": http.StatusUnauthorized, "/apis/rest.sharedcloud.io/v1/functions": http.StatusUnauthorized,
	} {
		got := sendTo(t, handler, http.MethodGet, path)
		if got.Code != want {
			t.Errorf("%s: %d, want %d", path, got.Code, want)
		}
		if body := got.Body.String(); (strings.HasPrefix(path, "/readyz") || want == http.StatusOK) && want != http.StatusUnauthorized && body != "ok" && body != "not ok" {
			t.Errorf("%s responds %q", path, body)
		}
	}
}

func TestAuthorizedCallersReadTheReasonsOfReadiness(t *testing.T) {
	handler := newTestChain(t, nil, nil)
	got := sendTo(t, handler, http.MethodGet, "/readyz", "Authorization", "Bearer operator")
	if want := "[-]outcome-store failed: the disk is full\n"; got.Code != http.StatusInternalServerError || !strings.Contains(got.Body.String(), want) {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if got := sendTo(t, handler, http.MethodGet, "/readyz", "Authorization", "Bearer tenant"); got.Body.String() != "not ok" {
		t.Errorf("without the right: %d %s", got.Code, got.Body)
	}
}

//security:attack tenant | More writes to the subresources than a caller may make in a second. | 429 with Retry-After that names the limit; requests of other tenants are served.
func TestTheAggregatedAPILimitsTheRateOfACaller(t *testing.T) {
	handler := newTestChain(t, nil, nil)
	const path = "/apis/subresources.sharedcloud.io/v1alpha1/namespaces/a/functionruns/b/cancel"
	var refused *httptest.ResponseRecorder
	for range 100 {
		if refused = sendTo(t, handler, http.MethodPost, path, "Authorization", "Bearer alice"); refused.Code != http.StatusOK {
			break
		}
	}
	if refused.Code != http.StatusTooManyRequests || refused.Header().Get("Retry-After") == "" || !strings.Contains(refused.Body.String(), "5 writes a second") ||
		!strings.Contains(refused.Body.String(), `"retryAfterSeconds":1`) {
		t.Errorf("%d %v %s", refused.Code, refused.Header(), refused.Body)
	}
	if got := sendTo(t, handler, http.MethodPost, path, "Authorization", "Bearer bob"); got.Code != http.StatusOK {
		t.Errorf("another tenant: %d %s", got.Code, got.Body)
	}
	if got := sendTo(t, handler, http.MethodGet, "/apis", "Authorization", "Bearer alice"); got.Code != http.StatusOK {
		t.Errorf("a read: %d %s", got.Code, got.Body)
	}
}

// served is a server on loopback, configured like the real one.
type served struct {
	address string
	conns   *connections.Listener
	slow    chan struct{}
}

func serveChain(t *testing.T, limits connections.Limits) *served {
	t.Helper()
	certificate, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.ParseIP("127.0.0.1")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := dynamiccertificates.NewStaticCertKeyContent("test", certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{address: listener.Addr().String(), slow: make(chan struct{})}
	s.conns = connections.Limit(listener, limits, nil)
	info := &genericapiserver.SecureServingInfo{Listener: s.conns, Cert: content}
	stop := make(chan struct{})
	stopped, _, err := info.Serve(newTestChain(t, s.conns, s.slow), time.Second, stop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(s.slow)
		close(stop)
		<-stopped
	})
	return s
}

func (s *served) dial(t *testing.T, protocol string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// slowestRequest returns the duration of the slowest of several requests with a token, each over a new connection.
func (s *served) slowestRequest(t *testing.T, requests int) time.Duration {
	t.Helper()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
	var took []time.Duration
	for range requests {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.address+"/apis", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer alice")
		began := time.Now()
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("status %d", response.StatusCode)
		}
		took = append(took, time.Since(began))
	}
	return slices.Max(took)
}

// awaitClosed waits until the server has closed a connection.
func awaitClosed(t *testing.T, conn net.Conn, timeout time.Duration) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.As(err, new(net.Error)) && strings.Contains(err.Error(), "timeout") {
		t.Fatal("the connection is still open")
	}
}

//security:attack anonymous | 1,000 connections from one address that send a header byte by byte, or nothing. | All are closed; requests of other clients take less than a second meanwhile.
func TestSlowHeadersDoNotDelayOtherClients(t *testing.T) {
	limits := connections.Defaults(16384)
	limits.Grace = 3 * time.Second
	s := serveChain(t, limits)
	var conns []net.Conn
	for i := range 1000 {
		if i%4 == 0 { // some send part of a header
			conn := s.dial(t, "http/1.1")
			_, _ = io.WriteString(conn, "GET /apis HTTP/1.1\r\nHost: x\r\nX-Slow: ")
			conns = append(conns, conn)
			continue
		}
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		conns = append(conns, conn)
	}
	if slowest := s.slowestRequest(t, 20); slowest > time.Second {
		t.Errorf("a request of another client takes %v", slowest)
	}
	if unknown := s.conns.Unknown(); unknown > limits.PerAddress {
		t.Errorf("%d connections are open without an authenticated request", unknown)
	}
	for _, conn := range conns {
		awaitClosed(t, conn, 30*time.Second)
	}
}

// frames is an HTTP/2 client that writes single frames.
type frames struct {
	*http2.Framer
	conn *tls.Conn
	// streams is the limit in the server's settings.
	streams uint32
	// closed is closed when the server has closed the connection.
	closed chan struct{}
}

func (s *served) frames(t *testing.T) *frames {
	t.Helper()
	conn := s.dial(t, "h2")
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := &frames{Framer: http2.NewFramer(conn, bufio.NewReader(conn)), conn: conn, closed: make(chan struct{})}
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	frame, err := f.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings, ok := frame.(*http2.SettingsFrame)
	if !ok {
		t.Fatalf("the first frame of the server is %v", frame)
	}
	f.streams, _ = settings.Value(http2.SettingMaxConcurrentStreams)
	go func() { // unread frames would block the server's writes
		defer close(f.closed)
		for {
			if _, err := f.ReadFrame(); err != nil {
				return
			}
		}
	}()
	return f
}

func ended(closed chan struct{}) bool {
	select {
	case <-closed:
		return true
	default:
		return false
	}
}

func header(path, token string) []byte {
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	for _, field := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: path}, {Name: "authorization", Value: token}} {
		_ = encoder.WriteField(field)
	}
	return []byte(block.String())
}

func TestHTTP2Attacks(t *testing.T) {
	for name, attack := range map[string]func(t *testing.T, f *frames, i int) error{
		//security:attack anonymous | HTTP/2 rapid reset: streams without a token that are reset at once. | The connection is closed, and other clients are served within 5 seconds.
		"rapid reset without a token": func(_ *testing.T, f *frames, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: header("/apis", ""), EndStream: true, EndHeaders: true}),
				f.WriteRSTStream(id, http2.ErrCodeCancel))
		},
		//security:attack tenant | HTTP/2 rapid reset: streams with a token to slow paths, reset at once. | The connection is closed, and other clients are served within 5 seconds.
		"rapid reset with a token": func(_ *testing.T, f *frames, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: header("/apis/slow", "Bearer mallory"), EndStream: true, EndHeaders: true}),
				f.WriteRSTStream(id, http2.ErrCodeCancel))
		},
		//security:attack anonymous | HTTP/2 CONTINUATION flood: a header that never ends. | The connection is closed before 16 MiB, and other clients are served within 5 seconds.
		"CONTINUATION flood": func(_ *testing.T, f *frames, i int) error {
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: header("/apis", ""), EndStream: true})
			}
			var block strings.Builder
			encoder := hpack.NewEncoder(&block)
			for n := range 8 {
				_ = encoder.WriteField(hpack.HeaderField{Name: fmt.Sprintf("x-%d-%d", i, n), Value: strings.Repeat("x", 1000), Sensitive: true})
			}
			return f.WriteContinuation(1, false, []byte(block.String()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveChain(t, connections.Defaults(16384))
			f := s.frames(t)
			if f.streams == 0 || f.streams > 250 {
				t.Errorf("the server allows %d streams on a connection", f.streams)
			}
			const maxRequests = 20000
			n := 0
			_ = f.conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
			for ; n < maxRequests; n++ {
				if err := attack(t, f, n); err != nil || ended(f.closed) {
					break
				}
			}
			select {
			case <-f.closed:
			case <-time.After(10 * time.Second):
				t.Errorf("the connection is still open after %d", n)
			}
			if slowest := s.slowestRequest(t, 3); slowest > 5*time.Second {
				t.Errorf("a request of another client takes %v", slowest)
			}
		})
	}
}

//security:attack anonymous | A header of 2 MiB over HTTP/1.1. | It is refused before it has arrived completely, and the connection is closed.
func TestAHugeHeaderIsNotRead(t *testing.T) {
	s := serveChain(t, connections.Defaults(16384))
	conn := s.dial(t, "http/1.1")
	go func() {
		_, _ = io.WriteString(conn, "GET /apis HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("x", 2<<20)+"\r\n\r\n")
	}()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return // closing without a response is acceptable
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge || !response.Close {
		t.Errorf("status %d, closed %v", response.StatusCode, response.Close)
	}
}

// unread returns a method and a path of each route that reads no body: the connect subresources from their table, and the routes of the
// library, the documented API and the chain itself.
func unread(t *testing.T) (routes [][2]string) {
	t.Helper()
	const group = "/apis/subresources.sharedcloud.io/v1alpha1"
	for name := range subresources.Rules {
		parent, subresource, _ := strings.Cut(name, "/")
		if name == "functions/run" {
			continue // it reads its body
		}
		method := http.MethodPost
		if subresource == "results" || subresource == "log" {
			method = http.MethodGet
		}
		routes = append(routes, [2]string{method, group + "/namespaces/a/" + parent + "/b/" + subresource})
	}
	for _, path := range []string{
		group, "/apis", "/apis/subresources.sharedcloud.io", "/apis/rest.sharedcloud.io/v1", "/version", "/openapi/v2", "/openapi/v3", "/metrics",
		"/healthz", "/livez", "/readyz", "/livez/ping", "/nothing", "/",
	} {
		routes = append(routes, [2]string{http.MethodGet, path}, [2]string{http.MethodPost, path})
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodOptions} {
		routes = append(routes, [2]string{method, "/apis/rest.sharedcloud.io/v1/functions"})
	}
	return routes
}

//security:attack tenant | A body that is announced or begins, and never arrives, on each route that reads none. | 408 with an error message within the body timeout, and never a connection that is closed without a response.
func TestUnusedBodiesTimeOutOnEveryRoute(t *testing.T) {
	s := serveChain(t, connections.Defaults(16384))
	for _, route := range unread(t) {
		for name, rest := range map[string]string{"announced": "Content-Length: 10\r\n\r\n1", "in chunks": "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"} {
			t.Run(strings.Join(route[:], " ")+" "+name, func(t *testing.T) {
				t.Parallel()
				conn := s.dial(t, "http/1.1")
				if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
					t.Fatal(err)
				}
				// One caller per route: writes are limited per caller.
				caller := strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())
				if _, err := io.WriteString(conn, route[0]+" "+route[1]+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+caller+"\r\n"+rest); err != nil {
					t.Fatal(err)
				}
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatalf("the connection is closed without a response: %v", err)
				}
				body, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || response.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(body), "did not arrive in time") {
					t.Errorf("%d %s %v", response.StatusCode, body, err)
				}
			})
		}
	}
}
