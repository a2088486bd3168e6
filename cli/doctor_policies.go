package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/config/policy"
)

// maxObjectsListed limits how many objects a check names.
const maxObjectsListed = 20

// policyConsequences are what happens without a policy, by its name.
var policyConsequences = map[string]string{
	"functionrun-parameters":               "Runs with invalid inputs are created, and only their conditions show the error.",
	v1alpha1.PolicyFunctionReferences:      referencesConsequence,
	v1alpha1.PolicyFunctionRunReferences:   referencesConsequence,
	v1alpha1.PolicyFunctionImageReferences: referencesConsequence,
	"sharedcloud-identity":                 "A user can change the label sharedcloud.io/uuid, and with it the identity of an object in the REST API.",
	"sharedcloud-operator-configmaps":      "Every user who may write ConfigMaps can change the revisions and the inputs that runs execute.",
	"sharedcloud-tenants":                  "Every user who may change a namespace can change its tenants and its storage quotas.",
	"sharedcloud-worker-jobs":              "Every user who may create Jobs can create a Job that the operator takes for that of a run.",
	"sharedcloud-worker-pods":              "Every user who may create pods can create a pod that gets the inputs of a run and reports its results.",
}

const referencesConsequence = "Functions and runs that name a Secret, a ConfigMap or a PersistentVolumeClaim do not start, because no policy checks whether their authors may get it."

// shippedPolicies are the admission policies of this version, with their bindings.
type shippedPolicies struct {
	policies []admissionv1.ValidatingAdmissionPolicy
	bindings []admissionv1.ValidatingAdmissionPolicyBinding
}

// readShippedPolicies decodes the embedded manifests, with the defaults of the API server.
func readShippedPolicies() (*shippedPolicies, error) {
	names, err := fs.Glob(policy.Manifests, "*.yaml")
	if err != nil {
		return nil, err
	}
	shipped := &shippedPolicies{}
	for _, name := range names {
		text, err := policy.Manifests.ReadFile(name)
		if err != nil {
			return nil, err
		}
		objects, err := decodeManifest(name, text)
		if err != nil {
			return nil, err
		}
		for _, object := range objects {
			switch object.GetKind() {
			case kindPolicy:
				p := admissionv1.ValidatingAdmissionPolicy{}
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &p); err != nil {
					return nil, fmt.Errorf("decoding %s: %w", name, err)
				}
				p.Spec.FailurePolicy = ptr.To(ptr.Deref(p.Spec.FailurePolicy, admissionv1.Fail))
				setMatchDefaults(p.Spec.MatchConstraints)
				shipped.policies = append(shipped.policies, p)
			case kindPolicyBinding:
				b := admissionv1.ValidatingAdmissionPolicyBinding{}
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &b); err != nil {
					return nil, fmt.Errorf("decoding %s: %w", name, err)
				}
				setMatchDefaults(b.Spec.MatchResources)
				shipped.bindings = append(shipped.bindings, b)
			}
		}
	}
	return shipped, nil
}

const (
	kindPolicy        = "ValidatingAdmissionPolicy"
	kindPolicyBinding = "ValidatingAdmissionPolicyBinding"
)

// setMatchDefaults sets the fields that the API server sets.
func setMatchDefaults(match *admissionv1.MatchResources) {
	if match == nil {
		return
	}
	match.MatchPolicy = ptr.To(ptr.Deref(match.MatchPolicy, admissionv1.Equivalent))
	if match.NamespaceSelector == nil {
		match.NamespaceSelector = &metav1.LabelSelector{}
	}
	if match.ObjectSelector == nil {
		match.ObjectSelector = &metav1.LabelSelector{}
	}
	for _, rules := range [][]admissionv1.NamedRuleWithOperations{match.ResourceRules, match.ExcludeResourceRules} {
		for i := range rules {
			rules[i].Scope = ptr.To(ptr.Deref(rules[i].Scope, admissionv1.AllScopes))
		}
	}
}

// policies checks the admission policies and their bindings. If those that check references are in force, it also looks for objects
// that are older than them.
func (d *doctor) policies(ctx context.Context) []checkResult {
	shipped, err := readShippedPolicies()
	if err != nil {
		return []checkResult{{stateFailed, "the plugin's own copy of the policies is not valid", upperFirst(err.Error())}}
	}
	check := &policyCheck{since: map[string]time.Time{}}
	if err := check.comparePolicies(ctx, d, shipped.policies); err != nil {
		return append(check.results, notReadable("the admission policies", err))
	}
	if err := check.compareBindings(ctx, d, shipped.bindings); err != nil {
		return append(check.results, notReadable("the bindings of the admission policies", err))
	}
	results := check.results
	if len(check.changed) > 0 {
		results = append(results, changedPolicies(check.changed))
	}
	if len(results) == 0 {
		results = append(results, ok("the %d admission policies are installed and enforced", len(shipped.policies)))
	}
	for _, name := range v1alpha1.ReferencePolicies {
		if _, inForce := check.since[name]; !inForce {
			return results
		}
	}
	older, everywhere, err := d.olderThanPolicies(ctx, check.since)
	switch {
	case err != nil:
		return append(results, notReadable("objects that are older than the policies that check references", err))
	case len(older) > 0:
		return append(results, checkOlderObjects(older, everywhere, d.namespace))
	}
	return results
}

// policyCheck compares the policies of a cluster with the shipped ones.
type policyCheck struct {
	results []checkResult
	// changed are the policies and bindings that differ.
	changed []string
	// since is when a policy and all its bindings existed, by the policy's name. It lacks policies that are not in force.
	since map[string]time.Time
}

func (c *policyCheck) comparePolicies(ctx context.Context, reader client.Reader, shipped []admissionv1.ValidatingAdmissionPolicy) error {
	for i := range shipped {
		wanted, found := &shipped[i], &admissionv1.ValidatingAdmissionPolicy{}
		switch err := reader.Get(ctx, client.ObjectKey{Name: wanted.Name}, found); {
		case apierrors.IsNotFound(err):
			c.results = append(c.results, missingPolicy(kindPolicy, wanted.Name, wanted.Name))
			continue
		case err != nil:
			return err
		}
		c.since[wanted.Name] = found.CreationTimestamp.Time
		if !equality.Semantic.DeepEqual(found.Spec, wanted.Spec) {
			c.changed = append(c.changed, kindPolicy+" "+wanted.Name)
		}
	}
	return nil
}

func (c *policyCheck) compareBindings(ctx context.Context, reader client.Reader, shipped []admissionv1.ValidatingAdmissionPolicyBinding) error {
	notEnforced := map[string]bool{}
	for i := range shipped {
		wanted, found := &shipped[i], &admissionv1.ValidatingAdmissionPolicyBinding{}
		name := wanted.Spec.PolicyName
		if _, installed := c.since[name]; !installed && !notEnforced[name] {
			continue // comparePolicies has reported the policy
		}
		switch err := reader.Get(ctx, client.ObjectKey{Name: wanted.Name}, found); {
		case apierrors.IsNotFound(err):
			notEnforced[name] = true
			c.results = append(c.results, missingPolicy(kindPolicyBinding, wanted.Name, name))
			continue
		case err != nil:
			return err
		}
		if made := found.CreationTimestamp.Time; made.After(c.since[name]) {
			c.since[name] = made
		}
		switch {
		case !denies(found, wanted):
			notEnforced[name] = true
			c.results = append(c.results, checkResult{policyState(name), fmt.Sprintf("the %s %s does not deny the requests that the policy %s rejects", kindPolicyBinding, wanted.Name, name),
				policyConsequences[name] + applyPolicies})
		case !equality.Semantic.DeepEqual(found.Spec.MatchResources, wanted.Spec.MatchResources) || !equality.Semantic.DeepEqual(found.Spec.ParamRef, wanted.Spec.ParamRef):
			c.changed = append(c.changed, kindPolicyBinding+" "+wanted.Name)
		}
	}
	for name := range notEnforced {
		delete(c.since, name)
	}
	return nil
}

const applyPolicies = " Apply config/policy of the operator's version."

// policyState is the state of a check if a policy is not in force: only the one of the inputs protects nothing.
func policyState(name string) state {
	if name == "functionrun-parameters" {
		return stateUnknown
	}
	return stateFailed
}

func missingPolicy(kind, name, policy string) checkResult {
	return checkResult{policyState(policy), fmt.Sprintf("the %s %s is missing", kind, name), policyConsequences[policy] + applyPolicies}
}

// changedPolicies may be intended, or a matter of versions. The manager itself does not start what a changed policy should check.
func changedPolicies(names []string) checkResult {
	return checkResult{stateUnknown, fmt.Sprintf("these admission policies differ from those of this plugin (version %s): %s", version(), strings.Join(names, ", ")),
		"They were changed, or the plugin and the operator have different versions." + applyPolicies}
}

// denies reports whether a binding enforces the policy. It may audit or warn, too.
func denies(found, wanted *admissionv1.ValidatingAdmissionPolicyBinding) bool {
	return found.Spec.PolicyName == wanted.Spec.PolicyName && slices.Contains(found.Spec.ValidationActions, admissionv1.Deny)
}

func checkOlderObjects(older []string, everywhere bool, namespace string) checkResult {
	named := strings.Join(older[:min(len(older), maxObjectsListed)], ", ")
	if more := len(older) - maxObjectsListed; more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	where := ""
	if !everywhere {
		where = " in " + namespace
	}
	return checkResult{stateUnknown, fmt.Sprintf("%s%s named Secrets, ConfigMaps or PersistentVolumeClaims before a policy checked that: %s", count(len(older), "object"), where, named),
		"No policy has checked whether their authors may get what they name. Review them. To have an object checked, create it again: kubectl get KIND NAME -o yaml | kubectl replace --force -f -"}
}

// olderThanPolicies lists objects that name others and whose spec was last written before the policy for them existed: in all
// namespaces, or in the selected one if the user may not list all.
func (d *doctor) olderThanPolicies(ctx context.Context, since map[string]time.Time) (older []string, everywhere bool, err error) {
	older, err = d.olderIn(ctx, "", since)
	if apierrors.IsForbidden(err) {
		older, err = d.olderIn(ctx, d.namespace, since)
		return older, false, err
	}
	return older, true, err
}

func (d *doctor) olderIn(ctx context.Context, namespace string, since map[string]time.Time) ([]string, error) {
	var older []string
	note := func(kind, policy string, object client.Object, references []v1alpha1.Reference) {
		if len(references) > 0 && writtenBefore(object, since[policy]) {
			older = append(older, fmt.Sprintf("%s %s/%s", kind, object.GetNamespace(), object.GetName()))
		}
	}
	functions := &v1alpha1.FunctionList{}
	err := d.pages(ctx, namespace, functions, func() {
		for i := range functions.Items {
			f := &functions.Items[i]
			note("function", v1alpha1.PolicyFunctionReferences, f, f.References())
		}
	})
	if err != nil {
		return nil, err
	}
	images := &v1alpha1.FunctionImageList{}
	err = d.pages(ctx, namespace, images, func() {
		for i := range images.Items {
			image := &images.Items[i]
			note("functionimage", v1alpha1.PolicyFunctionImageReferences, image, image.References())
		}
	})
	if err != nil {
		return nil, err
	}
	runs := &v1alpha1.FunctionRunList{}
	err = d.pages(ctx, namespace, runs, func() {
		for i := range runs.Items {
			if run := &runs.Items[i]; run.Status.Revision == nil && !finished(run) { // a pinned run has read its inputs already
				note("functionrun", v1alpha1.PolicyFunctionRunReferences, run, run.References())
			}
		}
	})
	return older, err
}

// pages lists all objects of a kind, page by page.
func (d *doctor) pages(ctx context.Context, namespace string, list client.ObjectList, each func()) error {
	for {
		if err := d.List(ctx, list, client.InNamespace(namespace), client.Limit(100), client.Continue(list.GetContinue())); err != nil {
			return err
		}
		each()
		if list.GetContinue() == "" {
			return nil
		}
	}
}

// writtenBefore reports whether an object was created, and its spec last written, before a time.
func writtenBefore(object metav1.Object, since time.Time) bool {
	if !object.GetCreationTimestamp().Time.Before(since) {
		return false
	}
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource != "" || entry.Time == nil || entry.Time.Time.Before(since) || entry.FieldsV1 == nil {
			continue
		}
		fields := map[string]json.RawMessage{}
		if err := json.NewDecoder(entry.FieldsV1.GetRawReader()).Decode(&fields); err != nil {
			continue // unreadable fields prove nothing
		}
		if _, spec := fields["f:spec"]; spec {
			return false
		}
	}
	return true
}
