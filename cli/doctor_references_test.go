package cli

import (
	"net/http"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

var policyMade = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func TestWrittenBefore(t *testing.T) {
	before, after := metav1.NewTime(policyMade.Add(-time.Hour)), metav1.NewTime(policyMade.Add(time.Hour))
	entry := func(at metav1.Time, subresource, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: "m", Time: &at, Subresource: subresource, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	for name, tc := range map[string]struct {
		made    metav1.Time
		entries []metav1.ManagedFieldsEntry
		want    bool
	}{
		"made since":                            {made: after},
		"made with the policy":                  {made: metav1.NewTime(policyMade)},
		"made before, nothing else known":       {made: before, want: true},
		"made before, its spec written since":   {made: before, entries: []metav1.ManagedFieldsEntry{entry(before, "", `{"f:spec":{}}`), entry(after, "", `{"f:spec":{"f:code":{}}}`)}},
		"made before, its labels changed since": {made: before, entries: []metav1.ManagedFieldsEntry{entry(before, "", `{"f:spec":{}}`), entry(after, "", `{"f:metadata":{"f:labels":{}}}`)}, want: true},
		"made before, its status written since": {made: before, entries: []metav1.ManagedFieldsEntry{entry(after, "status", `{"f:spec":{}}`)}, want: true},
		"made before, unreadable fields":        {made: before, entries: []metav1.ManagedFieldsEntry{entry(after, "", `{`)}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			object := &v1alpha1.Function{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: tc.made, ManagedFields: tc.entries}}
			if got := writtenBefore(object, policyMade); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

//security:attack tenant | a Function named a Secret before the policy existed | doctor lists it
func TestDoctorListsWhatNamedReferencesBeforeThePolicies(t *testing.T) {
	const admission = "/apis/admissionregistration.k8s.io/v1/"
	made := func(name string, at time.Time) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: "ns", CreationTimestamp: metav1.NewTime(at)}
	}
	pod := &v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{{Name: "v", Secret: &v1alpha1.NamedSource{Name: "keys"}}}}
	functions := v1alpha1.FunctionList{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "FunctionList"}, Items: []v1alpha1.Function{
		{ObjectMeta: made("old", policyMade.Add(-time.Hour)), Spec: v1alpha1.FunctionSpec{Pod: pod}},
		{ObjectMeta: made("new", policyMade.Add(time.Hour)), Spec: v1alpha1.FunctionSpec{Pod: pod}},
		{ObjectMeta: made("harmless", policyMade.Add(-time.Hour))},
	}}
	for name, tc := range map[string]struct{ missing, want string }{
		"all are there":        {want: "? 1 object named Secrets, ConfigMaps or claims before a policy checked it: function ns/old\n"},
		"a policy is missing":  {missing: "validatingadmissionpolicies/sharedcloud-functionrun-references", want: "✗ the ValidatingAdmissionPolicy sharedcloud-functionrun-references is missing"},
		"a binding is missing": {missing: "validatingadmissionpolicybindings/sharedcloud-function-references", want: "✗ the ValidatingAdmissionPolicyBinding sharedcloud-function-references is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeCluster(t)
			f.handle = func(w http.ResponseWriter, r *http.Request) bool {
				path, isPolicy := strings.CutPrefix(r.URL.Path, admission)
				switch {
				case r.URL.Path == "/version":
					reply(w, http.StatusOK, map[string]string{"major": "1", "minor": "37", "gitVersion": "v1.37.2"})
				case isPolicy && path != tc.missing:
					_, name, _ := strings.Cut(path, "/")
					kind := "ValidatingAdmissionPolicy"
					if strings.Contains(path, "bindings/") {
						kind += "Binding"
					}
					reply(w, http.StatusOK, admissionv1.ValidatingAdmissionPolicy{TypeMeta: metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: kind},
						ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(policyMade)}})
				case r.URL.Path == "/apis/sharedcloud.io/v1alpha1/functions":
					reply(w, http.StatusOK, functions)
				case r.URL.Path == "/apis/sharedcloud.io/v1alpha1/functionimages":
					reply(w, http.StatusOK, v1alpha1.FunctionImageList{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "FunctionImageList"}})
				case r.URL.Path == "/apis/sharedcloud.io/v1alpha1/functionruns":
					reply(w, http.StatusOK, v1alpha1.FunctionRunList{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "FunctionRunList"}})
				case r.URL.Path == "/apis/sharedcloud.io/v1alpha1":
					reply(w, http.StatusOK, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, APIResources: []metav1.APIResource{
						{Name: "functions"}, {Name: "functionimages"}, {Name: "functionruns"}}})
				default:
					return false
				}
				return true
			}
			t.Setenv("SHAREDCLOUD_URL", "")
			got := f.plugin(t, t.Context(), nil, "doctor")
			if !strings.Contains(got.stdout, tc.want) {
				t.Errorf("doctor said:\n%s%s\nwant %q", got.stdout, got.stderr, tc.want)
			}
		})
	}
}
