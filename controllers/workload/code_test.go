package workload

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

func TestCode(t *testing.T) {
	configMap := func(data map[string]string, binary map[string][]byte) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "code", Namespace: "team"}, Data: data, BinaryData: binary}
	}
	all := v1alpha1.CodeSource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "code"}}
	key := v1alpha1.CodeSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "code", Key: "main.py"}}
	many := map[string]string{"handler.py": "x"}
	for i := range maxFiles + 1 {
		many[fmt.Sprintf("m%d.py", i)] = "x"
	}
	tests := []struct {
		name              string
		inline            map[string]v1alpha1.FileText
		configMap         *corev1.ConfigMap
		from              v1alpha1.CodeSource
		want              Code
		wantReason, words string
	}{
		{name: "code alone", want: Code{Handler: []byte("CODE")}},
		{name: "code with files", inline: map[string]v1alpha1.FileText{"util.py": "A", "data.json": "{}"},
			want: Code{Handler: []byte("CODE"), Files: map[string][]byte{"util.py": []byte("A"), "data.json": []byte("{}")}}},
		{name: "a file with the name of the code", inline: map[string]v1alpha1.FileText{"handler.py": "A"}, wantReason: v1alpha1.ReasonInvalid,
			words: "spec.files has handler.py, which is the name of spec.code itself: give the file another name."},
		{name: "a file with the name of the runner", inline: map[string]v1alpha1.FileText{"runner.py": "A"}, wantReason: v1alpha1.ReasonInvalid,
			words: "spec.files has runner.py, a name that is reserved for the operator: give the file another name."},
		{name: "a file in a subdirectory", inline: map[string]v1alpha1.FileText{"lib/util.py": "A"}, wantReason: v1alpha1.ReasonInvalid,
			words: `spec.files has the name "lib/util.py": names consist of letters, digits, '-', '_' and '.', and there are no subdirectories.`},
		{name: "a file outside the directory", inline: map[string]v1alpha1.FileText{"..data": "A"}, wantReason: v1alpha1.ReasonInvalid, words: `spec.files has the name "..data"`},
		{name: "a file without a name", inline: map[string]v1alpha1.FileText{"": "A"}, wantReason: v1alpha1.ReasonInvalid, words: `spec.files has the name ""`},
		{name: "a key of a ConfigMap with other keys", configMap: configMap(map[string]string{"main.py": "M", "runner.py": "R"}, nil), from: key,
			want: Code{Handler: []byte("M")}},
		{name: "a missing key", configMap: configMap(map[string]string{"other.py": "M"}, nil), from: key, wantReason: v1alpha1.ReasonConfigMapKeyMissing,
			words: `The ConfigMap "code" in the namespace team has no key "main.py": add it, or correct spec.codeFrom.configMapKeyRef.key.`},
		{name: "all of a ConfigMap", configMap: configMap(map[string]string{"handler.py": "H", "util.py": "U", "__init__.py": ""}, map[string][]byte{"table.bin": {0xff}}), from: all,
			want: Code{Handler: []byte("H"), Files: map[string][]byte{"util.py": []byte("U"), "__init__.py": {}, "table.bin": {0xff}}}},
		{name: "all of a ConfigMap with the module alone", configMap: configMap(map[string]string{"handler.py": "H"}, nil), from: all,
			want: Code{Handler: []byte("H")}},
		{name: "all of a ConfigMap without the module", configMap: configMap(map[string]string{"main.py": "M"}, nil), from: all, wantReason: v1alpha1.ReasonConfigMapKeyMissing,
			words: `The ConfigMap "code" in the namespace team has no key "handler.py", the file that defines handler(event): add it, or name another ConfigMap in spec.codeFrom.configMapRef.name.`},
		{name: "all of a ConfigMap with an empty module", configMap: configMap(map[string]string{"handler.py": ""}, nil), from: all, wantReason: v1alpha1.ReasonInvalid,
			words: `The key "handler.py" of the ConfigMap "code" is empty`},
		{name: "all of a ConfigMap with a reserved name", configMap: configMap(map[string]string{"handler.py": "H", "revision.json": "{}"}, nil), from: all, wantReason: v1alpha1.ReasonInvalid,
			words: `The ConfigMap "code" has revision.json, a name that is reserved for the operator: give the file another name.`},
		{name: "all of a ConfigMap with too many files", configMap: configMap(many, nil), from: all, wantReason: v1alpha1.ReasonInvalid,
			words: `The ConfigMap "code" has 65 files beside handler.py, more than the maximum of 64: move files that rarely change into the image.`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			runtime, _ := builders.Lookup("python311")
			var got Code
			var problem *Problem
			if tc.configMap != nil {
				got, problem = CodeIn(tc.configMap, tc.from, runtime)
			} else {
				code := "CODE"
				got, problem = InlineCode(&v1alpha1.Function{Spec: v1alpha1.FunctionSpec{Code: &code, Files: tc.inline}}, runtime)
			}
			if tc.wantReason != "" {
				if problem == nil || problem.Reason != tc.wantReason || !strings.Contains(problem.Message, tc.words) {
					t.Errorf("got %+v, want the reason %s and the words %q", problem, tc.wantReason, tc.words)
				}
				return
			}
			if problem != nil {
				t.Fatalf("got %+v, want no problem", *problem)
			}
			if len(got.Files) == 0 {
				got.Files = nil
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(Code{})); diff != "" {
				t.Errorf("the code (-want +got):\n%s", diff)
			}
		})
	}
}
