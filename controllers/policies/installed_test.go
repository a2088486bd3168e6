package policies

import (
	"errors"
	"strings"
	"testing"
	"time"

	"context"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestInstalled(t *testing.T) {
	type change func(*Policy)
	of := func(name string, change func(*Policy)) change {
		return func(p *Policy) {
			if p.Policy.Name == name {
				change(p)
			}
		}
	}
	for name, tc := range map[string]struct {
		change change
		want   string
	}{
		"all as they are built": {change: func(*Policy) {}},
		"a policy is missing": {change: of(v1alpha1.PolicyFunctionReferences, func(p *Policy) { p.Policy = nil }),
			want: "the ValidatingAdmissionPolicy sharedcloud-function-references is missing"},
		"a binding is missing": {change: of(v1alpha1.PolicyFunctionRunReferences, func(p *Policy) { p.Binding = nil }),
			want: "the ValidatingAdmissionPolicyBinding sharedcloud-functionrun-references is missing"},
		"a validation less": {change: of(v1alpha1.PolicyFunctionReferences, func(p *Policy) { p.Policy.Spec.Validations = p.Policy.Spec.Validations[1:] }),
			want: "differs from the one of this version"},
		"another failure policy": {change: of(v1alpha1.PolicyFunctionImageReferences, func(p *Policy) { *p.Policy.Spec.FailurePolicy = admissionv1.Ignore }),
			want: "differs from the one of this version"},
		"a binding of another policy": {change: of(v1alpha1.PolicyFunctionReferences, func(p *Policy) { p.Binding.Spec.PolicyName = "other" }),
			want: "does not enforce the policy"},
		"a binding for some namespaces": {change: of(v1alpha1.PolicyFunctionReferences, func(p *Policy) { p.Binding.Spec.MatchResources = &admissionv1.MatchResources{} }),
			want: "does not enforce the policy"},
		"a binding that audits": {change: of(v1alpha1.PolicyFunctionReferences, func(p *Policy) {
			p.Binding.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit}
		}), want: "does not enforce the policy"},
		"a binding that audits, too": {change: func(p *Policy) {
			p.Binding.Spec.ValidationActions = append(p.Binding.Spec.ValidationActions, admissionv1.Audit)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			builder := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme)
			for _, policy := range References() {
				tc.change(&policy)
				if policy.Policy != nil {
					builder.WithObjects(policy.Policy)
				}
				if policy.Binding != nil {
					builder.WithObjects(policy.Binding)
				}
			}
			got, err := NewInstalled(builder.Build(), clocktesting.NewFakeClock(time.Now())).Problem(t.Context())
			if err != nil || tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestInstalledCachesItsResult(t *testing.T) {
	reads, away := 0, error(nil)
	builder := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme)
	for _, policy := range References() {
		builder.WithObjects(policy.Policy, policy.Binding)
	}
	reader := builder.WithInterceptorFuncs(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
		reads++
		if away != nil {
			return away
		}
		return c.Get(ctx, key, object, options...)
	}}).Build()
	clk := clocktesting.NewFakeClock(time.Now())
	installed := NewInstalled(reader, clk)
	ask := func(want string, wantErr bool, wantReads int) {
		t.Helper()
		reads = 0
		got, err := installed.Problem(t.Context())
		if (err != nil) != wantErr || !strings.Contains(got, want) || reads != wantReads {
			t.Errorf("got %q, %v after %d reads, want %q after %d", got, err, reads, want, wantReads)
		}
	}
	ask("", false, 6)
	ask("", false, 0)
	clk.Step(inForceTTL)
	if err := reader.Delete(t.Context(), References()[0].Binding); err != nil {
		t.Fatal(err)
	}
	ask("is missing", false, 2)
	ask("is missing", false, 0)
	clk.Step(missingTTL)
	away = errors.New("the API is away")
	ask("", true, 1)
}
