package cli

import (
	"net/http"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

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
		"created after the policy":                    {made: after},
		"created with the policy":                     {made: metav1.NewTime(policyMade)},
		"created before, without other information":   {made: before, want: true},
		"created before, its spec written after it":   {made: before, entries: []metav1.ManagedFieldsEntry{entry(before, "", `{"f:spec":{}}`), entry(after, "", `{"f:spec":{"f:code":{}}}`)}},
		"created before, its labels changed after it": {made: before, entries: []metav1.ManagedFieldsEntry{entry(before, "", `{"f:spec":{}}`), entry(after, "", `{"f:metadata":{"f:labels":{}}}`)}, want: true},
		"created before, its status written after it": {made: before, entries: []metav1.ManagedFieldsEntry{entry(after, "status", `{"f:spec":{}}`)}, want: true},
		"created before, with unreadable fields":      {made: before, entries: []metav1.ManagedFieldsEntry{entry(after, "", `{`)}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			object := &v1alpha1.Function{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: tc.made, ManagedFields: tc.entries}}
			if got := writtenBefore(object, policyMade); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// policyServer serves the shipped policies and bindings, and objects that name others.
type policyServer struct {
	// missing is a path that does not exist, forbidden one that the user may not read.
	missing, forbidden string
	changePolicy       func(p *admissionv1.ValidatingAdmissionPolicy)
	changeBinding      func(b *admissionv1.ValidatingAdmissionPolicyBinding)
}

func (s *policyServer) serve(t *testing.T, f *fakeCluster) {
	t.Helper()
	shipped, err := readShippedPolicies()
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]any{}
	for _, p := range shipped.policies {
		p.TypeMeta = metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: kindPolicy}
		p.CreationTimestamp = metav1.NewTime(policyMade)
		if s.changePolicy != nil {
			p.Spec = *p.Spec.DeepCopy()
			s.changePolicy(&p)
		}
		objects["validatingadmissionpolicies/"+p.Name] = p
	}
	for _, b := range shipped.bindings {
		b.TypeMeta = metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: kindPolicyBinding}
		b.CreationTimestamp = metav1.NewTime(policyMade)
		if s.changeBinding != nil {
			b.Spec = *b.Spec.DeepCopy()
			s.changeBinding(&b)
		}
		objects["validatingadmissionpolicybindings/"+b.Name] = b
	}
	made := func(name string, at time.Time) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: "ns", CreationTimestamp: metav1.NewTime(at)}
	}
	pod := &v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{{Name: "v", Secret: &v1alpha1.NamedSource{Name: "keys"}}}}
	functions := v1alpha1.FunctionList{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "FunctionList"}, Items: []v1alpha1.Function{
		{ObjectMeta: made("old", policyMade.Add(-time.Hour)), Spec: v1alpha1.FunctionSpec{Pod: pod}},
		{ObjectMeta: made("new", policyMade.Add(time.Hour)), Spec: v1alpha1.FunctionSpec{Pod: pod}},
		{ObjectMeta: made("harmless", policyMade.Add(-time.Hour))},
	}}
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		path, isPolicy := strings.CutPrefix(r.URL.Path, "/apis/admissionregistration.k8s.io/v1/")
		switch {
		case r.URL.Path == "/version":
			reply(w, http.StatusOK, map[string]string{"major": "1", "minor": "37", "gitVersion": "v1.37.2"})
		case isPolicy && s.forbidden != "" && strings.HasPrefix(path, s.forbidden):
			refuse(w, apierrors.NewForbidden(schema.GroupResource{Resource: "validatingadmissionpolicies"}, "", nil))
		case isPolicy && path != s.missing && objects[path] != nil:
			reply(w, http.StatusOK, objects[path])
		case isPolicy:
			resource, name, _ := strings.Cut(path, "/")
			refuse(w, apierrors.NewNotFound(schema.GroupResource{Resource: resource}, name))
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
}

const (
	allEnforced = "✓ the 9 admission policies are installed and enforced\n"
	olderObject = "? 1 object named Secrets, ConfigMaps or PersistentVolumeClaims before a policy checked that: function ns/old\n"
)

//security:attack tenant | a Function named a Secret before the policy existed, or a policy is missing, changed or not enforced | doctor lists it
func TestDoctorChecksTheAdmissionPolicies(t *testing.T) {
	const policies, bindings = "validatingadmissionpolicies/", "validatingadmissionpolicybindings/"
	changeOf := func(name string, change func(*admissionv1.ValidatingAdmissionPolicySpec)) func(*admissionv1.ValidatingAdmissionPolicy) {
		return func(p *admissionv1.ValidatingAdmissionPolicy) {
			if p.Name == name {
				change(&p.Spec)
			}
		}
	}
	bindingOf := func(name string, change func(*admissionv1.ValidatingAdmissionPolicyBindingSpec)) func(*admissionv1.ValidatingAdmissionPolicyBinding) {
		return func(b *admissionv1.ValidatingAdmissionPolicyBinding) {
			if b.Name == name {
				change(&b.Spec)
			}
		}
	}
	audit := func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) {
		s.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit}
	}
	for name, tc := range map[string]struct {
		server    policyServer
		want      []string
		wantNot   string
		wantError bool
	}{
		"all are enforced":                      {want: []string{allEnforced, olderObject}},
		"a policy for references is missing":    {server: policyServer{missing: policies + v1alpha1.PolicyFunctionRunReferences}, want: []string{"✗ the ValidatingAdmissionPolicy sharedcloud-functionrun-references is missing\n    Functions and runs that name a Secret"}, wantNot: olderObject, wantError: true},
		"a binding for references is missing":   {server: policyServer{missing: bindings + v1alpha1.PolicyFunctionReferences}, want: []string{"✗ the ValidatingAdmissionPolicyBinding sharedcloud-function-references is missing"}, wantNot: olderObject, wantError: true},
		"the policy for inputs is missing":      {server: policyServer{missing: policies + "functionrun-parameters"}, want: []string{"? the ValidatingAdmissionPolicy functionrun-parameters is missing\n    Runs with invalid inputs are created", olderObject}},
		"the binding for inputs is missing":     {server: policyServer{missing: bindings + "functionrun-parameters"}, want: []string{"? the ValidatingAdmissionPolicyBinding functionrun-parameters is missing"}},
		"the policy for identity is missing":    {server: policyServer{missing: policies + "sharedcloud-identity"}, want: []string{"✗ the ValidatingAdmissionPolicy sharedcloud-identity is missing\n    A user can change the label", olderObject}, wantError: true},
		"the policy for tenants is missing":     {server: policyServer{missing: policies + "sharedcloud-tenants"}, want: []string{"✗ the ValidatingAdmissionPolicy sharedcloud-tenants is missing\n    Every user who may change a namespace can change its tenants and its storage quotas."}, wantError: true},
		"one binding for ConfigMaps is missing": {server: policyServer{missing: bindings + "sharedcloud-operator-configmaps-trust"}, want: []string{"✗ the ValidatingAdmissionPolicyBinding sharedcloud-operator-configmaps-trust is missing\n    Every user who may write ConfigMaps"}, wantError: true},
		"the policy for Jobs is missing":        {server: policyServer{missing: policies + "sharedcloud-worker-jobs"}, want: []string{"✗ the ValidatingAdmissionPolicy sharedcloud-worker-jobs is missing"}, wantError: true},
		"a binding only audits":                 {server: policyServer{changeBinding: bindingOf("sharedcloud-worker-pods", audit)}, want: []string{"✗ the ValidatingAdmissionPolicyBinding sharedcloud-worker-pods does not deny the requests that the policy sharedcloud-worker-pods rejects"}, wantError: true},
		"a binding is for another policy": {server: policyServer{changeBinding: bindingOf("sharedcloud-tenants", func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) { s.PolicyName = "other" })},
			want: []string{"✗ the ValidatingAdmissionPolicyBinding sharedcloud-tenants does not deny"}, wantError: true},
		"a binding also warns": {server: policyServer{changeBinding: func(b *admissionv1.ValidatingAdmissionPolicyBinding) {
			b.Spec.ValidationActions = append(b.Spec.ValidationActions, admissionv1.Audit)
		}}, want: []string{allEnforced}},
		"a binding excludes objects": {server: policyServer{changeBinding: bindingOf("sharedcloud-identity", func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) {
			s.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}
		})}, want: []string{"? these admission policies differ from those of this plugin (version dev): ValidatingAdmissionPolicyBinding sharedcloud-identity\n", olderObject}, wantNot: allEnforced},
		"a policy ignores failures": {server: policyServer{changePolicy: changeOf("sharedcloud-operator-configmaps", func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.FailurePolicy = ptr.To(admissionv1.Ignore) })},
			want: []string{"? these admission policies differ from those of this plugin (version dev): ValidatingAdmissionPolicy sharedcloud-operator-configmaps\n"}, wantNot: allEnforced},
		"the user may not read policies": {server: policyServer{forbidden: policies}, want: []string{"? you may not read the admission policies\n"}, wantNot: allEnforced},
		"the user may not read bindings": {server: policyServer{forbidden: bindings}, want: []string{"? you may not read the bindings of the admission policies\n"}, wantNot: allEnforced},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeCluster(t)
			tc.server.serve(t, f)
			c, err := connectTo(t, f)
			if err != nil {
				t.Fatal(err)
			}
			var report strings.Builder
			failed := false
			for _, result := range (&doctor{cluster: c}).policies(t.Context()) {
				report.WriteString(result.String() + "\n")
				failed = failed || result.state == stateFailed
			}
			for _, want := range tc.want {
				if !strings.Contains(report.String(), want) {
					t.Errorf("got:\n%s\nwant %q", &report, want)
				}
			}
			if tc.wantNot != "" && strings.Contains(report.String(), tc.wantNot) || failed != tc.wantError {
				t.Errorf("got:\n%s\nwithout %q, failed: %v", &report, tc.wantNot, tc.wantError)
			}
		})
	}
}

func TestDoctorPrintsTheAdmissionPolicies(t *testing.T) {
	f := newFakeCluster(t)
	(&policyServer{}).serve(t, f)
	t.Setenv("SHAREDCLOUD_URL", "")
	if got := f.plugin(t, t.Context(), nil, "doctor"); !strings.Contains(got.stdout, allEnforced+olderObject) {
		t.Errorf("got:\n%s%s", got.stdout, got.stderr)
	}
}

// A new policy requires a consequence.
func TestEveryShippedPolicyHasABindingAndAConsequence(t *testing.T) {
	shipped, err := readShippedPolicies()
	if err != nil {
		t.Fatal(err)
	}
	bound := map[string]bool{}
	for _, b := range shipped.bindings {
		bound[b.Spec.PolicyName] = true
		if !denies(&b, &b) {
			t.Errorf("the binding %s does not deny", b.Name)
		}
	}
	names := map[string]bool{}
	for _, p := range shipped.policies {
		names[p.Name] = true
		if !bound[p.Name] || policyConsequences[p.Name] == "" {
			t.Errorf("the policy %s: bound %v, consequence %q", p.Name, bound[p.Name], policyConsequences[p.Name])
		}
	}
	for name := range policyConsequences {
		if !names[name] {
			t.Errorf("there is no policy %s", name)
		}
	}
}
