package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/shallow"
)

const pathObjects = "/apis/sharedcloud.io/v1alpha1/namespaces/ns/"

// deepCluster has three objects of each kind, of which one nests as deeply as the Kubernetes API stores: a list of them nests
// deeper than decoders take.
func deepCluster(t *testing.T) *fakeCluster {
	f := newFakeCluster(t)
	object := func(kind, name string) string {
		parameters := `[[1]]`
		if name == "deep" {
			parameters = strings.Repeat("[", 9_997) + strings.Repeat("]", 9_997)
		}
		return `{"apiVersion":"sharedcloud.io/v1alpha1","kind":"` + kind + `","metadata":{"name":"` + name + `","namespace":"ns","uid":"uid-` + name + `"},` +
			`"spec":{"functionRef":{"name":"f"},"runtime":"python311","image":"python","code":"x","parameters":` + parameters + `}}`
	}
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		path, ours := strings.CutPrefix(r.URL.Path, pathObjects)
		resource, name, single := strings.Cut(path, "/")
		kind := map[string]string{"functions": "Function", "functionruns": "FunctionRun", "functionimages": "FunctionImage"}[resource]
		if !ours || kind == "" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		if single {
			_, _ = io.WriteString(w, object(kind, name))
			return true
		}
		_, _ = io.WriteString(w, `{"apiVersion":"sharedcloud.io/v1alpha1","kind":"`+kind+`List","metadata":{"resourceVersion":"1"},"items":[`+
			object(kind, "one")+","+object(kind, "deep")+","+object(kind, "two")+`]}`)
		return true
	}
	return f
}

//security:attack tenant | stores objects that nest 9,999 levels, and a user lists them with the plugin | lists show all objects, and describe says of that one alone that it cannot be decoded
func TestAnObjectThatNestsTooDeeplyIsOneOfAList(t *testing.T) {
	for line, want := range map[string]string{
		"list functions -o name":    "function.sharedcloud.io/one\nfunction.sharedcloud.io/deep\nfunction.sharedcloud.io/two\n",
		"list runs -o name":         "functionrun.sharedcloud.io/one\nfunctionrun.sharedcloud.io/deep\nfunctionrun.sharedcloud.io/two\n",
		"list images -o name":       "functionimage.sharedcloud.io/one\nfunctionimage.sharedcloud.io/deep\nfunctionimage.sharedcloud.io/two\n",
		"list runs -o json":         `"name": "two"`,
		"list runs -o yaml":         "name: two",
		"describe run two":          "two in the namespace ns",
		"describe function two":     "two in the namespace ns",
		"get run deep -o name":      "functionrun.sharedcloud.io/deep\n",
		"get function deep -o json": `"name": "deep"`,
	} {
		t.Run(line, func(t *testing.T) {
			deepCluster(t).plugin(t, t.Context(), nil, strings.Split(line, " ")...).mustExit(t, ExitOK, want, "")
		})
	}
	for line, want := range map[string]string{
		"describe run deep":      "the stored FunctionRun deep cannot be decoded: it contains a value that is nested more than 512 levels deep; correct it (kubectl edit) or delete it",
		"describe function deep": "the stored Function deep cannot be decoded: it contains a value that is nested more than 512 levels deep; correct it (kubectl edit) or delete it",
	} {
		t.Run(line, func(t *testing.T) {
			deepCluster(t).plugin(t, t.Context(), nil, strings.Split(line, " ")...).mustExit(t, ExitCluster, "", want)
		})
	}
}

// storedAnswers answers every request with the same stored object: alone, as the one item of a list, as a row of a table, or
// as an outcome.
type storedAnswers struct{ object []byte }

// RoundTrip implements http.RoundTripper.
func (s *storedAnswers) RoundTrip(request *http.Request) (*http.Response, error) {
	before, after := "", ""
	switch path := request.URL.Path; {
	case strings.Contains(request.Header.Get("Accept"), "as=Table"):
		before, after = `{"kind":"Table","columnDefinitions":[{"name":"A"}],"rows":[{"cells":[1],"object":`, `}]}`
	case strings.HasSuffix(path, "/results"):
		before, after = `{"index":0,"status":"Failed","error":`, "}\n"
	case strings.HasSuffix(path, "/pods"):
		before, after = `{"apiVersion":"v1","kind":"PodList","items":[`, `]}`
	case strings.HasSuffix(path, "/events"):
		before, after = `{"apiVersion":"v1","kind":"EventList","items":[`, `]}`
	}
	body := before + string(s.object) + after
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: request,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
}

// FuzzDescribe shows any JSON as if it were stored. A panic, a hang, memory beyond a multiple of the object, or an output that
// steers a terminal is a failure.
//
//security:attack tenant | stores any object at all, past validation, and a user describes it with the plugin | describe ends, in bounded time, memory and output, and writes nothing that steers a terminal
func FuzzDescribe(f *testing.F) {
	for _, text := range []string{
		`{"apiVersion":"sharedcloud.io/v1alpha1","kind":"FunctionRun","metadata":{"name":"r","namespace":"ns","uid":"u","creationTimestamp":"0000-01-01T00:00:00Z","labels":{"sharedcloud.io/rerun-of":"\u001b[2J"}},"spec":{"functionRef":{"name":"f\u202e"},"ttlSecondsAfterFinished":2147483647,"resultsTTLSecondsAfterFinished":-1},"status":{"startTime":"9999-12-31T23:59:59Z","completionTime":"0001-01-01T00:00:01Z","revision":{"name":"x","inputs":-2147483648,"workers":2147483647,"gpus":-1,"timeoutSeconds":2147483647,"gpuProducts":["a\nb"]},"job":{"name":"j","number":2147483647},"progress":{"total":-1,"succeeded":2147483647,"failed":2147483647,"timedOut":-2147483648,"failedIndexes":"x","message":"\ud800"},"conditions":[{"type":"Ready","status":"False","reason":"Suspended","message":"a\u0000"},{"type":"Finished","status":"True","reason":"","message":""}]}}`,
		`{"apiVersion":"sharedcloud.io/v1alpha1","kind":"Function","metadata":{"name":"f","namespace":"ns","uid":"u","managedFields":[{"manager":"kustomize-controller","fieldsV1":{"f:spec":5}}]},"spec":{"name":"\u0007","runtime":"python311","image":"python","codeFrom":{"configMapRef":{"name":"c"}}},"status":{"revision":{"name":"x","registryPath":"\u009b"}}}`,
		`{"apiVersion":"sharedcloud.io/v1alpha1","kind":"FunctionRun","metadata":{"name":"r"},"spec":5}`,
		`{"metadata":{"name":"p"},"kind":"Pod","spec":{"nodeName":"\u001b]0;x\u0007"},"status":{"phase":"Pending","containerStatuses":[{"state":{"waiting":{"reason":"\r","message":"m"}}},{"state":{"terminated":{"exitCode":-2147483648}}}],"conditions":[{"type":"PodScheduled","status":"False","message":"\u202e"}]}}`,
		`{"metadata":{"name":"e"},"type":"Warning","reason":"R","message":"\u001b[31m","count":-5,"series":{"count":-1,"lastObservedTime":"9999-12-31T23:59:59.999999Z"},"involvedObject":{"kind":"Pod","name":"p"}}`,
		`{"type":"E","message":"\u001b","traceback":5}`, `{}`, `null`, `[]`, `"x"`,
	} {
		f.Add([]byte(text))
	}
	answers := &storedAnswers{}
	config := &rest.Config{Host: "http://cluster.invalid", Transport: shallow.RoundTripper(answers), QPS: -1}
	made, err := client.New(config, client.Options{Scheme: newScheme(), Mapper: mapper()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		answers.object = data
		var out bytes.Buffer
		o := newOptions(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out})
		c := &cluster{Client: made, config: config, namespace: "ns", o: o}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		for _, err := range []error{c.describeRun(t.Context(), "x"), c.describeFunction(t.Context(), "x")} {
			if err != nil {
				o.out("%s\n", userMessage(err))
			}
		}
		o.flush()
		runtime.ReadMemStats(&after)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%d bytes took %s", len(data), took)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8<<20+200*uint64(len(data)) {
			t.Errorf("%d bytes took %d bytes of memory", len(data), allocated)
		}
		if out.Len() == 0 || out.Len() > 64<<10+32*len(data) {
			t.Errorf("%d bytes are described in %d", len(data), out.Len())
		}
		mustBeInert(t, out.String())
	})
}
