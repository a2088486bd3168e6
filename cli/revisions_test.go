package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const someSettings = `{"runtime":"python311","image":{"namespace":"c","name":"python","registryPath":"sharedcloud/python:1","pullPolicy":"IfNotPresent"},
	"command":["python3"],"handlerFile":"handler.py","runnerFile":"runner.py","gpuResource":"nvidia.com/gpu","gpus":0,"workers":8,"timeoutSeconds":1800,"retries":0}`

// revisionMap is the ConfigMap of a revision. change is merged into its settings.
func revisionMap(name, code, change string, more map[string]string) *corev1.ConfigMap {
	settings := map[string]any{}
	_ = json.Unmarshal([]byte(someSettings), &settings)
	_ = json.Unmarshal([]byte(change), &settings)
	text, _ := json.Marshal(settings)
	data := map[string]string{"runner.py": "the runner", "revision.json": string(text), "handler.py": code}
	for file, content := range more {
		data[file] = content
	}
	return &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"}, Data: data}
}

func mustRevision(t *testing.T, configMap *corev1.ConfigMap) *revision {
	t.Helper()
	r, err := revisionOf(configMap)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSpecPatch(t *testing.T) {
	current := revisionMap("f-2", "new", "", nil)
	tests := map[string]struct {
		spec   string
		target *corev1.ConfigMap
		want   string
	}{
		"no difference":               {`{"runtime":"python311","image":"python","code":"new"}`, current, `{}`},
		"only the code":               {`{"runtime":"python311","image":"python","code":"new"}`, revisionMap("f-1", "old", "", nil), `{"code":"old"}`},
		"defaults in the spec":        {`{"runtime":"python311","image":"python","code":"old","workers":8,"retries":0}`, revisionMap("f-1", "old", "", nil), `{}`},
		"numbers":                     {`{"runtime":"python311","image":"python","code":"old","workers":3,"retries":2}`, revisionMap("f-1", "old", `{"retries":5}`, nil), `{"retries":5,"workers":8}`},
		"numbers that the spec omits": {`{"runtime":"python311","image":"python","code":"old"}`, revisionMap("f-1", "old", `{"timeoutSeconds":60,"gpus":2}`, nil), `{"gpus":2,"timeoutSeconds":60}`},
		"fields that the revision does not have": {`{"runtime":"python311","image":"python","code":"old","gpuProducts":["L4"],"maxFailures":3,"pod":{"runAsUser":0}}`,
			revisionMap("f-1", "old", "", nil), `{"gpuProducts":null,"maxFailures":null,"pod":null}`},
		"parts of the pod": {`{"runtime":"python311","image":"python","code":"old","pod":{"runAsUser":0,"nodeSelector":{"a":"b","c":"d"}}}`,
			revisionMap("f-1", "old", `{"pod":{"nodeSelector":{"a":"x"},"env":[{"name":"E","value":"1"}]}}`, nil),
			`{"pod":{"env":[{"name":"E","value":"1"}],"nodeSelector":{"a":"x","c":null},"runAsUser":null}}`},
		"files": {`{"runtime":"python311","image":"python","code":"old","files":{"a.py":"1","b.py":"2","c.py":"3"}}`,
			revisionMap("f-1", "old", "", map[string]string{"a.py": "1", "b.py": "20", "d.py": "4"}), `{"files":{"b.py":"20","c.py":null,"d.py":"4"}}`},
		"another image and runtime": {`{"runtime":"python36","image":"tf","code":"old"}`, revisionMap("f-1", "old", "", nil),
			`{"gpuResource":"nvidia.com/gpu","gpus":0,"image":"python","runtime":"python311"}`},
		"code from a ConfigMap": {`{"runtime":"python311","image":"python","codeFrom":{"configMapKeyRef":{"name":"c","key":"k"}}}`, revisionMap("f-1", "old", "", nil), `{"code":"old","codeFrom":null}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := map[string]any{}
			if err := json.Unmarshal([]byte(tc.spec), &spec); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(specPatch(spec, mustRevision(t, current), mustRevision(t, tc.target)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestManagedElsewhere(t *testing.T) {
	managed := func(manager string) *v1alpha1.Function {
		f := &v1alpha1.Function{ObjectMeta: metav1.ObjectMeta{Name: "train"}}
		f.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: manager, Operation: metav1.ManagedFieldsOperationApply}}
		return f
	}
	labelled := &v1alpha1.Function{ObjectMeta: metav1.ObjectMeta{Name: "train", Labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps"}}}
	tracked := &v1alpha1.Function{ObjectMeta: metav1.ObjectMeta{Name: "train", Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "x"}}}
	fromKey := map[string]any{"codeFrom": map[string]any{"configMapKeyRef": map[string]any{"name": "train-code", "key": "handler.py"}}}
	whole := map[string]any{"codeFrom": map[string]any{"configMapRef": map[string]any{"name": "train-code"}}}
	tests := map[string]struct {
		function *v1alpha1.Function
		spec     map[string]any
		says     string
	}{
		"applied by a user":         {managed("kubectl"), nil, ""},
		"applied by Flux":           {managed("kustomize-controller"), nil, "Flux manages train"},
		"applied by Argo CD":        {managed("argocd-controller"), nil, "Argo CD manages train"},
		"labelled by Flux":          {labelled, nil, "Flux manages train"},
		"tracked by Argo CD":        {tracked, nil, "Argo CD manages train"},
		"code in a ConfigMap's key": {managed("kubectl"), fromKey, "the code of train is in the ConfigMap train-code"},
		"code in a whole ConfigMap": {managed("kubectl"), whole, "the code of train is in the ConfigMap train-code"},
		"code in the spec":          {managed("kubectl"), map[string]any{"code": "x"}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := managedElsewhere(tc.function, tc.spec)
			if (tc.says == "") != (got == "") || !strings.Contains(got, tc.says) {
				t.Errorf("got %q, want %q", got, tc.says)
			}
		})
	}
}

func TestNumbersOfRevisions(t *testing.T) {
	old, first, second := revisionMap("f-a", "1", "", nil), revisionMap("f-b", "2", "", nil), revisionMap("f-c", "3", "", nil)
	first.Annotations = map[string]string{v1alpha1.AnnotationRevisionNumber: "4", v1alpha1.AnnotationRevisionCurrentSince: "2026-11-26T12:00:00Z"}
	second.Annotations = map[string]string{v1alpha1.AnnotationRevisionNumber: "2"}
	all := []*revision{mustRevision(t, first), mustRevision(t, second), mustRevision(t, old)}
	sortAndNumber(all, "f-b")
	var got []string
	for _, r := range all {
		got = append(got, r.String())
	}
	want := []string{"revision 0 (f-a)", "revision 2 (f-c)", "revision 4 (f-b)"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if before, err := revisionByNumber(all, "f", 0); err != nil || before.name != "f-c" {
		t.Errorf("before the current one: %v, %v", before, err)
	}
	if _, err := revisionByNumber(all, "f", 3); err == nil || !strings.Contains(err.Error(), "no revision 3") {
		t.Errorf("%v", err)
	}
	if _, err := revisionByNumber(all[2:], "f", 0); err == nil || !strings.Contains(err.Error(), "no revision before the current one") {
		t.Errorf("%v", err)
	}
	// Revisions without numbers.
	unnumbered := []*revision{mustRevision(t, old), mustRevision(t, revisionMap("f-d", "4", "", nil))}
	sortAndNumber(unnumbered, "f-d")
	if unnumbered[0].number != 1 || unnumbered[1].number != 2 || !unnumbered[1].current {
		t.Errorf("%v", unnumbered)
	}
}

func TestDifferenceOfTwoRevisions(t *testing.T) {
	a := mustRevision(t, revisionMap("f-1", "one\ntwo\n", "", map[string]string{"gone.py": "x\n"}))
	b := mustRevision(t, revisionMap("f-2", "one\n2", `{"retries":3}`, nil))
	got, err := difference(a, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--- f-1/handler.py\n+++ f-2/handler.py\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n\\ No newline at end of file\n",
		"--- f-1/gone.py\n+++ f-2/gone.py\n@@ -1 +0,0 @@\n-x\n", "-retries: 0\n+retries: 3\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
	if same, err := difference(a, a); err != nil || same != "" {
		t.Errorf("%v: %s", err, same)
	}
	// What the operator adds to the pod belongs to its runner and is no setting of the user's.
	newer := mustRevision(t, revisionMap("f-3", "one\ntwo\n", `{"podVersion":1}`, map[string]string{"gone.py": "x\n"}))
	newer.runner = "another runner"
	if text, err := difference(a, newer); err != nil || strings.Contains(text, "podVersion") {
		t.Errorf("%v: %s", err, text)
	}
	if names := changes(a, newer); !slices.Equal(names, []string{"the operator's runner"}) {
		t.Errorf("changes: %q", names)
	}
}

func TestRollbackPatchesTheVersionThatItRead(t *testing.T) {
	f := newFakeCluster(t)
	function := &v1alpha1.Function{TypeMeta: metav1.TypeMeta{Kind: "Function", APIVersion: v1alpha1.GroupVersion.String()},
		ObjectMeta: metav1.ObjectMeta{Name: "f", Namespace: "ns", UID: "u", ResourceVersion: "7"},
		Spec:       v1alpha1.FunctionSpec{Runtime: "python311", Image: "python", Code: ptr.To("new")},
		Status:     v1alpha1.FunctionStatus{Revision: &v1alpha1.FunctionRevision{Name: "f-2", RegistryPath: "sharedcloud/python:2"}}}
	list := &corev1.ConfigMapList{TypeMeta: metav1.TypeMeta{Kind: "ConfigMapList", APIVersion: "v1"}, Items: []corev1.ConfigMap{*revisionMap("f-1", "old", "", nil), *revisionMap("f-2", "new", "", nil)}}
	patched := ""
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodPatch:
			body, _ := io.ReadAll(r.Body)
			patched = string(body)
			reply(w, http.StatusOK, function)
		case strings.HasSuffix(r.URL.Path, "/functions/f"):
			reply(w, http.StatusOK, function)
		case strings.HasSuffix(r.URL.Path, "/configmaps"):
			reply(w, http.StatusOK, list)
		default:
			return false
		}
		return true
	}
	f.plugin(t, t.Context(), nil, "rollback", "f").mustExit(t, ExitOK, "function.sharedcloud.io/f rolled back to revision 1 (f-1): code",
		"The FunctionImage python had the path sharedcloud/python:1 in that revision and has sharedcloud/python:2 now")
	if want := `{"metadata":{"resourceVersion":"7","uid":"u"},"spec":{"code":"old"}}`; patched != want {
		t.Errorf("patched %s, want %s", patched, want)
	}
	f.plugin(t, t.Context(), nil, "revisions", "f").mustExit(t, ExitOK, "2        *", "")
	f.plugin(t, t.Context(), nil, "diff", "f").mustExit(t, ExitOK, "-old", "")
	function.Spec.Code, function.Spec.CodeFrom = nil, &v1alpha1.CodeSource{}
	patched = ""
	function.Labels = map[string]string{"argocd.argoproj.io/instance": "apps"}
	f.plugin(t, t.Context(), nil, "rollback", "f").mustExit(t, ExitCluster, "", "Argo CD manages f")
	if patched != "" {
		t.Errorf("unexpected patch: %s", patched)
	}
}
