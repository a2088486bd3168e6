package checks

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	apicel "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// policy compiles the ValidatingAdmissionPolicy of a file of config/policy as kube-apiserver does.
func policy(t *testing.T, file string) validating.Validator {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "config", "policy", file))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(data), "\n---\n")
	var p admissionregistrationv1.ValidatingAdmissionPolicy
	if err := yaml.UnmarshalStrict([]byte(first), &p); err != nil {
		t.Fatal(err)
	}
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		t.Fatal(err)
	}
	declared := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	var variables []cel.NamedExpressionAccessor
	for _, v := range p.Spec.Variables {
		variables = append(variables, &validating.Variable{Name: v.Name, Expression: v.Expression})
	}
	compiler.CompileAndStoreVariables(variables, declared, environment.StoredExpressions)
	var validations, messages []cel.ExpressionAccessor
	for _, v := range p.Spec.Validations {
		validations = append(validations, &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason})
		if v.MessageExpression == "" {
			messages = append(messages, nil)
			continue
		}
		messages = append(messages, &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression})
	}
	return validating.NewValidator(
		compiler.CompileCondition(validations, declared, environment.StoredExpressions), nil,
		compiler.CompileCondition(nil, declared, environment.StoredExpressions),
		compiler.CompileCondition(messages, cel.OptionalVariableDeclarations{}, environment.StoredExpressions),
		p.Spec.FailurePolicy, nil)
}

// rights are what a user may do: "verb resource/subresource namespace", the namespace left out for the whole cluster.
type rights []string

// Authorize implements authorizer.UnconditionalAuthorizer.
func (r rights) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	asked := a.GetVerb() + " " + a.GetResource()
	if a.GetSubresource() != "" {
		asked += "/" + a.GetSubresource()
	}
	if a.GetNamespace() != "" {
		asked += " " + a.GetNamespace()
	}
	if slices.Contains(r, asked) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// refusal is what the policy says to a write of a user in the namespace team; "" where it takes it. object is nil for a deletion,
// old for a creation.
func refusal(t *testing.T, v validating.Validator, kind, resource string, object, old runtime.Object, may rights) string {
	t.Helper()
	gvk := schema.GroupVersionKind{Version: "v1", Kind: kind}
	operation := admission.Update
	switch {
	case old == nil:
		operation = admission.Create
	case object == nil:
		operation = admission.Delete
	}
	attributes := admission.NewAttributesRecord(object, old, gvk, "team", "x", gvk.GroupVersion().WithResource(resource), "", operation, nil, false, &user.DefaultInfo{Name: "tenant"})
	versioned := &admission.VersionedAttributes{
		Attributes: attributes, VersionedKind: gvk,
		VersionedObject: admission.NewLazyObject(object), VersionedOldObject: admission.NewLazyObject(old),
	}
	result := v.Validate(t.Context(), gvk.GroupVersion().WithResource(resource), versioned, nil,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}, apicel.RuntimeCELCostBudget, may)
	for _, decision := range result.Decisions {
		if decision.Evaluation == validating.EvalError {
			t.Errorf("the rule fails instead of deciding: %s", decision.Message)
		}
		if decision.Action == validating.ActionDeny {
			return decision.Message
		}
	}
	return ""
}

//security:attack tenant with ConfigMaps | A ConfigMap of the operator is written with many other rights, or with the right of Kubernetes' controllers in one namespace | The policy asks for write-revisions in the namespace, or namespaces/finalize in the cluster, and nothing else
func TestWhoWritesTheOperatorsConfigMaps(t *testing.T) {
	v := policy(t, "operator_configmaps.yaml")
	made := &corev1.ConfigMap{}
	for name, tc := range map[string]struct {
		may  rights
		want bool
	}{
		"nobody":                             {},
		"who may write revisions here":       {rights{"write-revisions functions team"}, true},
		"who may write revisions elsewhere":  {rights{"write-revisions functions other"}, false},
		"the namespace controller":           {rights{"update namespaces/finalize"}, true},
		"an administrator of the namespace":  {rights{"update namespaces/finalize team", "delete configmaps team", "* * team"}, false},
		"who may write functions and images": {rights{"update functions team", "create functions", "update jobs/status team"}, false},
	} {
		for action, objects := range map[string][2]runtime.Object{"create": {made, nil}, "update": {made, made}, "delete": {nil, made}} {
			said := refusal(t, v, "ConfigMap", "configmaps", objects[0], objects[1], tc.may)
			if (said == "") != tc.want || said != "" && !strings.Contains(said, "tenant needs the verb write-revisions on functions.sharedcloud.io in the namespace team") {
				t.Errorf("%s, %s: %q", action, name, said)
			}
		}
	}
}

func madeForARun() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Labels:      map[string]string{"sharedcloud.io/run-uid": "r", "batch.kubernetes.io/controller-uid": "j"},
		Annotations: map[string]string{"sharedcloud.io/image": "a/b"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "j", UID: "j",
			Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}},
	}
}

// changesOfIdentity are changes of an object that was made for a run, and whether every user may make them.
var changesOfIdentity = map[string]struct {
	change func(*metav1.ObjectMeta)
	taken  bool
}{
	"nothing":                        {func(*metav1.ObjectMeta) {}, true},
	"another label":                  {func(m *metav1.ObjectMeta) { m.Labels["team"] = "x" }, true},
	"a finalizer":                    {func(m *metav1.ObjectMeta) { m.Finalizers = []string{"a.b/c"} }, true},
	"no owner":                       {func(m *metav1.ObjectMeta) { m.OwnerReferences = nil }, true},
	"an owner that blocks less":      {func(m *metav1.ObjectMeta) { m.OwnerReferences[0].BlockOwnerDeletion = nil }, true},
	"an owner that controls no more": {func(m *metav1.ObjectMeta) { m.OwnerReferences[0].Controller = nil }, true},
	"another run":                    {func(m *metav1.ObjectMeta) { m.Labels["sharedcloud.io/run-uid"] = "s" }, false},
	"no run":                         {func(m *metav1.ObjectMeta) { delete(m.Labels, "sharedcloud.io/run-uid") }, false},
	"no labels":                      {func(m *metav1.ObjectMeta) { m.Labels = nil }, false},
	"a new label of ours":            {func(m *metav1.ObjectMeta) { m.Labels["sharedcloud.io/run"] = "s" }, false},
	"another Job by label":           {func(m *metav1.ObjectMeta) { m.Labels["batch.kubernetes.io/controller-uid"] = "k" }, false},
	"another image by note":          {func(m *metav1.ObjectMeta) { m.Annotations["sharedcloud.io/image"] = "a/c" }, false},
	"no notes":                       {func(m *metav1.ObjectMeta) { m.Annotations = nil }, false},
	"another owner":                  {func(m *metav1.ObjectMeta) { m.OwnerReferences[0].UID = "k" }, false},
	"one owner more": {func(m *metav1.ObjectMeta) {
		m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "p"})
	}, false},
}

//security:attack tenant with pods | Each way to make a pod a run's worker, or another worker than it is | The policy takes what the Job controller, the garbage collector, the kubelet and people do, and refuses the rest
func TestWhoMakesWorkers(t *testing.T) {
	v := policy(t, "worker_pods.yaml")
	controller := rights{"update jobs/status team"}
	worker := &corev1.Pod{ObjectMeta: madeForARun(), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "worker", Image: "a"}}}}
	plain := &corev1.Pod{Spec: worker.Spec}
	if refusal(t, v, "Pod", "pods", worker, nil, nil) == "" || refusal(t, v, "Pod", "pods", worker, nil, rights{"update jobs/status", "create pods team"}) == "" {
		t.Error("a pod made by hand is taken")
	}
	if said := refusal(t, v, "Pod", "pods", worker, nil, controller); said != "" {
		t.Errorf("the Job controller: %s", said)
	}
	if refusal(t, v, "Pod", "pods", worker, plain, nil) == "" {
		t.Error("a pod becomes a worker")
	}
	for name, tc := range changesOfIdentity {
		changed := worker.DeepCopy()
		tc.change(&changed.ObjectMeta)
		if said := refusal(t, v, "Pod", "pods", changed, worker, nil); (said == "") != tc.taken {
			t.Errorf("%s: %q", name, said)
		}
		if said := refusal(t, v, "Pod", "pods", changed, worker, controller); said != "" {
			t.Errorf("%s, by the Job controller: %s", name, said)
		}
	}
	changed := worker.DeepCopy()
	changed.Spec.Containers[0].Image = "evil"
	if refusal(t, v, "Pod", "pods", changed, worker, nil) == "" {
		t.Error("a worker gets another image")
	}
	changed = worker.DeepCopy()
	changed.Status.Phase, changed.Spec.NodeName = corev1.PodRunning, "node"
	if said := refusal(t, v, "Pod", "pods", changed, worker, nil); said != "" {
		t.Errorf("scheduler and kubelet: %s", said)
	}
}

//security:attack tenant with pods | Each way to make a Job a run's, or another than it is | The policy takes what a queue and people do, and asks for write-revisions for the rest
func TestWhoMakesJobsOfRuns(t *testing.T) {
	v := policy(t, "worker_jobs.yaml")
	manager := rights{"write-revisions functions team"}
	job := &batchv1.Job{ObjectMeta: madeForARun()}
	job.Spec.Template.Labels = map[string]string{"sharedcloud.io/run-uid": "r"}
	if refusal(t, v, "Job", "jobs", job, nil, rights{"update jobs/status team", "create jobs team"}) == "" || refusal(t, v, "Job", "jobs", job, &batchv1.Job{}, nil) == "" {
		t.Error("a Job made by hand is taken")
	}
	if said := refusal(t, v, "Job", "jobs", job, nil, manager); said != "" {
		t.Errorf("the manager: %s", said)
	}
	for name, tc := range changesOfIdentity {
		changed := job.DeepCopy()
		tc.change(&changed.ObjectMeta)
		if said := refusal(t, v, "Job", "jobs", changed, job, nil); (said == "") != tc.taken {
			t.Errorf("%s: %q", name, said)
		}
	}
	for name, tc := range map[string]struct {
		change func(*batchv1.Job)
		taken  bool
	}{
		"suspended":                    {func(j *batchv1.Job) { j.Spec.Suspend = ptr.To(true) }, true},
		"placed by a queue":            {func(j *batchv1.Job) { j.Spec.Template.Spec.NodeSelector = map[string]string{"a": "b"} }, true},
		"labelled by a queue":          {func(j *batchv1.Job) { j.Spec.Template.Labels["kueue.x-k8s.io/podset"] = "main" }, true},
		"with pods of another run":     {func(j *batchv1.Job) { j.Spec.Template.Labels["sharedcloud.io/run-uid"] = "s" }, false},
		"with pods of no run":          {func(j *batchv1.Job) { j.Spec.Template.Labels = nil }, false},
		"with pods that note an image": {func(j *batchv1.Job) { j.Spec.Template.Annotations = map[string]string{"sharedcloud.io/image": "a/c"} }, false},
	} {
		changed := job.DeepCopy()
		tc.change(changed)
		if said := refusal(t, v, "Job", "jobs", changed, job, nil); (said == "") != tc.taken {
			t.Errorf("%s: %q", name, said)
		}
	}
}
