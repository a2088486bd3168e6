package writes

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestSlugs(t *testing.T) {
	for text, want := range map[string]string{
		"mnist":                  "mnist",
		"My Function, 2nd":       "my-function-2nd",
		"  --x--  ":              "x",
		"9 lives":                "lives",
		"ÄÖÜ":                    "otherwise",
		"":                       "otherwise",
		"日本語 model":              "model",
		"a\r\nb\x00c":            "a-b-c",
		strings.Repeat("ab", 50): strings.Repeat("ab", 20),
	} {
		if got := slug(text, "otherwise"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestOwnersOfFields(t *testing.T) {
	entries := []metav1.ManagedFieldsEntry{
		entry(v1alpha1.FieldManagerREST, "", `{"f:spec":{"f:name":{},"f:code":{}},"f:metadata":{"f:annotations":{"f:sharedcloud.io/created":{}}}}`),
		entry("kustomize-controller", "", `{"f:spec":{"f:runtime":{},"f:code":{}}}`),
		entry("someone", "status", `{"f:spec":{"f:image":{}}}`),
		entry("broken", "", `{`),
	}
	for name, tc := range map[string]struct {
		fields [][]string
		want   *OwnedError
	}{
		"only REST":                    {[][]string{pathName}, nil},
		"another manager":              {[][]string{pathName, pathRuntime}, &OwnedError{"spec.runtime", "kustomize-controller"}},
		"REST and another manager":     {[][]string{pathCode}, &OwnedError{"spec.code", "kustomize-controller"}},
		"a manager of the status":      {[][]string{pathImage}, nil},
		"a struct with an owned field": {[][]string{{"spec"}}, &OwnedError{"spec", "kustomize-controller"}},
	} {
		if diff := cmp.Diff(tc.want, ownedBy(entries, tc.fields)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	want := [][]string{pathName, pathCode, {"metadata", "annotations", v1alpha1.AnnotationCreated}}
	if diff := cmp.Diff(want, ownFields(entries, restPaths)); diff != "" {
		t.Errorf("fields of REST (-want +got):\n%s", diff)
	}
}

func TestKeyedNamesDependOnUserAndKey(t *testing.T) {
	name := keyedName(Requester{User: "alice", Key: "k"})
	if name != keyedName(Requester{User: "alice", Key: "k", Body: "other"}) {
		t.Error("the name depends on the body: a reused key would not be detected")
	}
	if name == keyedName(Requester{User: "alic", Key: "ek"}) || name == keyedName(Requester{User: "bob", Key: "k"}) {
		t.Error("two users have the same name")
	}
	if len(name) > 63 {
		t.Errorf("%q is too long", name)
	}
}

// entry returns a manager's fields.
func entry(manager, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: manager, Subresource: subresource, Operation: metav1.ManagedFieldsOperationApply,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields)}
}
