package apiserver

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	clientrest "k8s.io/client-go/rest"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/rest/contract"
	"sharedcloud.io/function-operator/exchange"
)

const (
	tenantName  = "system:serviceaccount:space:alice"
	functionUID = "0b9f1c5e-7d0a-4a43-9d06-1f0f0f0f0f01"
	imageUID    = "0b9f1c5e-7d0a-4a43-9d06-1f0f0f0f0f02"
	runUID      = "0b9f1c5e-7d0a-4a43-9d06-1f0f0f0f0f03"
)

// kubernetes is a fake Kubernetes API with a few objects. It refuses writes.
func kubernetes(t *testing.T) *httptest.Server {
	const group = `"apiVersion":"sharedcloud.io/v1alpha1"`
	meta := func(name, uid, more string) string {
		return fmt.Sprintf(`"metadata":{"name":%q,"namespace":"space","uid":%q,"resourceVersion":"1","creationTimestamp":"2020-01-01T00:00:00Z"%s}`, name, uid, more)
	}
	objects := map[string]string{
		"functions":      `{` + group + `,"kind":"Function",` + meta("f", functionUID, "") + `,"spec":{"runtime":"python311","image":"python","code":"def handler(event): pass"}}`,
		"functionimages": `{` + group + `,"kind":"FunctionImage",` + meta("python", imageUID, "") + `,"spec":{"runtime":"python311","registryPath":"python:3"}}`,
		"functionruns": `{` + group + `,"kind":"FunctionRun",` + meta("r", runUID, "") + `,"spec":{"functionRef":{"name":"f"},"parameters":[[1],[2]]},` +
			`"status":{"job":{"name":"r-1","number":1,"uid":"job"},"revision":{"name":"f-1","inputs":2}}}`,
		"pods": `{"apiVersion":"v1","kind":"Pod",` + meta("w", "w", `,"labels":{"sharedcloud.io/run":"r","sharedcloud.io/run-uid":"`+runUID+`","batch.kubernetes.io/job-completion-index":"0"},`+
			`"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":"r-1","uid":"job","controller":true}]`) + `,"spec":{"nodeName":"n"}}`,
		"namespaces": `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"space","uid":"space","resourceVersion":"1"}}`,
		"nodes":      "",
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		object, known := objects[resource]
		switch {
		case resource == "tokenreviews":
			review := map[string]any{}
			_ = json.NewDecoder(r.Body).Decode(&review)
			spec, _ := review["spec"].(map[string]any)
			reviewed := map[string]any{"username": tenantName}
			if spec["token"] == "worker" {
				reviewed = map[string]any{"username": "system:serviceaccount:space:default", "extra": map[string]any{
					"authentication.kubernetes.io/pod-name": []string{"w"}, "authentication.kubernetes.io/pod-uid": []string{"w"}}}
			}
			review["status"] = map[string]any{"authenticated": true, "user": reviewed, "audiences": spec["audiences"]}
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(review)
		case known && r.URL.Query().Get("sendInitialEvents") != "":
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
		case known && r.URL.Query().Get("watch") != "":
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-t.Context().Done():
			}
		case known && r.Method == http.MethodGet:
			version, kind := "sharedcloud.io/v1alpha1", "NodeList"
			if strings.HasPrefix(r.URL.Path, "/api/") {
				version = "v1"
			}
			if object != "" {
				var typed struct{ Kind string }
				_ = json.Unmarshal([]byte(object), &typed)
				kind = typed.Kind + "List"
			}
			fmt.Fprintf(w, `{"apiVersion":%q,"kind":%q,"metadata":{"resourceVersion":"1"},"items":[%s]}`, version, kind, object)
		default:
			if r.Method == http.MethodGet {
				for plural, object := range objects {
					if strings.Contains(r.URL.Path, "/"+plural+"/") && strings.Contains(r.URL.Path, "/namespaces/space/") && strings.Contains(object, `"metadata":{"name":"`+resource+`"`) {
						_, _ = io.WriteString(w, object)
						return
					}
				}
				w.WriteHeader(http.StatusNotFound)
				_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","message":"no","code":404}`)
				return
			}
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"no","code":403}`)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// asAlice authenticates every request to the aggregated API.
type asAlice struct{}

func (asAlice) AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error) {
	return &authenticator.Response{User: &user.DefaultInfo{Name: tenantName}}, true, nil
}

// whole is the complete server, with an open store and filled caches.
func whole(t *testing.T) *Server {
	t.Helper()
	generic := NewGenericConfig()
	generic.Authentication.Authenticator = asAlice{}
	generic.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
	generic.EnableProfiling = false
	generic.ExternalAddress = "127.0.0.1:443"
	generic.LoopbackClientConfig = &clientrest.Config{Host: "https://127.0.0.1:1"}
	config := Defaults()
	config.Generic, config.ClientConfig = generic, &clientrest.Config{Host: kubernetes(t).URL, QPS: -1}
	config.Store = outcomes.FixedURL("sqlite://" + filepath.Join(t.TempDir(), "outcomes.db"))
	config.WritesPerSecond = 1e6
	s, err := New(&config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.cluster.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
		_ = s.store.Close()
	})
	waiting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if !s.openStore(waiting) || !s.waitForCaches(waiting) {
		t.Fatal("the caches are not filled")
	}
	s.generic.PrepareRun()
	s.generic.RunPostStartHooks(ctx)
	return s
}

// registered returns the routes of the server: a method or "ANY", and the registered path.
func registered(t *testing.T, s *Server) map[string]bool {
	t.Helper()
	routes := map[string]bool{"ANY " + exchange.Path: true}
	for _, service := range s.generic.Handler.GoRestfulContainer.RegisteredWebServices() {
		for _, route := range service.Routes() {
			routes[route.Method+" "+strings.TrimSuffix(route.Path, "/")] = true
		}
	}
	for _, path := range s.generic.Handler.NonGoRestfulMux.ListedPaths() {
		routes["ANY "+path] = true
	}
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(contract.JSON(), &document); err != nil {
		t.Fatal(err)
	}
	for path, methods := range document.Paths {
		for method := range methods {
			switch method = strings.ToUpper(method); method {
			case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete: // other keys are not methods
				if path = strings.TrimSuffix(path, "/"); path != "" {
					routes["REST "+method+" "+path] = true
				}
			}
		}
	}
	return routes
}

// class is how a route treats a request.
type class int

const (
	// health responds ok or not ok to any request.
	health class = iota
	// library is served by the library. It reads no body, and no parameter of this API.
	library
	// connect is a subresource that reads no body.
	connect
	// upload is functions/run.
	upload
	// exchangeCall is a worker's call.
	exchangeCall
	// documented is REST; documentedBody are its routes that read a body.
	documented
	documentedBody
)

const subresourcesPrefix = "/apis/subresources.sharedcloud.io/v1alpha1/namespaces/{namespace}/"

// hostileRoutes has all routes of the server. Add a row for each new route.
var hostileRoutes = map[string]class{
	"GET /apis": library, "GET /apis/subresources.sharedcloud.io": library, "GET /apis/subresources.sharedcloud.io/v1alpha1": library, "GET /version": library,
	"ANY /apis/rest.sharedcloud.io": library, "ANY /apis/rest.sharedcloud.io/v1": library, "ANY /apis/rest.sharedcloud.io/v1/": documented,
	"GET " + subresourcesPrefix + "functionruns/{name}/log": connect, "GET " + subresourcesPrefix + "functionruns/{name}/results": connect,
	"POST " + subresourcesPrefix + "functionruns/{name}/cancel": connect, "POST " + subresourcesPrefix + "functionruns/{name}/rerun": connect,
	"POST " + subresourcesPrefix + "functions/{name}/run": upload,
	"ANY " + exchange.Path:                                exchangeCall,
	"REST GET /docs":                                      documented, "REST GET /openapi.json": documented, "REST POST /api-token-auth": documentedBody,
	"REST GET /functions": documented, "REST POST /functions": documentedBody, "REST GET /functions/{uuid}": documented,
	"REST PUT /functions/{uuid}": documentedBody, "REST PATCH /functions/{uuid}": documentedBody, "REST DELETE /functions/{uuid}": documented,
	"REST GET /runs": documented, "REST POST /runs": documentedBody, "REST GET /runs/{uuid}": documented, "REST DELETE /runs/{uuid}": documented,
	"REST GET /jobs": documented, "REST GET /jobs/{uuid}": documented, "REST GET /images": documented, "REST GET /images/{uuid}": documented,
	"REST GET /gpus": documented, "REST GET /gpus/{uuid}": documented,
}

// hostileTexts are values of parameters and parts of paths: SQL metacharacters, forged cursors, control characters, and invalid UTF-8.
var hostileTexts = []string{
	"' OR '1'='1", `"; DROP TABLE runs; --`, "$1) UNION SELECT 1 --", "%", "_", "\\", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0", "..", "-1", "1e9", "99999999999999999999",
	"0x10", "\x00", "\r\nX: y", "\xff\xfe", "\u202e", "e\u0301", "\ufeff", "\U0001f600", "{}{}", `{"a":1,"a":2}`, strings.Repeat("[", 100), strings.Repeat("9", 5000), "a: &a [x]\nb: *a",
}

// strictOn are the parameters for which a route must refuse each of these texts.
var strictOn = map[string][]string{
	"GET " + subresourcesPrefix + "functionruns/{name}/results": {"from", "limit", "indexes", "format", "output"},
	"POST " + subresourcesPrefix + "functions/{name}/run":       {"offset", "spec", "format", "upload"},
	"REST GET /functions": {"limit", "offset"}, "REST GET /runs": {"limit", "offset"}, "REST GET /jobs": {"limit", "offset"},
}

// parametersOf are all parameters that any route reads, and some of those of API servers.
var parametersOf = []string{"continue", "cursor", "limit", "offset", "from", "indexes", "index", "name", "spec", "upload", "format", "namespace", "run", "function", "status", "failed", "output", "tail",
	"fieldSelector", "labelSelector", "resourceVersion", "timeout", "dryRun", "pretty", "ordering"}

// hostileBodies are bodies of a few bytes up to hundreds of kilobytes.
func hostileBodies() map[string]string {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 8), c-1)
	}
	deep := func(open, closing string) string {
		return strings.Repeat(open, 50_000) + strings.Repeat(closing, 50_000)
	}
	return map[string]string{
		"a YAML bomb": bomb, "YAML": "name: x\nsequence: 1\n", "YAML with a type": "!!python/object/apply:os.system ['true']\n", "depth": deep("[", "]"), "depth of objects": deep(`{"a":`, "}"),
		"an unterminated string": `{"name":"` + strings.Repeat("x", 100_000), "numbers": `{"sequence":1e999,"protocol":99999999999999999999,"limit":-0.0}`, "a long number": `{"sequence":` + strings.Repeat("9", 100_000) + "}",
		"a duplicate key": `{"name":"a","name":"b","sequence":1,"sequence":2}`, "half a pair": `{"name":"\ud800","function":"\udfff"}`, "NULs": "\x00\x00\x00", "no UTF-8": "{\"name\":\"\xff\xfe\"}",
		"text direction": "{\"\u202e\":\"\u202e\"}", "SQL": `{"name":"'; DROP TABLE runs; --","function":"' OR 1=1 --","image":"' OR 1=1 --","sequence":"1) --"}`, "two values": "{}{}", "null": "null", "an array": "[null]",
		"XML": `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, "parts": "--X\r\n\r\n", "ampersands": strings.Repeat("&", 100_000), "escapes": "name=%zz&name=%00",
	}
}

var hostileTypes = []string{"", "application/json", "application/yaml", "text/yaml", "application/json; charset=utf-7", "application/vnd.kubernetes.protobuf", "application/x-www-form-urlencoded",
	"multipart/form-data; boundary=X", "multipart/form-data", "application/x-ndjson", "text/csv", "text/x-python", "application/strategic-merge-patch+json", "image/png", "///;;;"}

// restTypes are the types that REST reads. The bodies above have no field of a function, so PATCH changes nothing and answers 200.
var restTypes = []string{"", "application/json", "application/json; charset=utf-7", "application/x-www-form-urlencoded", "multipart/form-data; boundary=X"}

// attack is one request.
type attack struct {
	method, path, name string
	header             map[string]string
	body               string
	// refused requires 4xx. Otherwise only 5xx is a failure.
	refused bool
}

// tenPackedMegabytes is a small body that unpacks to a large one.
var tenPackedMegabytes = sync.OnceValue(func() string {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write(make([]byte, 10<<20))
	_ = writer.Close()
	return packed.String()
})

// attacksOn returns the requests for a route.
func attacksOn(route string, of class) (attacks []attack) {
	method, path, _ := strings.Cut(route, " ")
	rest := method == "REST"
	if rest {
		method, path, _ = strings.Cut(path, " ")
		path = "/api/v1" + path
	}
	if method == "ANY" {
		method = http.MethodGet
		if of == exchangeCall {
			method = http.MethodPost
		}
	}
	uid := map[bool]string{true: runUID, false: functionUID}[strings.Contains(path, "/runs/") || strings.Contains(path, "/jobs/")]
	if strings.Contains(path, "/images/") {
		uid = imageUID
	}
	object := "r"
	if strings.Contains(path, "/functions/") {
		object = "f"
	}
	fill := func(changed, text string) string {
		values := map[string]string{"{namespace}": "space", "{run}": "r", "{name}": object, "{uuid}": uid}
		if changed != "" {
			values[changed] = url.PathEscape(text)
		}
		filled := path
		for name, value := range values {
			filled = strings.ReplaceAll(filled, name, value)
		}
		return filled
	}
	for _, part := range []string{"{namespace}", "{run}", "{name}", "{uuid}"} {
		if !strings.Contains(path, part) {
			continue
		}
		for _, text := range hostileTexts {
			attacks = append(attacks, attack{method: method, path: fill(part, text), name: fmt.Sprintf("%s is %.20q", part, text), refused: true})
		}
	}
	for i, parameter := range parametersOf {
		if of == health || of == library {
			break // these routes read no parameters
		}
		strict := slices.Contains(strictOn[route], parameter)
		for j, text := range hostileTexts {
			if !strict && (i+j)%3 != 0 {
				continue // each text comes with a third of the parameters, and each parameter with a third of the texts
			}
			attacks = append(attacks, attack{method: method, path: fill("", "") + "?" + parameter + "=" + url.QueryEscape(text), name: fmt.Sprintf("%s is %.20q", parameter, text), refused: strict})
		}
	}
	for _, query := range []string{"limit=%zz", "limit=1&limit=2", strings.Repeat("&", 10_000), strings.Repeat("a=1&", 5000)} {
		attacks = append(attacks, attack{method: method, path: fill("", "") + "?" + query, name: fmt.Sprintf("the query %.20s", query)})
	}
	reads := of == upload || of == exchangeCall || of == documentedBody
	bodies := hostileBodies()
	for i, name := range slices.Sorted(maps.Keys(bodies)) {
		body := bodies[name]
		for j, media := range hostileTypes {
			if !reads && (i+j)%len(hostileTypes) != 0 {
				continue // where no body is read, its type matters little: each body comes once
			}
			attacks = append(attacks, attack{method: method, path: fill("", ""), name: name + " as " + media, header: map[string]string{"Content-Type": media}, body: body,
				refused: reads && (method != http.MethodPatch || !slices.Contains(restTypes, media))})
		}
	}
	for _, coding := range []string{"gzip", "br", "identity, zstd"} {
		attacks = append(attacks, attack{method: method, path: fill("", ""), name: "compressed with " + coding, body: tenPackedMegabytes(), refused: of != health && of != library,
			header: map[string]string{"Content-Type": "application/json", "Content-Encoding": coding}})
	}
	return attacks
}

//security:attack tenant | On every route: SQL metacharacters, forged cursors, control characters and unusual Unicode in each part of the path and each parameter; YAML, also as a bomb, XML, deep nesting, long numbers, duplicate keys, half surrogate pairs and compressed bodies under every content type. | Each is answered at once with 4xx and an error message or ignored, never with 5xx, and takes little memory.
func TestHostileRequestsOnEveryRoute(t *testing.T) {
	s := whole(t)
	routes := registered(t, s)
	for route := range routes {
		if _, path, _ := strings.Cut(route, " "); libraryOwn(path) {
			continue
		}
		if _, known := hostileRoutes[route]; !known {
			t.Errorf("%q has no row in this test", route)
		}
	}
	for route := range hostileRoutes {
		if !routes[route] {
			t.Errorf("%q is in this test, but not a route of the server", route)
		}
	}
	for route := range routes {
		of := hostileRoutes[route]
		if _, path, _ := strings.Cut(route, " "); of == health && path != "/readyz" && path != "/livez" && path != "/metrics" && path != "/openapi/v3" {
			continue // the library's other paths behave like these
		}
		t.Run(strings.NewReplacer("/", "_").Replace(route), func(t *testing.T) {
			for _, a := range attacksOn(route, of) {
				s.answers(t, a, of)
			}
		})
	}
}

// libraryOwn are paths of the library besides discovery: health, metrics and OpenAPI.
func libraryOwn(path string) bool {
	for _, prefix := range []string{"/healthz", "/livez", "/readyz", "/metrics", "/openapi", "/statusz", "/flagz", "/debug"} {
		if path == prefix || strings.HasPrefix(path, prefix+"/") {
			return true
		}
	}
	return false
}

// allocatedBytes is the total of all allocations so far. Unlike runtime.ReadMemStats it does not stop the process.
func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func (s *Server) answers(t *testing.T, a attack, of class) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, a.method, "/", strings.NewReader(a.body))
	path, query, _ := strings.Cut(a.path, "?")
	r.RequestURI, r.URL.RawQuery, r.URL.RawPath = a.path, query, path
	var err error
	if r.URL.Path, err = url.PathUnescape(path); err != nil {
		t.Fatal(err)
	}
	for name, value := range a.header {
		r.Header.Set(name, value)
	}
	r.Header.Set("Authorization", map[bool]string{true: "Bearer worker", false: "Token tenant"}[of == exchangeCall])
	recorder := httptest.NewRecorder()
	before := allocatedBytes()
	s.generic.Handler.ServeHTTP(recorder, r)
	used := allocatedBytes() - before
	answer := recorder.Body.String()
	switch {
	case ctx.Err() != nil:
		t.Errorf("%s: no response within 20 seconds", a.name)
	case recorder.Code >= 500, a.refused && (recorder.Code < 400 || recorder.Code >= 500):
		t.Errorf("%s: %d %.200s", a.name, recorder.Code, answer)
	case recorder.Code >= 400 && r.Method != http.MethodHead && strings.TrimSpace(answer) == "":
		t.Errorf("%s: %d without a message", a.name, recorder.Code)
	case recorder.Code >= 400 && (strings.Contains(answer, "goroutine ") || strings.Contains(strings.ToLower(answer), "sqlite") || strings.Contains(answer, "<html")):
		t.Errorf("%s: %d exposes internals: %.200s", a.name, recorder.Code, answer)
	}
	if used > 32<<20 {
		t.Errorf("%s: %d MiB were allocated", a.name, used>>20)
	}
}
