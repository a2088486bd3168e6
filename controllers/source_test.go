package controllers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// What lies in the folder of a module, wherever it is kept.
func TestTheSourceOfAFunction(t *testing.T) {
	configMap := func(data map[string]string, binary map[string][]byte) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "code", Namespace: "team"}, Data: data, BinaryData: binary}
	}
	all := v1alpha1.CodeSource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "code"}}
	key := v1alpha1.CodeSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "code", Key: "main.py"}}
	many := map[string]string{"handler.py": "x"}
	for i := range mostFiles + 1 {
		many[fmt.Sprintf("m%d.py", i)] = "x"
	}
	tests := []struct {
		name              string
		inline            map[string]v1alpha1.FileText
		configMap         *corev1.ConfigMap
		from              v1alpha1.CodeSource
		want              source
		wantReason, words string
	}{
		{name: "code alone", want: source{handler: []byte("CODE")}},
		{name: "code with files", inline: map[string]v1alpha1.FileText{"util.py": "A", "data.json": "{}"},
			want: source{handler: []byte("CODE"), beside: map[string][]byte{"util.py": []byte("A"), "data.json": []byte("{}")}}},
		{name: "a file with the name of the code", inline: map[string]v1alpha1.FileText{"handler.py": "A"}, wantReason: v1alpha1.ReasonInvalid,
			words: "spec.files has handler.py, which is the name of spec.code itself: give the file another name."},
		{name: "a file with the name of the runner", inline: map[string]v1alpha1.FileText{"runner.py": "A"}, wantReason: v1alpha1.ReasonInvalid,
			words: "spec.files has runner.py, a name that is the operator's own: give the file another name."},
		{name: "a file in a subfolder", inline: map[string]v1alpha1.FileText{"lib/util.py": "A"}, wantReason: v1alpha1.ReasonInvalid,
			words: `spec.files has the name "lib/util.py": names are made of letters, digits, '-', '_' and '.', and there are no subfolders.`},
		{name: "a file that would lie elsewhere", inline: map[string]v1alpha1.FileText{"..data": "A"}, wantReason: v1alpha1.ReasonInvalid, words: `spec.files has the name "..data"`},
		{name: "a file without a name", inline: map[string]v1alpha1.FileText{"": "A"}, wantReason: v1alpha1.ReasonInvalid, words: `spec.files has the name ""`},
		{name: "a key of a ConfigMap, whatever else that has", configMap: configMap(map[string]string{"main.py": "M", "runner.py": "R"}, nil), from: key,
			want: source{handler: []byte("M")}},
		{name: "a key that is not there", configMap: configMap(map[string]string{"other.py": "M"}, nil), from: key, wantReason: v1alpha1.ReasonConfigMapKeyMissing,
			words: `The ConfigMap "code" in the namespace team has no key "main.py": add it, or correct spec.codeFrom.configMapKeyRef.key.`},
		{name: "all of a ConfigMap", configMap: configMap(map[string]string{"handler.py": "H", "util.py": "U", "__init__.py": ""}, map[string][]byte{"table.bin": {0xff}}), from: all,
			want: source{handler: []byte("H"), beside: map[string][]byte{"util.py": []byte("U"), "__init__.py": {}, "table.bin": {0xff}}}},
		{name: "all of a ConfigMap that has nothing else", configMap: configMap(map[string]string{"handler.py": "H"}, nil), from: all,
			want: source{handler: []byte("H")}},
		{name: "all of a ConfigMap without the module", configMap: configMap(map[string]string{"main.py": "M"}, nil), from: all, wantReason: v1alpha1.ReasonConfigMapKeyMissing,
			words: `The ConfigMap "code" in the namespace team has no key "handler.py", the file that defines handler(event): add it, or name another ConfigMap in spec.codeFrom.configMapRef.name.`},
		{name: "all of a ConfigMap with an empty module", configMap: configMap(map[string]string{"handler.py": ""}, nil), from: all, wantReason: v1alpha1.ReasonInvalid,
			words: `The key "handler.py" of the ConfigMap "code" is empty`},
		{name: "all of a ConfigMap with a name of ours", configMap: configMap(map[string]string{"handler.py": "H", "revision.json": "{}"}, nil), from: all, wantReason: v1alpha1.ReasonInvalid,
			words: `The ConfigMap "code" has revision.json, a name that is the operator's own: give the file another name.`},
		{name: "all of a ConfigMap with more files than there may be", configMap: configMap(many, nil), from: all, wantReason: v1alpha1.ReasonInvalid,
			words: `The ConfigMap "code" has 65 files beside handler.py, and there may be 64: put those that rarely change into the image.`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			runtime, _ := testLookup("python311")
			var got source
			var wrong *finding
			if tc.configMap != nil {
				got, wrong = sourceIn(tc.configMap, tc.from, runtime)
			} else {
				code := "CODE"
				got, wrong = inlineSource(&v1alpha1.Function{Spec: v1alpha1.FunctionSpec{Code: &code, Files: tc.inline}}, runtime)
			}
			if tc.wantReason != "" {
				if wrong == nil || wrong.reason != tc.wantReason || !strings.Contains(wrong.message, tc.words) {
					t.Errorf("found %+v, want reason %s and the words %q", wrong, tc.wantReason, tc.words)
				}
				return
			}
			if wrong != nil {
				t.Fatalf("found %+v, want nothing", *wrong)
			}
			if len(got.beside) == 0 {
				got.beside = nil
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(source{})); diff != "" {
				t.Errorf("the source (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFilesBesideTheModuleArePartOfTheRevision(t *testing.T) {
	function, image := makeFunction("f").Obj(), makeImage("team", "python")
	runtime, _ := testLookup("python311")
	build := func(beside map[string][]byte) *corev1.ConfigMap {
		revision, err := revisionFor(function, source{[]byte("code"), beside}, runtime.Runner, settingsFor(function, image, runtime, "nvidia.com/gpu"))
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	alone, one := build(nil), build(map[string][]byte{"util.py": []byte("A"), "raw": {0xff}})
	if alone.Name == one.Name || build(map[string][]byte{"util.py": []byte("B"), "raw": {0xff}}).Name == one.Name ||
		build(map[string][]byte{"tool.py": []byte("A"), "raw": {0xff}}).Name == one.Name {
		t.Error("other files are the same revision")
	}
	if strings.Contains(alone.Data[revisionKey], "files") {
		t.Errorf("the revision of code alone, which was there before there were files, has settings with them: %s", alone.Data[revisionKey])
	}
	settings, err := settingsOf(one)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"raw", "util.py"}, settings.Files); diff != "" {
		t.Errorf("the files (-want +got):\n%s", diff)
	}
	if one.Data["util.py"] != "A" || string(one.BinaryData["raw"]) != "\xff" || one.Data["handler.py"] != "code" {
		t.Errorf("the revision holds %v and %v", one.Data, one.BinaryData)
	}
}
