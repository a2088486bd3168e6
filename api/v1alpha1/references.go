package v1alpha1

import (
	"fmt"
	"reflect"
	"strings"
)

// ReferenceKind is the kind of an object that a spec references in its own namespace.
type ReferenceKind struct {
	// Kind and Resource are the names of the kind in the core API group.
	Kind, Resource string
}

// The kinds of objects that specs can reference.
var (
	KindSecret                = ReferenceKind{"Secret", "secrets"}
	KindConfigMap             = ReferenceKind{"ConfigMap", "configmaps"}
	KindPersistentVolumeClaim = ReferenceKind{"PersistentVolumeClaim", "persistentvolumeclaims"}

	// ReferenceKinds lists all of them.
	ReferenceKinds = []ReferenceKind{KindSecret, KindConfigMap, KindPersistentVolumeClaim}
)

// ReferenceField is a field in which an object references another object in its namespace.
type ReferenceField struct {
	// Path is the path of the field: JSON names from the root of the object. A step that ends with [] is a list.
	Path string
	Kind ReferenceKind
}

// The fields in which a Function, a FunctionRun and a FunctionImage reference Secrets, ConfigMaps and PersistentVolumeClaims.
//
// These lists are the single source: the ValidatingAdmissionPolicies in config/policy are generated from them, and the API
// server uses them for its SubjectAccessReviews. A test fails if a spec has a string field that is neither listed here nor
// known not to be a reference.
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

// MaxReferences is the maximum number of different objects that a spec may reference if its author may get them only by name.
// Each costs one check of the API server's authorizer, and the cost limit of a policy allows this many.
const MaxReferences = 20

// VerbSkipReferenceCheck is the verb on functions of sharedcloud.io that exempts a user from the policies that check references.
// The API server has it, because it checks its callers with SubjectAccessReviews before it writes.
const VerbSkipReferenceCheck = "skip-reference-check"

// The names of the policies that check references. Each binding has the name of its policy.
const (
	PolicyFunctionReferences      = "sharedcloud-function-references"
	PolicyFunctionRunReferences   = "sharedcloud-functionrun-references"
	PolicyFunctionImageReferences = "sharedcloud-functionimage-references"
)

// ReferencePolicies lists the names of all of them.
var ReferencePolicies = []string{PolicyFunctionReferences, PolicyFunctionRunReferences, PolicyFunctionImageReferences}

// Reference is an object that a spec references.
type Reference struct {
	ReferenceKind
	Name string
	// Field is the field that references the object, such as spec.pod.env[2].valueFrom.secretKeyRef.name.
	Field string
}

// References lists the objects that the Function references, in the order of FunctionReferences.
func (f *Function) References() []Reference { return referencesIn(f, FunctionReferences) }

// References lists the objects that the run itself references. The references of its Function are checked when the Function is
// written.
func (r *FunctionRun) References() []Reference { return referencesIn(r, FunctionRunReferences) }

// References lists the objects that the image references.
func (i *FunctionImage) References() []Reference { return referencesIn(i, FunctionImageReferences) }

// References lists the objects that the pod settings reference: the part of FunctionReferences below spec.pod.
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

// collectNames follows the steps of a path through a value and yields each name at its end. An empty name is not a reference.
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

// fieldByJSON returns a field of a struct, including embedded structs, by its JSON name. A path of the lists above without a
// field is a programming error that a test finds.
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
