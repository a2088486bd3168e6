// Package poison stores custom resources that do not fit their types, for the integration specs of both components.
//
//	objects.go   the objects
//	relaxed.go   stores them through the Kubernetes API, while the definitions accept any object
//	etcd.go      stores them in etcd, without the Kubernetes API
//
// It contains what both suites share. It must not contain what a component has to do about such an object.
package poison

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Kinds are the kinds of the custom resources.
var Kinds = []string{"Function", "FunctionImage", "FunctionRun"}

// Object is a stored custom resource.
type Object struct {
	Kind, Name string
	// Members are its members besides apiVersion, kind and metadata, as JSON text.
	Members string
	// Metadata are additional members of its metadata, as JSON text. Only Put stores them.
	Metadata string
	// Decodes: kube-apiserver corrects the object when it reads it from etcd, or the types can represent it.
	Decodes bool
}

// Resource returns the plural of the kind.
func (o Object) Resource() string { return strings.ToLower(o.Kind) + "s" }

// Untyped returns an object with only the kind and the name.
func (o Object) Untyped(namespace string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(o.Kind))
	object.SetNamespace(namespace)
	object.SetName(o.Name)
	return object
}

// Deep returns a JSON array with the given nesting.
func Deep(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

// validSpec has valid specs without their last bracket.
var validSpec = map[string]string{
	"Function":      `"spec":{"runtime":"python311","image":"python","code":"def handler(event): pass"`,
	"FunctionImage": `"spec":{"registryPath":"example/python:1","runtime":"python311"`,
	"FunctionRun":   `"spec":{"functionRef":{"name":"healthy"},"parametersLiteral":"((1,),)"`,
}

// deepest is the maximum nesting of an object's JSON: decoders refuse 10,001 levels. The object and its spec are two of them.
const deepest = 9_999

// InEtcd returns objects of every kind that validation always refuses, and that kube-apiserver serves. Objects that it cannot serve make every
// list of the kind fail ("StorageError: corrupt object") and are not included: bytes that are not JSON, metadata that is not an object,
// numbers that exceed a 64-bit float (1e400), and more than 10,000 levels.
func InEtcd() []Object {
	var all []Object
	for _, kind := range Kinds {
		spec := validSpec[kind]
		for _, o := range []Object{
			{Name: "spec-string", Members: `"spec":"x"`},
			{Name: "spec-list", Members: `"spec":[[1],{"a":2}]`},
			{Name: "spec-number", Members: `"spec":-1e308`},
			{Name: "spec-null", Members: `"spec":null`, Decodes: true},
			{Name: "spec-none", Members: `"other":1`, Decodes: true},
			{Name: "spec-deep", Members: `"spec":{"description":` + Deep(deepest-2) + `,"runtime":` + Deep(deepest-2) + `,"functionRef":` + Deep(deepest-2) + `}`},
			{Name: "spec-large", Members: `"spec":["` + strings.Repeat("x", 1_300_000) + `"]`},
			{Name: "status-string", Members: spec + `},"status":"x"`},
			{Name: "status-number", Members: spec + `},"status":99999999999999999999999`},
			{Name: "status-deep", Members: spec + `},"status":{"conditions":` + Deep(deepest-2) + `}`},
			{Name: "conditions-object", Members: spec + `},"status":{"conditions":{"type":"Ready"}}`},
			{Name: "condition-time", Members: spec + `},"status":{"conditions":[{"type":"Ready","status":"True","reason":"X","message":"x","lastTransitionTime":"soon"}]}`},
			{Name: "metadata-types", Members: spec + `}`, Metadata: `"annotations":{"a":5,"b":{"c":[1]},"sharedcloud.io/created":7},"labels":["a"],"finalizers":"x","ownerReferences":5,"generation":"x"`, Decodes: true},
			{Name: "metadata-name", Members: spec + `}`, Metadata: `"name":5`, Decodes: true},
			{Name: "metadata-namespace", Members: spec + `}`, Metadata: `"namespace":"other"`, Decodes: true},
			{Name: "metadata-uid", Members: spec + `}`, Metadata: `"uid":5`, Decodes: true},
			{Name: "metadata-uid-2", Members: spec + `}`, Metadata: `"uid":[]`, Decodes: true},
			{Name: "metadata-year", Members: spec + `}`, Metadata: `"creationTimestamp":"0000-01-01T00:00:00Z"`, Decodes: true},
			{Name: "metadata-deleted", Members: spec + `}`, Metadata: `"deletionTimestamp":"0000-01-01T00:00:00Z","deletionGracePeriodSeconds":1e30`, Decodes: true},
			{Name: "metadata-large", Members: spec + `}`, Metadata: `"annotations":{"a":"` + strings.Repeat("x", 1_000_000) + `"}`, Decodes: true},
			{Name: "metadata-managed", Members: spec + `}`, Metadata: `"managedFields":[5]`, Decodes: true},
			{Name: "metadata-deep", Members: spec + `}`, Metadata: `"annotations":{"a":` + Deep(deepest-3) + `}`, Decodes: true},
			{Name: "surrogate", Members: spec + `,"name":"\ud800","description":"\udfff\ud800"}`, Decodes: true},
			{Name: "bytes", Members: spec + ",\"name\":\"\xff\xfe\xc0\x80\",\"description\":\"\xed\xa0\x80\"}", Decodes: true},
			{Name: "twice", Members: `"spec":{"runtime":1},` + spec + `},"spec":[1]`},
		} {
			o.Kind = kind
			all = append(all, o)
		}
	}
	for name, resources := range map[string]string{
		"memory-fraction": `{"limits":{"memory":"1e1.5"}}`,
		"memory-giant":    `{"limits":{"memory":"1e2147483646"},"requests":{"memory":"123456789.123456789"}}`,
		"memory-tiny":     `{"requests":{"memory":"1e-2147483646"}}`,
		"memory-number":   `{"requests":{"memory":1e300}}`,
	} {
		all = append(all, Object{Kind: "Function", Name: name, Members: validSpec["Function"] + `,"pod":{"resources":` + resources + `}}`})
	}
	for name, members := range map[string]string{
		"run-integer-large": validSpec["FunctionRun"] + `,"ttlSecondsAfterFinished":3000000000}`,
		"run-integer-giant": validSpec["FunctionRun"] + `,"workers":99999999999999999999999}`,
		"run-inputs":        `"spec":{"functionRef":{"name":"healthy"},"parameters":[[1],{"a":1},5]}`,
		"run-progress":      validSpec["FunctionRun"] + `},"status":{"progress":{"total":1e30,"failedIndexes":5}}`,
		"run-revision":      validSpec["FunctionRun"] + `},"status":{"revision":["healthy"],"job":{"uid":7}}`,
	} {
		all = append(all, Object{Kind: "FunctionRun", Name: name, Members: members})
	}
	return all
}

// Large returns objects of every kind that do not fit their types: per kind, some that are nearly as large as etcd accepts, and one with many
// values. kept is the size of their metadata, which the components cache.
func Large(each int) (all []Object, kept int) {
	text, annotation := strings.Repeat("x", 1_200_000), strings.Repeat("y", 50_000)
	for _, kind := range Kinds {
		for i := range each {
			all = append(all, Object{Kind: kind, Name: fmt.Sprintf("large-%d", i), Members: `"spec":["` + text + `"]`, Metadata: `"annotations":{"a":"` + annotation + `"}`})
			kept += len(annotation)
		}
		all = append(all, Object{Kind: kind, Name: "many", Members: `"spec":[` + strings.Repeat("{},", 30_000) + `1]`})
	}
	return all, kept
}

// stored returns the object as it is stored in etcd.
func (o Object) stored(namespace, uid string) string {
	metadata := o.Metadata
	if metadata != "" {
		metadata = "," + metadata
	}
	return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"namespace":%q,"uid":%q,"creationTimestamp":"2026-01-02T03:04:05Z"%s},%s}`,
		v1alpha1.GroupVersion, o.Kind, o.Name, namespace, uid, metadata, o.Members)
}
