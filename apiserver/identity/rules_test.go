package identity

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

//security:attack tenant | calls a subresource of a run that the tenant may not get | the answer follows from the RBAC rules of the run itself
func TestResourceRules(t *testing.T) {
	alice := &user.DefaultInfo{Name: "alice"}
	results := authorizer.AttributesRecord{
		User: alice, Verb: "get", Namespace: "space", APIGroup: "subresources.sharedcloud.io", APIVersion: "v1alpha1",
		Resource: "functionruns", Subresource: "results", Name: "run", ResourceRequest: true, Path: "/apis/x",
	}
	with := func(change func(*authorizer.AttributesRecord)) authorizer.AttributesRecord {
		changed := results
		change(&changed)
		return changed
	}
	for name, tc := range map[string]struct {
		asked, want authorizer.AttributesRecord
	}{
		"results require the right to get the run": {
			asked: results,
			want: authorizer.AttributesRecord{
				User: alice, Verb: "get", Namespace: "space", APIGroup: "sharedcloud.io", APIVersion: "v1alpha1",
				Resource: "functionruns", Name: "run", ResourceRequest: true, Path: "/apis/x",
			},
		},
		"a resource that the group does not serve is passed on unchanged": {
			asked: with(func(a *authorizer.AttributesRecord) { a.Subresource = "log" }),
			want:  with(func(a *authorizer.AttributesRecord) { a.Subresource = "log" }),
		},
		"another group is passed on unchanged": {
			asked: with(func(a *authorizer.AttributesRecord) { a.APIGroup = "other" }),
			want:  with(func(a *authorizer.AttributesRecord) { a.APIGroup = "other" }),
		},
		"a path is passed on unchanged": {
			asked: with(func(a *authorizer.AttributesRecord) { a.ResourceRequest = false }),
			want:  with(func(a *authorizer.AttributesRecord) { a.ResourceRequest = false }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got authorizer.Attributes
			rules := ResourceRules(authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
				got = a
				return authorizer.DecisionAllow, "", nil
			}), "subresources.sharedcloud.io", map[string][]Rule{"functionruns/results": {{"get", "functionruns"}}, "functionruns/rerun": {{"get", "functionruns"}, {"create", "functionruns"}}})
			if decision, _, err := rules.Authorize(t.Context(), tc.asked); decision != authorizer.DecisionAllow || err != nil {
				t.Errorf("decision %v, %v", decision, err)
			}
			if diff := cmp.Diff(authorizer.Attributes(tc.want), got); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResourceRulesNameTheMissingRight(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		decision   authorizer.Decision
		reason     string
		err        error
		wantReason string
	}{
		"a refusal":               {authorizer.DecisionNoOpinion, "", nil, "requires the right to get functionruns in the API group sharedcloud.io"},
		"a refusal with a reason": {authorizer.DecisionDeny, "no rule", nil, "requires the right to get functionruns in the API group sharedcloud.io: no rule"},
		"an error":                {authorizer.DecisionNoOpinion, "r", boom, "r"},
		"a permission":            {authorizer.DecisionAllow, "by a rule", nil, "by a rule"},
	} {
		t.Run(name, func(t *testing.T) {
			rules := ResourceRules(authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
				return tc.decision, tc.reason, tc.err
			}), "g", map[string][]Rule{"functionruns/results": {{"get", "functionruns"}}, "functionruns/rerun": {{"get", "functionruns"}, {"create", "functionruns"}}})
			decision, reason, err := rules.Authorize(t.Context(), authorizer.AttributesRecord{
				APIGroup: "g", Resource: "functionruns", Subresource: "results", ResourceRequest: true,
			})
			if decision != tc.decision || reason != tc.wantReason || !errors.Is(err, tc.err) {
				t.Errorf("%v %q %v, want %v %q %v", decision, reason, err, tc.decision, tc.wantReason, tc.err)
			}
		})
	}
}
