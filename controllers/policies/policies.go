// Package policies builds the ValidatingAdmissionPolicies that check references: the user who writes a Function, a FunctionRun or
// a FunctionImage must be allowed to get each Secret, ConfigMap and PersistentVolumeClaim that it names.
//
//	policies.go     the policies and their bindings, from the list of references in api/v1alpha1
//	expressions.go  their CEL expressions
//	installed.go    whether a cluster has exactly the policies that are built here
//
// hack/policies writes them to config/policy. The list of fields that are references belongs in api/v1alpha1, not here.
package policies

import (
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Policy is a policy and the binding that enforces it in all namespaces.
type Policy struct {
	Policy  *admissionv1.ValidatingAdmissionPolicy
	Binding *admissionv1.ValidatingAdmissionPolicyBinding
}

// References returns the policies that check references, one for each kind.
func References() []Policy {
	write, create := []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}, []admissionv1.OperationType{admissionv1.Create}
	return []Policy{
		policyFor(subject{v1alpha1.PolicyFunctionReferences, "Function", "functions", v1alpha1.FunctionReferences, write}),
		// A run's references are immutable, and a user who may patch a run must always be able to cancel it.
		policyFor(subject{v1alpha1.PolicyFunctionRunReferences, "FunctionRun", "functionruns", v1alpha1.FunctionRunReferences, create}),
		policyFor(subject{v1alpha1.PolicyFunctionImageReferences, "FunctionImage", "functionimages", v1alpha1.FunctionImageReferences, write}),
	}
}

// subject is the kind of object that a policy checks.
type subject struct {
	name, kind, resource string
	fields               []v1alpha1.ReferenceField
	operations           []admissionv1.OperationType
}

func labels() map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":      "sharedcloud",
		"app.kubernetes.io/component": "policy",
		"app.kubernetes.io/part-of":   "sharedcloud",
	}
}

// policyFor builds a policy. It sets every field that the API server would default, so that the stored policy equals this one.
func policyFor(s subject) Policy {
	policy := &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: labels()},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: ptr.To(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{
				MatchPolicy:       ptr.To(admissionv1.Equivalent),
				NamespaceSelector: &metav1.LabelSelector{},
				ObjectSelector:    &metav1.LabelSelector{},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: s.operations,
					Rule: admissionv1.Rule{
						APIGroups:   []string{v1alpha1.GroupName},
						APIVersions: []string{"*"},
						Resources:   []string{s.resource},
						Scope:       ptr.To(admissionv1.AllScopes),
					},
				}}},
			},
			MatchConditions: []admissionv1.MatchCondition{{Name: "references-must-be-checked", Expression: s.condition()}},
			Validations:     []admissionv1.Validation{s.notTooMany()},
		},
	}
	for _, kind := range s.kinds() {
		policy.Spec.Variables = append(policy.Spec.Variables, s.variables(kind)...)
		for slot := range s.slots(kind) {
			policy.Spec.Validations = append(policy.Spec.Validations, s.mayGet(kind, slot))
		}
	}
	policy.Spec.Variables = append(policy.Spec.Variables, s.tooMany())
	return Policy{Policy: policy, Binding: &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: labels()},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName:        s.name,
			ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}}
}

// kinds returns the kinds that the subject can reference.
func (s subject) kinds() []v1alpha1.ReferenceKind {
	var kinds []v1alpha1.ReferenceKind
	for _, kind := range v1alpha1.ReferenceKinds {
		if len(s.of(kind)) > 0 {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func (s subject) of(kind v1alpha1.ReferenceKind) []v1alpha1.ReferenceField {
	var fields []v1alpha1.ReferenceField
	for _, field := range s.fields {
		if field.Kind == kind {
			fields = append(fields, field)
		}
	}
	return fields
}

// slots returns how many different objects of a kind can be checked by name. Each slot has its own validation, so that the
// message names the object.
func (s subject) slots(kind v1alpha1.ReferenceKind) int {
	fields := s.of(kind)
	for _, field := range fields {
		if isList(field.Path) {
			return v1alpha1.MaxReferences
		}
	}
	return min(len(fields), v1alpha1.MaxReferences)
}

func (s subject) notTooMany() admissionv1.Validation {
	return admissionv1.Validation{
		Expression: "!variables.tooMany",
		Message: fmt.Sprintf("the %s names more than %d different Secrets, ConfigMaps and PersistentVolumeClaims, and each must be checked because you may not get all objects of that kind in the namespace: name fewer, or ask a user who may get all of them to write it",
			s.kind, v1alpha1.MaxReferences),
		Reason: ptr.To(metav1.StatusReasonForbidden),
	}
}
