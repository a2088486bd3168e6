package subresources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/apiserver/uploads"
	"sharedcloud.io/function-operator/exchange/indexset"
	"sharedcloud.io/function-operator/parameters"
)

// shelf stores uploads in one call, starter the created run.
type shelf struct {
	PartUploader
	inputs []string
	err    error
}

func (s *shelf) Write(_ context.Context, namespace string, inputs uploads.Inputs) (uploads.Upload, error) {
	for {
		input, err := inputs.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return uploads.Upload{}, err
		}
		s.inputs = append(s.inputs, string(input.JSON)+input.Literal)
	}
	return uploads.Upload{Digest: "sha256:of-" + namespace, Inputs: len(s.inputs)}, s.err
}

type starter struct {
	dry, made *v1alpha1.FunctionRun
	user      string
	err       error
}

func (s *starter) StartRun(_ context.Context, run *v1alpha1.FunctionRun, user string, dry bool) (*v1alpha1.FunctionRun, error) {
	if dry {
		s.dry = run.DeepCopy()
		return run, s.err
	}
	s.made, s.user = run.DeepCopy(), user
	return run, nil
}

func post(t *testing.T, storage rest.Connecter, name, query, contentType string, body io.Reader) (answer said) {
	t.Helper()
	ctx := apirequest.WithUser(apirequest.WithNamespace(t.Context(), "space"), &user.DefaultInfo{Name: "alice"})
	handler, err := storage.Connect(ctx, name, nil, responder{&answer})
	if err != nil {
		return said{refused: err}
	}
	recorder := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/?"+query, body)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	handler.ServeHTTP(recorder, request)
	answer.status, answer.body = recorder.Code, recorder.Body.String()
	return answer
}

func TestRunCreatesARunOfTheInputs(t *testing.T) {
	for name, tc := range map[string]struct {
		query, contentType, body string
		want                     []string
		spec                     func(*v1alpha1.FunctionRunSpec)
		runName, generateName    string
	}{
		"JSON, by default":                   {body: `[[1],[2]]`, want: []string{"[1]", "[2]"}, generateName: "hello-"},
		"NDJSON by Content-Type":             {contentType: "application/x-ndjson; charset=utf-8", body: "[1]\n2\n", want: []string{"[1]", "[2]"}, generateName: "hello-"},
		"CSV by Content-Type, with a header": {contentType: "text/csv; header=present", body: "a\n1\n", want: []string{`[{"a":"1"}]`}, generateName: "hello-"},
		"CSV by parameters":                  {query: "format=csv&header=true&cells=json", contentType: "application/octet-stream", body: "a\n1\n", want: []string{`[{"a":1}]`}, generateName: "hello-"},
		"a Python tuple":                     {query: "format=python", body: "((1,),)", want: []string{"(1,)"}, generateName: "hello-"},
		"a name and a spec": {
			query: "name=mine&spec=" + url.QueryEscape(`{"workers": 3, "retries": 1}`), body: `[[]]`, want: []string{"[]"}, runName: "mine",
			spec: func(s *v1alpha1.FunctionRunSpec) {
				s.Workers, s.Retries = ptr.To[int32](3), ptr.To[int32](1)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			kept, runs := &shelf{}, &starter{}
			got := post(t, NewRun(kept, runs, 1<<20, clock.RealClock{}), "hello", tc.query, tc.contentType, strings.NewReader(tc.body))
			if got.refused != nil || got.status != http.StatusCreated {
				t.Fatalf("answer %+v", got)
			}
			if diff := cmp.Diff(tc.want, kept.inputs); diff != "" {
				t.Errorf("inputs (-want +got):\n%s", diff)
			}
			want := &v1alpha1.FunctionRun{
				ObjectMeta: metav1.ObjectMeta{Namespace: "space", Name: tc.runName, GenerateName: tc.generateName},
				Spec: v1alpha1.FunctionRunSpec{
					FunctionRef:    v1alpha1.FunctionReference{Name: "hello"},
					ParametersFrom: &v1alpha1.ParametersSource{Upload: &v1alpha1.UploadReference{Digest: "sha256:of-space", Count: int32(len(tc.want))}},
				},
			}
			if tc.spec != nil {
				tc.spec(&want.Spec)
			}
			if diff := cmp.Diff(want, runs.made); diff != "" || runs.user != "alice" {
				t.Errorf("the run, by %q (-want +got):\n%s", runs.user, diff)
			}
			answered := &v1alpha1.FunctionRun{}
			if err := json.Unmarshal([]byte(got.body), answered); err != nil || cmp.Diff(want, answered) != "" {
				t.Errorf("answer %s", got.body)
			}
		})
	}
}

func TestRunErrors(t *testing.T) {
	taken := apierrors.NewAlreadyExists(v1alpha1.Resource("functionruns"), "mine")
	for name, tc := range map[string]struct {
		query, contentType string
		body               io.Reader
		starter            starter
		shelf              shelf
		want               func(error) bool
		says               string
		unread             bool // the body was not read
	}{
		"a line that is not JSON":        {query: "format=ndjson", body: strings.NewReader("[1]\n{\n"), want: apierrors.IsBadRequest, says: "the inputs cannot be read: line 2: it is not JSON"},
		"nothing":                        {body: strings.NewReader(""), want: apierrors.IsBadRequest, says: "it contains no inputs"},
		"an unknown format":              {query: "format=xml", want: apierrors.IsBadRequest, says: `the parameter format is "xml": it must be json, ndjson, csv or python`, unread: true},
		"an unknown Content-Type":        {contentType: "text/html", want: apierrors.IsBadRequest, says: `the Content-Type "text/html" is not supported: send`, unread: true},
		"an invalid Content-Type":        {contentType: "a/b/c", want: apierrors.IsBadRequest, says: `the Content-Type "a/b/c" is invalid`, unread: true},
		"an invalid value of cells":      {query: "cells=numbers", want: apierrors.IsBadRequest, says: "it must be text or json", unread: true},
		"a spec that is not JSON":        {query: "spec=workers", want: apierrors.IsBadRequest, says: "it must be a JSON object", unread: true},
		"a field given twice":            {query: "spec=" + url.QueryEscape(`{"workers": 1, "workers": 2}`), want: apierrors.IsBadRequest, says: `the key "workers" is given twice`, unread: true},
		"a field given in two cases":     {query: "spec=" + url.QueryEscape(`{"workers": 1, "Workers": 2}`), want: apierrors.IsBadRequest, says: `the key "Workers" is given twice`, unread: true},
		"a spec of many levels":          {query: "spec=" + strings.Repeat("[", 65), want: apierrors.IsBadRequest, says: "deeper than 64 levels", unread: true},
		"an invalid query":               {query: "spec=%zz", want: apierrors.IsBadRequest, says: "the query is not URL-encoded", unread: true},
		"a name with a NUL":              {query: "name=a%00b", want: apierrors.IsBadRequest, says: "not text in UTF-8 without NUL", unread: true},
		"a name that is not UTF-8":       {query: "name=%ff", want: apierrors.IsBadRequest, says: "not text in UTF-8 without NUL", unread: true},
		"a key twice in an input":        {body: strings.NewReader(`[[{"a":1,"a":2}]]`), want: apierrors.IsBadRequest, says: `input 0: the key "a" is given twice`},
		"an unknown field":               {query: "spec=" + url.QueryEscape(`{"worker": 1}`), want: apierrors.IsBadRequest, says: `unknown field "worker"`, unread: true},
		"a spec with text after it":      {query: "spec=" + url.QueryEscape(`{} {}`), want: apierrors.IsBadRequest, says: "one JSON object", unread: true},
		"inputs in the spec":             {query: "spec=" + url.QueryEscape(`{"parameters": [[1]]}`), want: apierrors.IsBadRequest, says: "must not contain inputs", unread: true},
		"another function in the spec":   {query: "spec=" + url.QueryEscape(`{"functionRef": {"name": "x"}}`), want: apierrors.IsBadRequest, says: "or functionRef", unread: true},
		"a short name of an upload":      {query: "upload=mine&offset=0", want: apierrors.IsBadRequest, says: "it must be a unique name of 16 to 64 letters, digits and '-'", unread: true},
		"an upload without an offset":    {query: "upload=" + partName, want: apierrors.IsBadRequest, says: "needs the parameter offset", unread: true},
		"a negative offset":              {query: "offset=-1&upload=" + partName, want: apierrors.IsBadRequest, says: "it must be the number of inputs of the upload that were sent before", unread: true},
		"an offset without an upload":    {query: "offset=1", want: apierrors.IsBadRequest, says: "name the upload with the parameter upload", unread: true},
		"more without an upload":         {query: "more=true", want: apierrors.IsBadRequest, says: "name the upload with the parameter upload", unread: true},
		"a name that is taken":           {query: "name=mine", starter: starter{err: taken}, want: apierrors.IsAlreadyExists, says: "already exists", unread: true},
		"a cluster that does not answer": {starter: starter{err: errors.New("connection refused")}, want: apierrors.IsServiceUnavailable, says: "the run cannot be created", unread: true},
		"a body that is too large":       {query: "format=ndjson", body: strings.NewReader(strings.Repeat("[1]\n", 1<<20)), want: apierrors.IsRequestEntityTooLargeError, says: "the body has more than 2097152 bytes"},
		"an upload that is too large":    {body: strings.NewReader("[1]"), shelf: shelf{err: fmt.Errorf("%w: so many", uploads.ErrTooLarge)}, want: apierrors.IsRequestEntityTooLargeError, says: "so many"},
		"a full disk":                    {body: strings.NewReader("[1]"), shelf: shelf{err: outcomes.ErrFull}, want: apierrors.IsServiceUnavailable, says: "increase the size of its volume"},
		"a quota that is used up": {body: strings.NewReader("[1]"), shelf: shelf{err: &quotas.ExceededError{Room: quotas.Room{Kind: quotas.Uploads, Namespace: "space", Used: 5 << 30, Limit: 5 << 30}, Wanted: 1 << 20}},
			want: insufficientStorage, says: "The namespace space stores 5 GiB of uploaded inputs, and its quota is 5 GiB: 1 MiB more would exceed it. Delete runs whose inputs were uploaded"},
		"a truncated body": {body: iotest.ErrReader(io.ErrUnexpectedEOF), want: apierrors.IsBadRequest, says: "the body is incomplete"},
	} {
		t.Run(name, func(t *testing.T) {
			body := tc.body
			if tc.unread {
				body = readerFuncFails{t}
			}
			got := post(t, NewRun(&tc.shelf, &tc.starter, 1<<20, clock.RealClock{}), "hello", tc.query, tc.contentType, body)
			if got.refused == nil || !tc.want(got.refused) || !strings.Contains(got.refused.Error(), tc.says) {
				t.Errorf("error %v, want one that says %q", got.refused, tc.says)
			}
			if tc.starter.made != nil {
				t.Error("a run was created")
			}
		})
	}
}

const partName = "0b9f1c5e-7d0a-4a43-9d06-0d6a4e3f0c11"

func TestRunAcceptsInputsInSeveralCalls(t *testing.T) {
	db := outcomes.NewSQLite(filepath.Join(t.TempDir(), "outcomes.db"))
	if err := db.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	kept, runs := uploads.New(db, nil, 1<<20, 1<<20, clock.RealClock{}), &starter{}
	storage := NewRun(kept, runs, 1<<20, clock.RealClock{})
	call := func(query string, body io.Reader) said {
		t.Helper()
		return post(t, storage, "hello", "upload="+partName+"&name=mine&"+query, contentNDJSON, body)
	}
	part := func(query, body string, want int) {
		t.Helper()
		got := call("more=true&"+query, strings.NewReader(body))
		if answer := fmt.Sprintf(`{"upload":%q,"inputs":%d}`+"\n", partName, want); got.refused != nil || got.status != http.StatusOK || got.body != answer {
			t.Errorf("answer %+v; want %s", got, answer)
		}
	}
	refused := func(query string, body io.Reader, want func(error) bool, says string) {
		t.Helper()
		if got := call(query, body); got.refused == nil || !want(got.refused) || !strings.Contains(got.refused.Error(), says) {
			t.Errorf("answer %+v; want an error that says %q", got, says)
		}
	}
	part("offset=0", "", 0)
	refused("offset=0&more=true", strings.NewReader("{"), apierrors.IsBadRequest, "line 1: it is not JSON: unexpected end of JSON input. No input was stored.")
	refused("offset=0", strings.NewReader(""), apierrors.IsConflict, "start again at offset 0")
	part("offset=0", "[1]\n[2]\n", 2)
	part("offset=1", "[2]\n[3]\n", 3)
	refused("offset=4&more=true", strings.NewReader("[5]"), apierrors.IsConflict, "the upload has 3 inputs: continue at that offset")
	refused("offset=3&more=true", strings.NewReader("[4]\n{"), apierrors.IsBadRequest, "line 2: it is not JSON: unexpected end of JSON input. The 4 inputs before it are kept for an hour.")
	refused("offset=4&more=true", io.MultiReader(strings.NewReader("[5]\n"), iotest.ErrReader(io.ErrUnexpectedEOF)), apierrors.IsBadRequest, "The 5 inputs before it are kept")
	refused("offset=3", strings.NewReader("[4]"), apierrors.IsConflict, "the upload has 5 inputs")
	if runs.made != nil {
		t.Fatalf("a run was created: %+v", runs.made)
	}
	got := call("offset=5", strings.NewReader("[6]"))
	whole, err := kept.Write(t.Context(), "space", parameters.NewReader(strings.NewReader("[1]\n2\n3\n4\n5\n6\n"), parameters.Stream{Format: v1alpha1.FormatNDJSON}))
	if err != nil {
		t.Fatal(err)
	}
	if got.refused != nil || got.status != http.StatusCreated || runs.made == nil || runs.made.Name != "mine" {
		t.Fatalf("answer %+v; made %+v", got, runs.made)
	}
	if diff := cmp.Diff(uploadedAs(whole), runs.made.Spec.ParametersFrom); diff != "" {
		t.Errorf("its inputs (-want +got):\n%s", diff)
	}
	refused("offset=6", strings.NewReader(""), apierrors.IsConflict, "the upload does not exist")
}

// insufficientStorage reports whether an error is a 507 with its reason.
func insufficientStorage(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code == http.StatusInsufficientStorage && status.Status().Reason == "StorageQuotaExceeded"
}

type readerFuncFails struct{ t *testing.T }

func (r readerFuncFails) Read([]byte) (int, error) {
	r.t.Error("the body was read")
	return 0, io.EOF
}

func TestACompressedBodyIsRejected(t *testing.T) {
	_, err := parseRunRequest(url.Values{}, http.Header{"Content-Encoding": {"gzip"}})
	if !apierrors.IsUnsupportedMediaType(err) || !strings.Contains(err.Error(), "send it uncompressed") {
		t.Errorf("error %v", err)
	}
}

// failures are the indexes that did not succeed.
type failures indexset.Set

func (f failures) Unsuccessful(context.Context, types.UID) (indexset.Set, error) {
	return indexset.Set(f), nil
}

type inputsOf map[types.UID]error

func (i inputsOf) Read(ctx context.Context, namespace, name string, uid types.UID) (*core.RunInputs, error) {
	if err := i[uid]; err != nil {
		return nil, err
	}
	return core.NewRunInputs(numbers(5000)), nil
}

// numbers are the inputs [0], [1], …
type numbers int

func (n numbers) Len() int { return int(n) }

func (n numbers) Slice(first, last int) (inputs []parameters.Input) {
	for i := first; i <= last; i++ {
		inputs = append(inputs, parameters.Input{JSON: fmt.Appendf(nil, "[%d]", i)})
	}
	return inputs
}

func finishedRun() runsFunc {
	run := &v1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Namespace: "space", Name: "run", UID: "uid"}}
	run.Spec.FunctionRef.Name = "hello"
	run.Spec.Workers = ptr.To[int32](7)
	run.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionFinished, Status: metav1.ConditionTrue}}
	return func(string) (*v1alpha1.FunctionRun, error) { return run, nil }
}

func TestARerunHasTheInputsThatDidNotSucceed(t *testing.T) {
	failed := indexset.Of(3).Union(indexset.Span(10, 3000))
	kept, runs := &shelf{}, &starter{}
	got := post(t, NewRerun(finishedRun(), failures(failed), inputsOf{}, kept, runs), "run", "spec="+url.QueryEscape(`{"timeoutSeconds": 5}`), "", nil)
	if got.refused != nil || got.status != http.StatusCreated {
		t.Fatalf("answer %+v", got)
	}
	var want []string
	for index := range failed.All() {
		want = append(want, fmt.Sprintf("[%d]", index))
	}
	if diff := cmp.Diff(want, kept.inputs); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
	wantRun := &v1alpha1.FunctionRun{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "space", GenerateName: "run-again-",
			Labels:      map[string]string{"sharedcloud.io/rerun-of": "run"},
			Annotations: map[string]string{"sharedcloud.io/rerun-of-uid": "uid", "sharedcloud.io/rerun-indexes": "3,10-3000"},
		},
		Spec: v1alpha1.FunctionRunSpec{
			FunctionRef:    v1alpha1.FunctionReference{Name: "hello"},
			ParametersFrom: &v1alpha1.ParametersSource{Upload: &v1alpha1.UploadReference{Digest: "sha256:of-space", Count: 2992}},
			RunPolicy:      v1alpha1.RunPolicy{Workers: ptr.To[int32](7), TimeoutSeconds: ptr.To[int32](5)},
		},
	}
	if diff := cmp.Diff(wantRun, runs.made); diff != "" {
		t.Errorf("the run (-want +got):\n%s", diff)
	}
}

func TestRerunErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		runs   runsFunc
		failed indexset.Set
		inputs inputsOf
		want   func(error) bool
		says   string
	}{
		"a run that is executing":    {theRun(3), indexset.Of(1), nil, apierrors.IsConflict, "the run has not finished"},
		"nothing failed":             {finishedRun(), indexset.Set{}, nil, apierrors.IsConflict, "every input of the run succeeded"},
		"deleted inputs":             {finishedRun(), indexset.Of(1), inputsOf{"uid": core.ErrInputsGone}, apierrors.IsConflict, "no longer exist"},
		"inputs that cannot be read": {finishedRun(), indexset.Of(1), inputsOf{"uid": errors.New("refused")}, apierrors.IsServiceUnavailable, "the inputs cannot be stored: refused"},
	} {
		t.Run(name, func(t *testing.T) {
			runs := &starter{}
			got := post(t, NewRerun(tc.runs, failures(tc.failed), tc.inputs, &shelf{}, runs), "run", "", "", nil)
			if got.refused == nil || !tc.want(got.refused) || !strings.Contains(got.refused.Error(), tc.says) || runs.made != nil {
				t.Errorf("error %v, want one that says %q; made %v", got.refused, tc.says, runs.made)
			}
		})
	}
}
