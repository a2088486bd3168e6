package v1alpha1

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// noReference lists the strings of specs that do not reference an object that the writer must be allowed to get, and the reason.
var noReference = map[string]string{
	"spec.name":                                               "text",
	"spec.runtime":                                            "text",
	"spec.code":                                               "text",
	"spec.files[]":                                            "text",
	"spec.description":                                        "text",
	"spec.tag":                                                "text",
	"spec.parametersLiteral":                                  "text",
	"spec.image":                                              "an image of the catalogue or of the namespace: whose writer was checked",
	"spec.registryPath":                                       "nothing of the cluster",
	"spec.imagePullPolicy":                                    "an enumeration",
	"spec.functionRef.name":                                   "a Function: whose writer was checked",
	"spec.gpuProducts[]":                                      "values of a label of nodes",
	"spec.gpuResource":                                        "a resource of nodes",
	"spec.nonRetryableErrors[]":                               "names of exceptions",
	"spec.priorityClassName":                                  "an allow-list of the administrator's",
	"spec.pod.runtimeClassName":                               "an allow-list of the administrator's",
	"spec.pod.nodeSelector[]":                                 "labels of nodes",
	"spec.pod.volumes[].name":                                 "a name inside the pod",
	"spec.pod.env[].name":                                     "a name inside the pod",
	"spec.pod.env[].value":                                    "text",
	"spec.parametersFrom.format":                              "an enumeration",
	"spec.parametersFrom.configMapKeyRef.key":                 "a key of a ConfigMap that is a reference",
	"spec.parametersFrom.upload.digest":                       "an upload of the same namespace, by its content",
	"spec.codeFrom.configMapKeyRef.key":                       "a key of a ConfigMap that is a reference",
	"spec.pod.volumeMounts[].name":                            "a name inside the pod",
	"spec.pod.volumeMounts[].mountPath":                       "a path inside the pod",
	"spec.pod.volumeMounts[].subPath":                         "a path inside a volume",
	"spec.pod.volumes[].emptyDir.medium":                      "an enumeration",
	"spec.pod.env[].valueFrom.configMapKeyRef.key":            "a key of a ConfigMap that is a reference",
	"spec.pod.env[].valueFrom.secretKeyRef.key":               "a key of a Secret that is a reference",
	"spec.pod.env[].valueFrom.fieldRef.apiVersion":            "a field of the pod itself",
	"spec.pod.env[].valueFrom.fieldRef.fieldPath":             "a field of the pod itself",
	"spec.pod.env[].valueFrom.resourceFieldRef.containerName": "the pod itself",
	"spec.pod.env[].valueFrom.resourceFieldRef.resource":      "the pod itself",
	"spec.pod.env[].valueFrom.fileKeyRef.volumeName":          "a volume of the pod itself",
	"spec.pod.env[].valueFrom.fileKeyRef.path":                "a path inside a volume of the pod",
	"spec.pod.env[].valueFrom.fileKeyRef.key":                 "a key of a file inside a volume of the pod",
	"spec.pod.tolerations[].key":                              "taints of nodes",
	"spec.pod.tolerations[].operator":                         "an enumeration",
	"spec.pod.tolerations[].value":                            "taints of nodes",
	"spec.pod.tolerations[].effect":                           "an enumeration",
}

// stringsIn lists the paths of all strings in a type, in the form of ReferenceField.Path.
func stringsIn(t reflect.Type, at string, yield func(path string)) {
	if t == reflect.TypeFor[Quantity]() {
		return // a number, though its format is a string
	}
	switch t.Kind() {
	case reflect.Pointer:
		stringsIn(t.Elem(), at, yield)
	case reflect.Slice, reflect.Map:
		if t.Elem().Kind() != reflect.Uint8 {
			stringsIn(t.Elem(), at+"[]", yield)
		}
	case reflect.String:
		yield(at)
	case reflect.Struct:
		for i := range t.NumField() {
			field := t.Field(i)
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			switch {
			case name == "-" || !field.IsExported():
			case strings.Contains(options, "inline") || name == "":
				stringsIn(field.Type, at, yield)
			default:
				stringsIn(field.Type, at+"."+name, yield)
			}
		}
	}
}

//security:attack tenant | a new field of the pod settings names a Secret that no policy and no SubjectAccessReview knows of | a test of the types fails until the field is in the one list of references
func TestEveryStringOfASpecIsAReferenceOrKnownNotToBe(t *testing.T) {
	seen := map[string]bool{}
	for kind, tc := range map[string]struct {
		spec   reflect.Type
		fields []ReferenceField
	}{
		"Function":      {reflect.TypeFor[FunctionSpec](), FunctionReferences},
		"FunctionRun":   {reflect.TypeFor[FunctionRunSpec](), FunctionRunReferences},
		"FunctionImage": {reflect.TypeFor[FunctionImageSpec](), FunctionImageReferences},
	} {
		references := map[string]bool{}
		for _, field := range tc.fields {
			references[field.Path] = true
		}
		stringsIn(tc.spec, "spec", func(path string) {
			_, known := noReference[path]
			seen[path] = true
			if references[path] == known {
				t.Errorf("%s: %s must be either in the list of references (references.go) or, with a reason, in noReference", kind, path)
			}
			delete(references, path)
		})
		for path := range references {
			t.Errorf("%s: %s is in the list of references, but the type has no such string", kind, path)
		}
	}
	for path := range noReference {
		if !seen[path] {
			t.Errorf("%s is in noReference, but no type has such a string: delete it", path)
		}
	}
}

func TestReferencesAreListedWithTheirFields(t *testing.T) {
	function := &Function{Spec: FunctionSpec{
		CodeFrom: &CodeSource{ConfigMapRef: &ConfigMapRef{Name: "code"}},
		Pod: &PodSettings{
			Volumes: []Volume{
				{Name: "scratch", EmptyDir: &EmptyDir{}},
				{Name: "s", Secret: &NamedSource{Name: "keys"}},
				{Name: "c", ConfigMap: &NamedSource{Name: "config"}},
				{Name: "p", PersistentVolumeClaim: &ClaimSource{ClaimName: "models"}},
			},
		},
	}}
	function.Spec.Pod.Env = append(function.Spec.Pod.Env, EnvVar{Name: "PLAIN", Value: "x"}, EnvVar{Name: "S"}, EnvVar{Name: "C"}, EnvVar{Name: "NAMELESS"})
	function.Spec.Pod.Env[1].ValueFrom = &EnvVarSource{SecretKeyRef: &SecretKeySelector{Name: "token"}}
	function.Spec.Pod.Env[2].ValueFrom = &EnvVarSource{ConfigMapKeyRef: &ConfigMapKeySelector{Name: "level"}}
	function.Spec.Pod.Env[3].ValueFrom = &EnvVarSource{SecretKeyRef: &SecretKeySelector{}}
	want := []Reference{
		{KindConfigMap, "code", "spec.codeFrom.configMapRef.name"},
		{KindConfigMap, "level", "spec.pod.env[2].valueFrom.configMapKeyRef.name"},
		{KindSecret, "token", "spec.pod.env[1].valueFrom.secretKeyRef.name"},
		{KindConfigMap, "config", "spec.pod.volumes[2].configMap.name"},
		{KindPersistentVolumeClaim, "models", "spec.pod.volumes[3].persistentVolumeClaim.claimName"},
		{KindSecret, "keys", "spec.pod.volumes[1].secret.name"},
	}
	if diff := cmp.Diff(want, function.References()); diff != "" {
		t.Errorf("references of the Function (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[1:], function.Spec.Pod.References()); diff != "" {
		t.Errorf("references of its pod (-want +got):\n%s", diff)
	}
	run := &FunctionRun{Spec: FunctionRunSpec{ParametersFrom: &ParametersSource{ConfigMapKeyRef: &ConfigMapKeyRef{Name: "inputs"}}}}
	if diff := cmp.Diff([]Reference{{KindConfigMap, "inputs", "spec.parametersFrom.configMapKeyRef.name"}}, run.References()); diff != "" {
		t.Errorf("references of the run (-want +got):\n%s", diff)
	}
	image := &FunctionImage{Spec: FunctionImageSpec{ImagePullSecrets: []string{"a", "b"}}}
	if diff := cmp.Diff([]Reference{{KindSecret, "a", "spec.imagePullSecrets[0]"}, {KindSecret, "b", "spec.imagePullSecrets[1]"}}, image.References()); diff != "" {
		t.Errorf("references of the image (-want +got):\n%s", diff)
	}
	for _, empty := range [][]Reference{(&Function{}).References(), (&FunctionRun{}).References(), (&FunctionImage{}).References(), (*PodSettings)(nil).References()} {
		if len(empty) != 0 {
			t.Errorf("an empty object references %v", empty)
		}
	}
}
