package shallow_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"sharedcloud.io/function-operator/api/shallow"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

func deep(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

func list(parameters string) string {
	return `{"metadata":{},"items":[{"metadata":{"name":"a"},"spec":{"functionRef":{"name":"f"}}},` +
		`{"metadata":{"name":"deep"},"spec":{"parametersLiteral":"[\"[{","parameters":` + parameters + `}},` +
		`{"metadata":{"name":"c"},"spec":{"functionRef":{"name":"f"}}}]}`
}

func TestAListWithATooDeeplyNestedObjectDecodes(t *testing.T) {
	//security:attack tenant | stores parameters that nest 9,999 levels, so that the list that holds them is beyond what decoders take | the list decodes, and the object is its metadata and an error
	for _, levels := range []int{600, 9_990, 100_000} {
		text := list(deep(levels))
		for name, source := range map[string]io.Reader{
			"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)),
		} {
			cut, err := io.ReadAll(shallow.NewReader(source))
			if err != nil {
				t.Fatal(err)
			}
			var runs v1alpha1.FunctionRunList
			if err := json.Unmarshal(cut, &runs); err != nil {
				t.Fatalf("%d levels, read %s: %v", levels, name, err)
			}
			if len(runs.Items) != 3 || v1alpha1.DecodeError(&runs.Items[1]) == "" || runs.Items[2].Spec.FunctionRef.Name != "f" {
				t.Errorf("%d levels, read %s: got %v", levels, name, runs.Items)
			}
		}
	}
}

func TestShallowJSONIsUnchanged(t *testing.T) {
	for _, text := range []string{list(deep(400)), `"[[[[\\\"[["`, `{"a":"` + strings.Repeat("[", 5000) + `"}`, ``, `[]`} {
		copied, err := io.ReadAll(shallow.NewReader(iotest.HalfReader(strings.NewReader(text))))
		if err != nil || string(copied) != text {
			t.Errorf("%.60s became %.60s (%v)", text, copied, err)
		}
	}
}

func TestOnlyResponsesAboutTheCustomResourcesAreChanged(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, deep(2000))
	}))
	t.Cleanup(server.Close)
	client := &http.Client{Transport: shallow.RoundTripper(http.DefaultTransport)}
	for path, changed := range map[string]bool{
		"/apis/sharedcloud.io/v1alpha1/functions": true, "/k8s/clusters/c-1/apis/sharedcloud.io/v1alpha1/functions": true,
		"/api/v1/configmaps": false, "/apis/subresources.sharedcloud.io/v1alpha1/functions": false,
	} {
		response, err := client.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || bytes.Equal(body, []byte(deep(2000))) == changed {
			t.Errorf("%s: %d bytes (%v)", path, len(body), err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(list(deep(600))))
	f.Add([]byte(`{"a":["\\\"",{"b":[]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		cut, err := io.ReadAll(shallow.NewReader(bytes.NewReader(data)))
		if err != nil || len(cut) > len(data) {
			t.Fatalf("%d bytes became %d (%v)", len(data), len(cut), err)
		}
		if json.Valid(data) && !json.Valid(cut) {
			t.Fatalf("%.200q became %.200q, which is not JSON", data, cut)
		}
	})
}
