package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	clocktesting "k8s.io/utils/clock/testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func named(kind v1alpha1.ReferenceKind, names ...string) []v1alpha1.Reference {
	var list []v1alpha1.Reference
	for _, name := range names {
		list = append(list, v1alpha1.Reference{ReferenceKind: kind, Name: name, Field: "spec.of." + name})
	}
	return list
}

func many(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("n%d", i))
	}
	return names
}

func TestMayUse(t *testing.T) {
	secrets, configMaps := v1alpha1.KindSecret, v1alpha1.KindConfigMap
	for name, tc := range map[string]struct {
		// rights are resource/name; a name of * is all.
		rights     []string
		references []v1alpha1.Reference
		want       string
		questions  int
	}{
		"nothing named, nothing asked": {},
		//security:attack tenant | a Function that names a Secret which the caller may not get is changed through REST | refused with the field and the Secret; nothing is written
		"a Secret without the right to get it": {references: named(secrets, "keys"), questions: 2,
			want: `spec.of.keys names the Secret "keys" in the namespace team, which you may not get`},
		"a Secret with the right by its name":             {rights: []string{"secrets/keys"}, references: named(secrets, "keys"), questions: 2},
		"another Secret that may not be got":              {rights: []string{"secrets/keys"}, references: named(secrets, "keys", "more"), questions: 3, want: `"more"`},
		"Secrets are no ConfigMaps":                       {rights: []string{"secrets/*"}, references: named(configMaps, "keys"), questions: 2, want: `the ConfigMap "keys"`},
		"all Secrets may be got: asked once":              {rights: []string{"secrets/*"}, references: named(secrets, many(300)...), questions: 1},
		"one that is named often is asked for once":       {rights: []string{"secrets/keys"}, references: named(secrets, "keys", "keys", "keys"), questions: 2},
		"twenty by their names":                           {rights: each("secrets", many(20)), references: named(secrets, many(20)...), questions: 21},
		"twenty-one by their names":                       {rights: each("secrets", many(21)), references: named(secrets, many(21)...), questions: 1, want: "more than 20 different"},
		"the limit is for all kinds together":             {rights: append(each("secrets", many(11)), each("configmaps", many(10))...), references: append(named(secrets, many(11)...), named(configMaps, many(10)...)...), questions: 2, want: "more than 20 different"},
		"what may all be got does not count to the limit": {rights: append(each("configmaps", many(20)), "secrets/*"), references: append(named(secrets, many(50)...), named(configMaps, many(20)...)...), questions: 22},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			rules := NewRules(authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
				asked++
				if a.GetVerb() != "get" || a.GetAPIGroup() != "" || a.GetNamespace() != "team" || a.GetUser().GetName() != "alice" {
					t.Errorf("asked for %+v", a)
				}
				right := a.GetName()
				if right == "" {
					right = "*"
				}
				if slices.Contains(tc.rights, a.GetResource()+"/"+right) || slices.Contains(tc.rights, a.GetResource()+"/*") {
					return authorizer.DecisionAllow, "", nil
				}
				return authorizer.DecisionNoOpinion, "", nil
			}), clocktesting.NewFakeClock(time.Now()))
			ctx := apirequest.WithUser(t.Context(), &user.DefaultInfo{Name: "alice"})
			err := rules.MayUse(ctx, "team", tc.references)
			if asked != tc.questions {
				t.Errorf("asked %d times, want %d", asked, tc.questions)
			}
			if tc.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var refused *ReferenceError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tc.want) || !apierrors.IsForbidden(err) {
				t.Errorf("got %v, want a refusal with %q", err, tc.want)
			}
		})
	}
}

func each(resource string, names []string) []string {
	var rights []string
	for _, name := range names {
		rights = append(rights, resource+"/"+name)
	}
	return rights
}

func TestMayUseNeedsACallerAndAnAnswer(t *testing.T) {
	boom := errors.New("boom")
	rules := NewRules(authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
		return authorizer.DecisionAllow, "", boom
	}), clocktesting.NewFakeClock(time.Now()))
	references := named(v1alpha1.KindSecret, "keys")
	if err := rules.MayUse(t.Context(), "team", references); err == nil {
		t.Error("references were allowed without a caller")
	}
	ctx := apirequest.WithUser(t.Context(), &user.DefaultInfo{Name: "alice"})
	if err := rules.MayUse(ctx, "team", references); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an authorizer that does not answer: %v", err)
	}
}
