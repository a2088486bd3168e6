package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	clientrest "k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/parameters"
)

// storedAnswers is a fake Kubernetes API that answers every request with the same object.
type storedAnswers struct{ object map[string]json.RawMessage }

// RoundTrip implements http.RoundTripper.
func (s *storedAnswers) RoundTrip(request *http.Request) (*http.Response, error) {
	version, kind := "v1", "ConfigMap"
	if strings.HasPrefix(request.URL.Path, "/apis/") {
		version, kind = v1alpha1.GroupVersion.String(), "FunctionRun"
	}
	text, err := json.Marshal(with(s.object, "apiVersion", version, "kind", kind))
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: request,
		Body: io.NopCloser(bytes.NewReader(text)), ContentLength: int64(len(text))}, nil
}

// with returns a copy of an object with other string members.
func with(object map[string]json.RawMessage, members ...string) map[string]json.RawMessage {
	changed := maps.Clone(object)
	for i := 0; i < len(members); i += 2 {
		changed[members[i]] = json.RawMessage(strconv.Quote(members[i+1]))
	}
	return changed
}

// noOutcomes is a store without runs.
type noOutcomes struct{}

func (noOutcomes) Executes(context.Context, types.UID) (bool, error) { return false, nil }

func (noOutcomes) Workers(context.Context, types.UID) (outcomes.RunState, error) {
	return outcomes.RunState{}, nil
}

func (noOutcomes) Before(context.Context, types.UID, int, int) (outcomes.RunState, error) {
	return outcomes.RunState{}, nil
}

func (noOutcomes) At(context.Context, types.UID, int) (outcomes.RunState, error) {
	return outcomes.RunState{}, nil
}

// oneUpload is a store with one upload of three inputs.
type oneUpload struct{}

var errNoUpload = errors.New("there is no such upload")

// Inputs implements core.Uploads.
func (oneUpload) Inputs(_ context.Context, _, digest string) (int, error) {
	if digest == "gone" {
		return 0, errNoUpload
	}
	return 3, nil
}

// Slice implements core.Uploads.
func (oneUpload) Slice(_ context.Context, _, _ string, first, last int) ([]parameters.Input, error) {
	return []parameters.Input{{JSON: []byte(`[1]`)}, {JSON: []byte(`["\ud800"]`)}, {JSON: []byte(`[]`)}}[first : last+1], nil
}

// Gone implements core.Uploads.
func (oneUpload) Gone(err error) bool { return errors.Is(err, errNoUpload) }

type oneNamespace struct{}

func (oneNamespace) Exists(string) bool       { return true }
func (oneNamespace) OfTenant(string) []string { return []string{"ns"} }

// storedObjects is a cluster in which a Function, a FunctionImage and a FunctionRun named x are stored as the same JSON.
type storedObjects struct {
	api     *API
	answers *storedAnswers
}

func newStoredObjects(f *testing.F) *storedObjects {
	s := &storedObjects{answers: &storedAnswers{}}
	cluster, err := core.NewCluster(&clientrest.Config{Host: "http://cluster.invalid", Transport: s.answers, QPS: -1}, oneUpload{}, 1, "nvidia.com/gpu",
		v1alpha1.DefaultGPUProductLabel, clock.RealClock{})
	if err != nil {
		f.Fatal(err)
	}
	yes := authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
		return authorizer.DecisionAllow, "", nil
	})
	s.api = New(Config{
		Cluster: cluster, Catalogue: core.NewCatalogue(cluster.Images, "catalogue"), Outcomes: noOutcomes{},
		Reachability: core.NewReachability(cluster.Client, clock.RealClock{}), Tenancy: identity.NewTenancy(oneNamespace{}, "ns"),
		Rules: identity.NewRules(yes, clock.RealClock{}), ReadsPerSecond: 1e9, WritesPerSecond: 1e9,
		Synced: func() bool { return true }, Clock: clock.RealClock{},
	})
	return s
}

// store replaces the object. It returns the paths that show it; false if it is not an object.
func (s *storedObjects) store(data []byte) (paths []string, stored bool) {
	object, metadata := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if json.Unmarshal(data, &object) != nil || object == nil || object["metadata"] != nil && json.Unmarshal(object["metadata"], &metadata) != nil || metadata == nil {
		return nil, false // the Kubernetes API never serves it
	}
	named, err := json.Marshal(with(metadata, "namespace", "ns", "name", "x"))
	if err != nil {
		return nil, false
	}
	object["metadata"] = named
	if data, err = json.Marshal(object); err != nil {
		return nil, false
	}
	function, image, run := &v1alpha1.Function{}, &v1alpha1.FunctionImage{}, &v1alpha1.FunctionRun{}
	for _, into := range []client.Object{function, image, run} {
		if json.Unmarshal(data, into) != nil {
			return nil, false
		}
	}
	kept, err := parameters.DropInputs(run) // like the caches
	if err != nil {
		return nil, false
	}
	run, stored = kept.(*v1alpha1.FunctionRun)
	s.answers.object = object
	cluster := *s.api.Cluster
	cluster.Functions = core.NewCache[*v1alpha1.Function](clock.RealClock{}, nil)
	cluster.Images = core.NewCache[*v1alpha1.FunctionImage](clock.RealClock{}, nil)
	cluster.FunctionRuns = core.NewCache[*v1alpha1.FunctionRun](clock.RealClock{}, nil).ClaimedBy(v1alpha1.JobUUIDPrefix)
	cluster.Functions.AddWritten(function)
	cluster.Images.AddWritten(image)
	cluster.FunctionRuns.AddWritten(run)
	s.api.Cluster = &cluster
	s.api.Catalogue = core.NewCatalogue(cluster.Images, "catalogue")
	s.api.Inputs = core.NewInputs(cluster.Client, oneUpload{}, 1) // with the limits of a server
	s.api.Code = core.NewCode(cluster.Client)
	return []string{
		"/functions", "/functions/" + cluster.Functions.UUID(function), "/images", "/images/" + s.api.Catalogue.UUID("ns", image),
		"/runs", "/runs/" + cluster.FunctionRuns.UUID(run), "/jobs", "/jobs?status=1&limit=1",
	}, stored
}

// get requests a path. A panic fails the test.
func (s *storedObjects) get(t *testing.T, path string) *clocked {
	w := &clocked{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(Prefix+path, "?")
	s.api.serve(w, r, Prefix, func(*http.Request) (user.Info, error) { return &user.DefaultInfo{Name: "alice"}, nil })
	return w
}

// FuzzStoredObjects requests arbitrary stored JSON through the REST API, in lists and alone. A panic, a hang, a 5xx, a response that is not
// JSON, or memory beyond a multiple of the object is a failure.
//
//security:attack tenant | stores arbitrary objects without validation | REST lists and shows them: valid JSON in bounded time and memory, never a 5xx
func FuzzStoredObjects(f *testing.F) {
	for _, text := range []string{
		`{"metadata":{"uid":"3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3","labels":{"sharedcloud.io/uuid":"3F6C1A52-7D0B-4E8E-9A57-B1C20D94E6F3"},"annotations":{"sharedcloud.io/created":"9007199254740991","sharedcloud.io/bid-price":"1e308","sharedcloud.io/base-gpu":"\u0000"}},"spec":{"functionRef":{"name":"x"},"runtime":"python311","image":"x","code":"\ud800\u2028","registryPath":"\u0007","name":"a\"b","parameters":[["\udfff\u0000",1e300,[[{}]]],[]]}}`,
		`{"metadata":{"uid":"3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3","creationTimestamp":"9999-12-31T23:59:59Z"},"spec":{"functionRef":{"name":"x"},"parametersLiteral":"((1,), (u'\\u2028', 2.5j))","codeFrom":{"configMapKeyRef":{"name":"c","key":"k"}},"runtime":"node20"},"status":{"revision":{"name":"r","gpus":-1,"functionUID":"\u0001"}},"data":{"handler.js":"\u2028"}}`,
		`{"metadata":{"uid":"3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3"},"spec":{"parametersFrom":{"upload":{"digest":"d","inputs":2147483647}}}}`,
		`{"metadata":{"uid":"3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3"},"spec":{"parametersFrom":{"upload":{"digest":"gone","inputs":-1}}}}`,
		`{"metadata":{"uid":"3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3","ownerReferences":[{"apiVersion":"sharedcloud.io/v1alpha1","kind":"FunctionRun","name":"x","uid":"3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3","controller":true}]},"spec":{"parametersFrom":{"configMapKeyRef":{"name":"c","key":"k"}}},"status":{"revision":{"name":"r","inputs":"i","inputsDigest":"other"}},"data":{"parameters":"[[1]]","format":"json"}}`,
		`{"metadata":{"uid":"3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3"},"spec":{"parametersLiteral":"((1,),"}}`,
		`{"metadata":{"uid":"3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3"},"spec":{"runtime":"node20","parametersFrom":{"configMapKeyRef":{"name":"c","key":"k"}}},"status":{"revision":{"name":"a/b","inputs":".."}}}`,
		`{"metadata":{"uid":"3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3"},"spec":"x"}`, `{"spec":{},"status":{"conditions":5}}`, `{"metadata":5}`, `{}`,
	} {
		f.Add([]byte(text))
	}
	s := newStoredObjects(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		paths, stored := s.store(data)
		if !stored {
			return
		}
		for _, path := range paths {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			w := s.get(t, path)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			body := w.Body.Bytes()
			if w.Code >= http.StatusInternalServerError {
				t.Errorf("%s: %d %.300s", path, w.Code, body)
			}
			if !json.Valid(body) || !utf8.Valid(body) {
				t.Errorf("%s: not JSON: %.300q", path, body)
			}
			if took > 10*time.Second {
				t.Errorf("%s: %d bytes took %s", path, len(data), took)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4<<20+200*uint64(len(data)) {
				t.Errorf("%s: %d bytes took %d bytes of memory", path, len(data), allocated)
			}
		}
	})
}
