package v1alpha1

import (
	"fmt"
	"reflect"
	"strings"
)

// ReferenceKind is the kind of an object that a spec names in its own namespace.
type ReferenceKind struct {
	// Kind and Resource are its names in the core API group.
	Kind, Resource string
}

// The kinds of objects that specs name.
var (
	KindSecret                = ReferenceKind{"Secret", "secrets"}
	KindConfigMap             = ReferenceKind{"ConfigMap", "configmaps"}
	KindPersistentVolumeClaim = ReferenceKind{"PersistentVolumeClaim", "persistentvolumeclaims"}

	// ReferenceKinds are all of them.
	ReferenceKinds = []ReferenceKind{KindSecret, KindConfigMap, KindPersistentVolumeClaim}
)

// ReferenceField is a field by which an object names another one of its namespace.
type ReferenceField struct {
	// Path leads to the name: JSON names from the top of the object; a step that ends with [] is a list.
	Path string
	Kind ReferenceKind
}

// The fields by which a Function, a FunctionRun and a FunctionImage name Secrets, ConfigMaps and PersistentVolumeClaims.
//
// This is the only list. The ValidatingAdmissionPolicies in config/policy are generated from it, and the API server asks
// its SubjectAccessReviews by it. A test fails when a spec has a string that is neither here nor known to name nothing.
var (
	FunctionReferences = []ReferenceField{
		{"spec.codeFrom.configMapKeyRef.name", KindConfigMap},
		{"spec.codeFrom.configMapRef.name", KindConfigMap},
		{"spec.pod.env[].valueFrom.configMapKeyRef.name", KindConfigMap},
		{"spec.pod.env[].valueFrom.secretKeyRef.name", KindSecret},
		{"spec.pod.volumes[].configMap.name", KindConfigMap},
		{"spec.pod.volumes[].persistentVolumeClaim.claimName", KindPersistentVolumeClaim},
		{"spec.pod.volumes[].secret.name", KindSecret},
	}
	FunctionRunReferences = []ReferenceField{
		{"spec.parametersFrom.configMapKeyRef.name", KindConfigMap},
	}
	FunctionImageReferences = []ReferenceField{
		{"spec.imagePullSecrets[]", KindSecret},
	}
)

// MaxReferences is how many different objects a spec may name that its writer may only get by name. Each costs one check of
// the API server's authorizer, and a policy may spend so many.
const MaxReferences = 20

// VerbSkipReferenceCheck is the verb on functions of sharedcloud.io whose holders are exempt from the policies that check
// references: the API server, which asks SubjectAccessReviews for its callers before it writes.
const VerbSkipReferenceCheck = "skip-reference-check"

// The policies that check references. Their bindings have the same names.
const (
	PolicyFunctionReferences      = "sharedcloud-function-references"
	PolicyFunctionRunReferences   = "sharedcloud-functionrun-references"
	PolicyFunctionImageReferences = "sharedcloud-functionimage-references"
)

// ReferencePolicies are the names of all of them.
var ReferencePolicies = []string{PolicyFunctionReferences, PolicyFunctionRunReferences, PolicyFunctionImageReferences}

// Reference is an object that a spec names.
type Reference struct {
	ReferenceKind
	Name string
	// Field is where it is named, such as spec.pod.env[2].valueFrom.secretKeyRef.name.
	Field string
}

// References lists what the Function names, in the order of FunctionReferences.
func (f *Function) References() []Reference { return referencesIn(f, FunctionReferences) }

// References lists what the run names itself. What its Function names was checked when the Function was written.
func (r *FunctionRun) References() []Reference { return referencesIn(r, FunctionRunReferences) }

// References lists what the image names.
func (i *FunctionImage) References() []Reference { return referencesIn(i, FunctionImageReferences) }

// References lists what the settings of a pod name: the part of FunctionReferences below spec.pod.
func (p *PodSettings) References() []Reference {
	return (&Function{Spec: FunctionSpec{Pod: p}}).References()
}

func referencesIn(object any, fields []ReferenceField) []Reference {
	var found []Reference
	for _, field := range fields {
		collectNames(reflect.ValueOf(object), strings.Split(field.Path, "."), "", func(name, at string) {
			found = append(found, Reference{ReferenceKind: field.Kind, Name: name, Field: at})
		})
	}
	return found
}

// collectNames follows the steps of a path through a value, and yields each name at its end. An empty name names nothing.
func collectNames(value reflect.Value, steps []string, at string, yield func(name, at string)) {
	for value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return
		}
		value = value.Elem()
	}
	if len(steps) == 0 {
		if name := value.String(); name != "" {
			yield(name, at)
		}
		return
	}
	step, isList := strings.CutSuffix(steps[0], "[]")
	field := fieldByJSON(value, step)
	at = strings.TrimPrefix(at+"."+step, ".")
	if !isList {
		collectNames(field, steps[1:], at, yield)
		return
	}
	for i := range field.Len() {
		collectNames(field.Index(i), steps[1:], fmt.Sprintf("%s[%d]", at, i), yield)
	}
}

// fieldByJSON finds a field of a struct by its JSON name, also in structs that are embedded. That a path of the list above
// has no field is a mistake in the program, and a test finds it.
func fieldByJSON(value reflect.Value, name string) reflect.Value {
	for i := range value.NumField() {
		field := value.Type().Field(i)
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag == name {
			return value.Field(i)
		}
		if tag == "" && field.Anonymous && field.Type.Kind() == reflect.Struct {
			if inner := fieldByJSON(value.Field(i), name); inner.IsValid() {
				return inner
			}
		}
	}
	return reflect.Value{}
}
