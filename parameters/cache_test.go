package parameters

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func runWith(t *testing.T, spec string, annotations map[string]string) *v1alpha1.FunctionRun {
	t.Helper()
	return &v1alpha1.FunctionRun{
		ObjectMeta: metav1.ObjectMeta{
			Name: "r", UID: "u", Annotations: annotations,
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		},
		Spec: *specOf(t, spec),
	}
}

func TestDropInputs(t *testing.T) {
	tests := map[string]struct {
		spec        string
		annotations map[string]string
		want        map[string]string
	}{
		"JSON inputs become their number":      {`{parameters: [[1], [2]]}`, nil, map[string]string{v1alpha1.AnnotationInputCount: "2"}},
		"a literal becomes its number":         {`{parametersLiteral: "((1,),)"}`, nil, map[string]string{v1alpha1.AnnotationInputCount: "1"}},
		"the reason why inputs cannot be read": {`{parametersLiteral: "((1)"}`, nil, map[string]string{v1alpha1.AnnotationParametersError: "spec.parametersLiteral, line 1, column 5: the text ends, and the ( at line 1, column 1 is not closed: close it with )"}},
		"a run without inputs":                 {`{}`, nil, map[string]string{v1alpha1.AnnotationParametersError: "none of spec.parameters, spec.parametersLiteral and spec.parametersFrom is set: set exactly one of them"}},
		"other annotations are kept": {
			`{parameters: [[1]]}`, map[string]string{"a": "b"},
			map[string]string{"a": "b", v1alpha1.AnnotationInputCount: "1"},
		},
		"kubectl's copy of the inputs is removed": {
			`{parameters: [[1]]}`, map[string]string{corev1.LastAppliedConfigAnnotation: "{…}"},
			map[string]string{v1alpha1.AnnotationInputCount: "1"},
		},
		"forged annotations are ignored": {
			`{parameters: [[1]]}`, map[string]string{v1alpha1.AnnotationInputCount: "1000000", v1alpha1.AnnotationParametersError: "x"},
			map[string]string{v1alpha1.AnnotationInputCount: "1"},
		},
		"forged annotations are ignored if the inputs cannot be read": {
			`{parameters: []}`, map[string]string{v1alpha1.AnnotationInputCount: "1000000"},
			map[string]string{v1alpha1.AnnotationParametersError: "spec.parameters has no inputs, and a run needs at least one: use [[]] or ((),) for a single call without values"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			run := runWith(t, tc.spec, tc.annotations)
			run.Spec.FunctionRef.Name = "f"
			want := &v1alpha1.FunctionRun{
				ObjectMeta: metav1.ObjectMeta{Name: "r", UID: "u", Annotations: tc.want},
				Spec:       v1alpha1.FunctionRunSpec{FunctionRef: v1alpha1.FunctionReference{Name: "f"}},
			}
			for _, pass := range []string{"first", "second"} {
				got, err := DropInputs(run)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("after the %s pass (-want +got):\n%s", pass, diff)
				}
			}
		})
	}
}

func TestDropInputsLeavesOtherObjectsAlone(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	for name, obj := range map[string]any{
		"nil":       nil,
		"a nil run": (*v1alpha1.FunctionRun)(nil),
		"a pod":     pod,
		"a tombstone with a run in it": cache.DeletedFinalStateUnknown{
			Key: "ns/r", Obj: &v1alpha1.FunctionRun{Spec: v1alpha1.FunctionRunSpec{ParametersLiteral: ptr.To("((")}},
		},
		"a string": "x",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DropInputs(obj)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(obj, got); diff != "" {
				t.Errorf("object (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCachedCountIsTheSameBeforeAndAfterDropping(t *testing.T) {
	for name, spec := range map[string]string{
		"JSON":         `{parameters: [[1], [2]]}`,
		"a literal":    `{parametersLiteral: "((1,), (2,), (3,))"}`,
		"no input":     `{parametersLiteral: "()"}`,
		"a bad one":    `{parametersLiteral: "((1)"}`,
		"none at all":  `{}`,
		"both of them": `{parameters: [[1]], parametersLiteral: "((1,),)"}`,
	} {
		t.Run(name, func(t *testing.T) {
			run := runWith(t, spec, nil)
			wantCount, wantErr := Count(&run.Spec)
			check := func(when string) {
				t.Helper()
				count, err := CachedCount(run)
				if count != wantCount || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
					t.Errorf("%s: got %d, %v, want %d, %v", when, count, err, wantCount, wantErr)
				}
			}
			check("before")
			if _, err := DropInputs(run); err != nil {
				t.Fatal(err)
			}
			check("after")
		})
	}
}

func TestCachedCountRejectsAForgedNumber(t *testing.T) {
	for _, value := range []string{"", "0", "-1", "many", "99999999999999999999"} {
		run := &v1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationInputCount: value}}}
		if count, err := CachedCount(run); err == nil || !strings.Contains(err.Error(), "remove it from the run") {
			t.Errorf("annotation %q: got %d, %v, want the hint to remove it", value, count, err)
		}
	}
}
