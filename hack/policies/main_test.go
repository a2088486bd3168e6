package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	apiservercel "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/policies"
)

// oldest is the oldest Kubernetes version that must support the expressions.
var oldest = version.MajorMinor(1, 33)

func TestCommittedPoliciesMatchTheList(t *testing.T) {
	for _, policy := range policies.References() {
		want, err := manifest(policy)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join("..", "..", "config", "policy", fileName(policy.Policy.Name))
		if got, err := os.ReadFile(name); err != nil || string(got) != string(want) {
			t.Errorf("%s is not what the list of references makes (%v): run make generate", name, err)
		}
	}
}

// kustomize updates a changed name in exactly the fields that reference it.
func TestKustomizeUpdatesAllReferences(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "config", "kustomize", "namereference.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var known struct {
		NameReference []struct {
			Kind       string
			FieldSpecs []struct{ Kind, Path string }
		}
	}
	if err := yaml.Unmarshal(data, &known); err != nil {
		t.Fatal(err)
	}
	fields := map[string]bool{}
	for _, reference := range known.NameReference {
		for _, field := range reference.FieldSpecs {
			fields[reference.Kind+" "+field.Kind+" "+field.Path] = true
		}
	}
	for kind, references := range map[string][]v1alpha1.ReferenceField{
		"Function": v1alpha1.FunctionReferences, "FunctionRun": v1alpha1.FunctionRunReferences, "FunctionImage": v1alpha1.FunctionImageReferences,
	} {
		for _, field := range references {
			path := strings.ReplaceAll(strings.ReplaceAll(field.Path, "[]", ""), ".", "/")
			if want := field.Kind.Kind + " " + kind + " " + path; !fields[want] {
				t.Errorf("config/kustomize/namereference.yaml has no %s", want)
			}
		}
	}
}

// compiled is a policy in the form in which the API server evaluates it.
type compiled struct {
	validator validating.Validator
	policy    *admissionv1.ValidatingAdmissionPolicy
}

func compile(t *testing.T, name string) compiled {
	t.Helper()
	all := policies.References()
	policy := all[slices.IndexFunc(all, func(p policies.Policy) bool { return p.Policy.Name == name })].Policy
	compiler, err := plugincel.NewCompositedCompiler(environment.MustBaseEnvSet(oldest))
	if err != nil {
		t.Fatal(err)
	}
	with, without := plugincel.OptionalVariableDeclarations{HasAuthorizer: true}, plugincel.OptionalVariableDeclarations{}
	for _, v := range policy.Spec.Variables {
		if result := compiler.CompileAndStoreVariable(&validating.Variable{Name: v.Name, Expression: v.Expression}, with, environment.NewExpressions); result.Error != nil {
			t.Fatalf("the variable %s: %v", v.Name, result.Error)
		}
	}
	var validations, messages, conditions []plugincel.ExpressionAccessor
	for i := range policy.Spec.Validations {
		v := policy.Spec.Validations[i]
		accessor := &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason}
		if result := compiler.CompileCELExpression(accessor, with, environment.NewExpressions); result.Error != nil {
			t.Fatalf("%s: %v", v.Expression, result.Error)
		}
		validations = append(validations, accessor)
		var message plugincel.ExpressionAccessor
		if v.MessageExpression != "" {
			message = &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression}
			if result := compiler.CompileCELExpression(message, without, environment.NewExpressions); result.Error != nil {
				t.Fatalf("%s: %v", v.MessageExpression, result.Error)
			}
		}
		messages = append(messages, message)
	}
	for i := range policy.Spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&policy.Spec.MatchConditions[i]))
	}
	matcher := matchconditions.NewMatcher(compiler.CompileCondition(conditions, with, environment.NewExpressions), policy.Spec.FailurePolicy, "policy", "validate", name)
	return compiled{policy: policy, validator: validating.NewValidator(
		compiler.CompileCondition(validations, with, environment.NewExpressions), matcher,
		compiler.CompileCondition(nil, with, environment.NewExpressions),
		compiler.CompileCondition(messages, without, environment.NewExpressions), policy.Spec.FailurePolicy, nil)}
}

// rights are RESOURCE/NAME, with * for all names; "skip" grants the exemption.
type rights []string

// Authorize implements authorizer.UnconditionalAuthorizer.
func (r rights) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	right := a.GetResource() + "/" + a.GetName()
	switch {
	case a.GetVerb() == v1alpha1.VerbSkipReferenceCheck && a.GetAPIGroup() == v1alpha1.GroupName && a.GetResource() == "functions":
		right = "skip"
	case a.GetVerb() != "get" || a.GetAPIGroup() != "" || a.GetNamespace() != "team":
		return authorizer.DecisionNoOpinion, "", fmt.Errorf("an unexpected question: %+v", a)
	case a.GetName() == "":
		right = a.GetResource() + "/*"
	case slices.Contains(r, a.GetResource()+"/*"):
		return authorizer.DecisionAllow, "", nil
	}
	if slices.Contains(r, right) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// admit evaluates the policy and returns the reason of a rejection, or "".
func (c compiled) admit(t *testing.T, object, old string, may rights) string {
	t.Helper()
	operation := admission.Create
	parsed, before := parse(t, object), (*unstructured.Unstructured)(nil)
	if old != "" {
		operation, before = admission.Update, parse(t, old)
	}
	gvk := parsed.GroupVersionKind()
	gvr := schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: strings.ToLower(gvk.Kind) + "s"}
	caller := &user.DefaultInfo{Name: "alice"}
	versioned := &admission.VersionedAttributes{VersionedKind: gvk}
	versioned.VersionedObject.Set(parsed)
	if before != nil {
		versioned.VersionedOldObject.Set(before)
		versioned.Attributes = admission.NewAttributesRecord(parsed, before, gvk, "team", "o", gvr, "", operation, nil, false, caller)
	} else {
		versioned.Attributes = admission.NewAttributesRecord(parsed, nil, gvk, "team", "o", gvr, "", operation, nil, false, caller)
	}
	result := c.validator.Validate(t.Context(), gvr, versioned, nil, nil, apiservercel.RuntimeCELCostBudget, may)
	for _, decision := range result.Decisions {
		if decision.Action != validating.ActionAdmit {
			return fmt.Sprintf("%s: %s", decision.Reason, decision.Message)
		}
	}
	return ""
}

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	kind, spec := "Function", object
	if named, ok := object["kind"].(string); ok {
		kind = named
		delete(object, "kind")
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "sharedcloud.io/v1alpha1", "kind": kind, "metadata": map[string]any{"name": "o", "namespace": "team"}, "spec": spec,
	}}
}

const plain = "{code: 'def handler(event): pass'}"

// secrets returns a Function's spec that references n different Secrets, each in both ways.
func secrets(n int, more string) string {
	var env, volumes []string
	for i := range n {
		env = append(env, fmt.Sprintf("{name: E%d, valueFrom: {secretKeyRef: {name: s%d, key: k}}}", i, i))
		if i < 32 {
			volumes = append(volumes, fmt.Sprintf("{name: v%d, secret: {secretName: x, name: s%d}}", i, i))
		}
	}
	return fmt.Sprintf("{pod: {env: [%s], volumes: [%s]}%s}", strings.Join(env, ","), strings.Join(volumes, ","), more)
}

func each(resource, prefix string, n int) rights {
	var all rights
	for i := range n {
		all = append(all, fmt.Sprintf("%s/%s%d", resource, prefix, i))
	}
	return all
}

func TestFunctionsMayReferenceWhatTheirWriterMayGet(t *testing.T) {
	policy := compile(t, v1alpha1.PolicyFunctionReferences)
	long := strings.Repeat("n", 250)
	var most []string
	for i := range 256 {
		most = append(most, fmt.Sprintf("{name: E%d, valueFrom: {secretKeyRef: {name: %s%d, key: k}}}", i, long, i))
	}
	for name, tc := range map[string]struct {
		object, old string
		may         rights
		want        string // "" admits
	}{
		"nothing named": {object: plain},
		//security:attack tenant | a Function gets a Secret that its writer may not get, by an environment variable | refused with the field, the Secret and what to do
		"a Secret by env": {object: "{pod: {env: [{name: P, value: x}, {name: A, valueFrom: {secretKeyRef: {name: keys, key: k}}}]}}",
			want: `Forbidden: spec.pod.env[1].valueFrom.secretKeyRef.name names the Secret "keys" in the namespace team, which you may not get: name one that you may get, or ask for the right to get it`},
		//security:attack tenant | a Function gets a Secret that its writer may not get, by a volume | refused with the field, the Secret and what to do
		"a Secret by volume": {object: "{pod: {volumes: [{name: v, secret: {name: keys}}]}}", want: `spec.pod.volumes[0].secret.name names the Secret "keys"`},
		//security:attack tenant | a Function gets a ConfigMap that its writer may not get, by an environment variable or a volume | refused
		"a ConfigMap by env":    {object: "{pod: {env: [{name: A, valueFrom: {configMapKeyRef: {name: cm, key: k}}}]}}", want: `names the ConfigMap "cm"`},
		"a ConfigMap by volume": {object: "{pod: {volumes: [{name: v, configMap: {name: cm}}]}}", want: `spec.pod.volumes[0].configMap.name names the ConfigMap "cm"`},
		//security:attack tenant | a Function mounts a claim that its writer may not get | refused
		"a claim": {object: "{pod: {volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]}}", want: `claimName names the PersistentVolumeClaim "data"`},
		//security:attack tenant | codeFrom shows a ConfigMap that the Function's writer may not get | refused
		"code of a ConfigMap's key":                    {object: "{codeFrom: {configMapKeyRef: {name: cm, key: k}}}", want: `spec.codeFrom.configMapKeyRef.name names the ConfigMap "cm"`},
		"code of a whole ConfigMap":                    {object: "{codeFrom: {configMapRef: {name: cm}}}", want: `spec.codeFrom.configMapRef.name names the ConfigMap "cm"`},
		"all that may be got by name":                  {object: "{codeFrom: {configMapRef: {name: cm}}, pod: {volumes: [{name: v, secret: {name: keys}}]}}", may: rights{"secrets/keys", "configmaps/cm"}},
		"another Secret than that which may be got":    {object: "{pod: {volumes: [{name: v, secret: {name: keys}}, {name: w, secret: {name: more}}]}}", may: rights{"secrets/keys"}, want: `volumes[1].secret.name names the Secret "more"`},
		"a user who may get all Secrets may name many": {object: secrets(200, ""), may: rights{"secrets/*"}},
		"twenty by their names, each twice":            {object: secrets(20, ""), may: each("secrets", "s", 20)},
		"the last of twenty may not be got":            {object: secrets(20, ""), may: each("secrets", "s", 19), want: `names the Secret "s19"`},
		"twenty-one by their names":                    {object: secrets(21, ""), may: each("secrets", "s", 21), want: "Forbidden: the Function names more than 20 different Secrets"},
		"twenty-one of two kinds":                      {object: secrets(20, ", codeFrom: {configMapRef: {name: cm}}"), may: append(each("secrets", "s", 20), "configmaps/cm"), want: "more than 20 different"},
		"what may all be got does not count":           {object: secrets(40, ", codeFrom: {configMapRef: {name: cm}}"), may: rights{"secrets/*", "configmaps/cm"}},
		//security:attack tenant | a Function names 256 Secrets with the longest names, to exhaust the budget of the policy | refused in words, within the budget
		"as many of the longest names as there may be, by a user who may get all": {object: "{pod: {env: [" + strings.Join(most, ",") + "]}}", may: rights{"secrets/*"}},
		"as many of the longest names as there may be":                            {object: "{pod: {env: [" + strings.Join(most, ",") + "]}}", want: "more than 20 different"},
		//security:attack tenant | the code of a Function is changed under a Secret that another user named | every change of the spec checks all that it names again
		"other code under a Secret":   {object: "{code: b, pod: {volumes: [{name: v, secret: {name: keys}}]}}", old: "{code: a, pod: {volumes: [{name: v, secret: {name: keys}}]}}", want: `names the Secret "keys"`},
		"a change of metadata":        {object: "{pod: {volumes: [{name: v, secret: {name: keys}}]}}", old: "{pod: {volumes: [{name: v, secret: {name: keys}}]}}"},
		"a change that names no more": {object: plain, old: "{pod: {volumes: [{name: v, secret: {name: keys}}]}}"},
		"the API server is exempt":    {object: "{pod: {volumes: [{name: v, secret: {name: keys}}]}}", may: rights{"skip"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := policy.admit(t, tc.object, tc.old, tc.may)
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

//security:attack tenant | parametersFrom shows a ConfigMap that the run's creator may not get | refused
//security:attack tenant | an image of the namespace is pulled with a Secret that its writer may not get | refused
func TestRunsAndImagesMayReferenceWhatTheirWriterMayGet(t *testing.T) {
	run, image := compile(t, v1alpha1.PolicyFunctionRunReferences), compile(t, v1alpha1.PolicyFunctionImageReferences)
	const inputs = "{kind: FunctionRun, parametersFrom: {configMapKeyRef: {name: cm, key: k}}}"
	if got := run.admit(t, inputs, "", nil); !strings.Contains(got, `spec.parametersFrom.configMapKeyRef.name names the ConfigMap "cm"`) {
		t.Errorf("a ConfigMap for inputs: %q", got)
	}
	if got := run.admit(t, inputs, "", rights{"configmaps/cm"}); got != "" {
		t.Errorf("a ConfigMap for inputs that may be got: %q", got)
	}
	if got := run.admit(t, "{kind: FunctionRun, parametersLiteral: '((1,),)'}", "", nil); got != "" {
		t.Errorf("inputs in the run: %q", got)
	}
	if operations := run.policy.Spec.MatchConstraints.ResourceRules[0].Operations; len(operations) != 1 || operations[0] != admissionv1.Create {
		t.Errorf("runs are checked at %v: a user who may patch a run must be able to cancel it", operations)
	}
	const pulled = "{kind: FunctionImage, imagePullSecrets: [a, b]}"
	if got := image.admit(t, pulled, "", rights{"secrets/a"}); !strings.Contains(got, `spec.imagePullSecrets[1] names the Secret "b"`) {
		t.Errorf("a pull secret: %q", got)
	}
	if got := image.admit(t, pulled, "", rights{"secrets/a", "secrets/b"}); got != "" {
		t.Errorf("pull secrets that may be got: %q", got)
	}
}
