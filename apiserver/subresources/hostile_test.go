package subresources

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/uploads"
)

// bodiesOf says how the body of each subresource with POST is read. A new subresource needs a row.
var bodiesOf = map[string]string{
	"functions/run":       "read as inputs: see the test below",
	"functionruns/rerun":  "not read: the server limits and discards it",
	"functionruns/cancel": "not read: the server limits and discards it",
}

func TestEveryPOSTSubresourceHasARow(t *testing.T) {
	group := Group(Storages{Results: &Results{}, Log: &Log{}, Rerun: &Rerun{}, Cancel: &Cancel{}, Run: &Run{}})
	for name, storage := range group.VersionedResourcesStorageMap[GroupVersion.Version] {
		connecter, ok := storage.(rest.Connecter)
		if !ok || !slices.ContainsFunc(connecter.ConnectMethods(), func(method string) bool { return method != http.MethodGet && method != http.MethodHead }) {
			continue
		}
		if bodiesOf[name] == "" {
			t.Errorf("%s accepts a body and has no row in this test", name)
		}
	}
}

// sink drops all inputs.
type sink struct{ PartUploader }

func (sink) Write(_ context.Context, _ string, inputs uploads.Inputs) (uploads.Upload, error) {
	for count := 0; ; count++ {
		if _, err := inputs.Next(); errors.Is(err, io.EOF) {
			return uploads.Upload{Digest: "sha256:x", Inputs: count}, nil
		} else if err != nil {
			return uploads.Upload{}, err
		}
	}
}

// sampled is a body that measures the heap while it is read.
type sampled struct {
	io.Reader
	reads int
	most  uint64
}

func (s *sampled) Read(p []byte) (int, error) {
	if s.reads++; s.reads%16 == 0 {
		runtime.GC()
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		s.most = max(s.most, now.HeapAlloc)
	}
	return s.Reader.Read(p)
}

//security:attack tenant | An upload of megabytes of commas, brackets, tiny inputs or one line, in each format. | Memory stays within a small multiple of the largest input.
func TestUploadsUseLittleMemoryInEveryFormat(t *testing.T) {
	const size = 4 << 20
	for format, parts := range map[string][3]string{
		"json/small inputs": {"[", "[1],", "[1]]"}, "json/one input": {"[[", "1,", "1]]"}, "json/brackets": {"", "[", ""}, "json/a text": {`["`, "x", `"]`},
		"ndjson/small inputs": {"", "[1]\n", ""}, "ndjson/one line": {"[", "{},", "{}]"}, "ndjson/names": {"[{", `"a":1,`, `"b":1}]`},
		"csv/commas": {"", ",", "\n"}, "csv/rows": {"", "a,b\n", ""}, "csv/quotes": {`"`, `""`, `"`},
		"python/small inputs": {"(", "(),", ")"}, "python/one input": {"((", "1,", "),)"}, "python/brackets": {"", "(", ""},
	} {
		t.Run(format, func(t *testing.T) {
			name, _, _ := strings.Cut(format, "/")
			body := &sampled{Reader: io.MultiReader(strings.NewReader(parts[0]), strings.NewReader(strings.Repeat(parts[1], size/len(parts[1]))), strings.NewReader(parts[2]))}
			runtime.GC()
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			post(t, NewRun(sink{}, &starter{}, 1<<30, clock.RealClock{}), "hello", "format="+name, "", body)
			// An input of 4 MiB is in memory as received, in a growing buffer, and as stored; for a Python literal also as
			// the list of its elements.
			if grown := int64(body.most) - int64(before.HeapAlloc); grown > 5*size {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
		})
	}
}

func FuzzRunQuery(f *testing.F) {
	for _, seed := range []string{"name=x&spec=%7B%22workers%22%3A4%7D", "spec={}{}", "upload=0b9f1c5e-7d0a-4a43-9d06&offset=1&more=true", "format=csv&header=1&cells=json", "name=%zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://x/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = query
		values, err := queryOf(r)
		if err != nil {
			return
		}
		if runRequest, err := parseRunRequest(values, http.Header{}); err == nil && (runRequest.run == nil || runRequest.offset < 0 || runRequest.run.Spec.Parameters != nil) {
			t.Errorf("%+v", runRequest)
		}
		if q, err := parseQuery(values, nil); err == nil && (q.from < 0 || q.limit < 0) {
			t.Errorf("%+v", q)
		}
		if q, err := parseLogQuery(values); err == nil && q.index < -1 {
			t.Errorf("%+v", q)
		}
	})
}
