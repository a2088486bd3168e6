package policies

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// The CEL cost limits determine the form of the expressions: one check of the authorizer costs 350,000; the limit is 1,000,000 for
// an expression, 10,000,000 for a binding and 2,500,000 for its match conditions. A variable is evaluated once, on first use, and
// again for messages. Messages have no authorizer, so they must not use variables that call it.

// condition matches requests that must be checked: the spec is new or changed, it references other objects, and the user does not
// have the verb that grants an exemption. The check of the authorizer is last because most objects reference nothing.
func (s subject) condition() string {
	var named []string
	for _, field := range s.fields {
		// Test the part of the path before the list, or before the last field: it tells whether there can be anything to check.
		head, _, list := strings.Cut(field.Path, "[]")
		if !list {
			head = head[:strings.LastIndexByte(head, '.')]
		}
		if condition := optional(head) + ".hasValue()"; len(named) == 0 || named[len(named)-1] != condition {
			named = append(named, condition)
		}
	}
	changed := "(request.operation == 'CREATE' || object.spec != oldObject.spec)"
	if len(s.operations) == 1 {
		changed = "request.operation == 'CREATE'"
	}
	return fmt.Sprintf("%s &&\n(%s) &&\n!authorizer.group('%s').resource('functions').namespace(request.namespace).check('%s').allowed()",
		changed, strings.Join(named, " ||\n"), v1alpha1.GroupName, v1alpha1.VerbSkipReferenceCheck)
}

// optional returns the CEL access to a field that may be missing, as may any of its parents.
func optional(path string) string {
	steps := strings.Split(path, ".")
	return "object." + steps[0] + ".?" + strings.Join(steps[1:], ".?")
}

func isList(path string) bool { return strings.Contains(path, "[]") }

// nameOf returns the name of a variable of a kind.
func nameOf(kind v1alpha1.ReferenceKind, what string) string {
	return strings.ToLower(kind.Kind[:1]) + kind.Kind[1:] + what
}

// variables returns the variables of a kind: the fields that reference its objects, their names, and whether the writer may get
// all of them.
func (s subject) variables(kind v1alpha1.ReferenceKind) []admissionv1.Variable {
	var lists []string
	for _, field := range s.of(kind) {
		lists = append(lists, found(field))
	}
	fields, all := nameOf(kind, "Fields"), nameOf(kind, "All")
	variables := []admissionv1.Variable{
		{Name: fields, Expression: strings.Join(lists, " +\n")},
		{Name: all, Expression: fmt.Sprintf("variables.%s.size() == 0 ||\nauthorizer.group('').resource('%s').namespace(request.namespace).check('get').allowed()", fields, kind.Resource)},
		{Name: rest(kind, 0), Expression: fmt.Sprintf("variables.%s.map(f, f.name)", fields)},
	}
	for slot := range s.slots(kind) {
		variables = append(variables, admissionv1.Variable{
			Name:       rest(kind, slot+1),
			Expression: fmt.Sprintf("variables.%[1]s.filter(n, n != variables.%[1]s[0])", rest(kind, slot)),
		})
	}
	return variables
}

// rest returns the name of the variable with the names of a kind except the first slot different ones. Its first element is the
// next name. Removing all duplicates in one expression would cost the square of the number of names.
func rest(kind v1alpha1.ReferenceKind, slot int) string {
	return fmt.Sprintf("%s%d", nameOf(kind, "Rest"), slot)
}

// found returns the list of references of a field: maps with the name and the field. An empty name is not a reference.
func found(field v1alpha1.ReferenceField) string {
	head, tail, list := strings.Cut(field.Path, "[]")
	switch {
	case !list:
		name := "string(" + optional(field.Path) + ".orValue(''))"
		return fmt.Sprintf("(%[1]s == '' ? [] : [{'name': %[1]s, 'field': '%[2]s'}])", name, field.Path)
	case tail == "":
		return fmt.Sprintf("%s.orValue([]).transformList(i, e, string(e) != '', {'name': string(e), 'field': '%s[' + string(i) + ']'})", optional(head), head)
	}
	name := "string(e.?" + strings.ReplaceAll(strings.TrimPrefix(tail, "."), ".", ".?") + ".orValue(''))"
	return fmt.Sprintf("%[1]s.orValue([]).transformList(i, e, %[2]s != '', {'name': %[2]s, 'field': '%[3]s[' + string(i) + ']%[4]s'})",
		optional(head), name, head, tail)
}

// tooMany compares the number of objects that must be checked by name with the limit.
func (s subject) tooMany() admissionv1.Variable {
	var counts []string
	for _, kind := range s.kinds() {
		var rests []string
		for slot := range s.slots(kind) + 1 {
			rests = append(rests, "variables."+rest(kind, slot))
		}
		counts = append(counts, fmt.Sprintf("(variables.%s ? 0 : [%s].filter(rest, rest.size() > 0).size())", nameOf(kind, "All"), strings.Join(rests, ", ")))
	}
	return admissionv1.Variable{Name: "tooMany", Expression: fmt.Sprintf("%s > %d", strings.Join(counts, " +\n"), v1alpha1.MaxReferences)}
}

// mayGet checks one of the names of a kind. If there are too many names, another validation rejects the object, and this one makes
// no check, because the checks would exceed the cost limit.
func (s subject) mayGet(kind v1alpha1.ReferenceKind, slot int) admissionv1.Validation {
	name := fmt.Sprintf("variables.%s[0]", rest(kind, slot))
	field := fmt.Sprintf("variables.%s.filter(f, f.name == %s)[0].field", nameOf(kind, "Fields"), name)
	return admissionv1.Validation{
		Expression: fmt.Sprintf("variables.%[1]s.size() == 0 || variables.%[2]s || variables.tooMany ||\nauthorizer.group('').resource('%[3]s').namespace(request.namespace).name(%[4]s).check('get').allowed()",
			rest(kind, slot), nameOf(kind, "All"), kind.Resource, name),
		MessageExpression: fmt.Sprintf("variables.%[1]s.size() == 0 ? '' :\n%[2]s + ' names the %[3]s \"' + %[4]s + '\" in the namespace ' + request.namespace + ', which you may not get: name one that you may get, or ask for the right to get it'",
			rest(kind, slot), field, kind.Kind, name),
		Message: fmt.Sprintf("the %s names a %s that you may not get: name one that you may get, or ask for the right to get it", s.kind, kind.Kind),
		Reason:  ptr.To(metav1.StatusReasonForbidden),
	}
}
