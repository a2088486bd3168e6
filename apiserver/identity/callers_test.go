package identity

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
)

// reviewer answers TokenReviews: good is the token of alice.
type reviewer struct {
	*fake.Clientset
	asked int
	err   error
	good  string
}

func newReviewer() *reviewer {
	r := &reviewer{Clientset: fake.NewSimpleClientset(), good: "good"}
	r.PrependReactor("create", "tokenreviews", func(action kubetesting.Action) (bool, runtime.Object, error) {
		r.asked++
		review, ok := action.(kubetesting.CreateAction).GetObject().(*authenticationv1.TokenReview)
		if !ok || r.err != nil {
			return true, nil, r.err
		}
		if review.Spec.Token == r.good {
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{
				Username: "alice", UID: "1", Groups: []string{"people"}, Extra: map[string]authenticationv1.ExtraValue{"k": {"v"}}}}
		}
		return true, review, nil
	})
	return r
}

//security:attack anonymous | sends no Authorization header, an empty one, two, or one with spaces | the answer is 401 in the words of the contract
func TestTheAuthorizationHeader(t *testing.T) {
	reviews := newReviewer()
	callers := NewCallers(reviews.AuthenticationV1(), clocktesting.NewFakeClock(time.Now()))
	for name, tc := range map[string]struct {
		headers []string
		want    error
	}{
		"Token":                                 {[]string{"Token good"}, nil},
		"Bearer":                                {[]string{"Bearer good"}, nil},
		"any case":                              {[]string{"tOKEN good"}, nil},
		"white space around":                    {[]string{"  Token   good "}, nil},
		"none":                                  {nil, ErrNoCredentials},
		"another scheme":                        {[]string{"Basic good"}, ErrNoCredentials},
		"nothing in it":                         {[]string{""}, ErrNoCredentials},
		"two":                                   {[]string{"Token good", "Token good"}, ErrNoCredentials},
		"no token":                              {[]string{"Token"}, ErrEmptyToken},
		"no token but a space":                  {[]string{"Bearer "}, ErrEmptyToken},
		"a token with spaces":                   {[]string{"Token go od"}, ErrSpacedToken},
		"a bad one":                             {[]string{"Token bad"}, ErrInvalidToken},
		"one with characters that no token has": {[]string{"Token b\u00e4d"}, ErrInvalidToken},
		"one that is far too long":              {[]string{"Token " + string(make([]byte, maxToken+1))}, ErrInvalidToken},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header["Authorization"] = tc.headers
			info, err := callers.Authenticate(r)
			if !errors.Is(err, tc.want) {
				t.Fatalf("%v, want %v", err, tc.want)
			}
			want := &user.DefaultInfo{Name: "alice", UID: "1", Groups: []string{"people"}, Extra: map[string][]string{"k": {"v"}}}
			if tc.want == nil {
				if diff := cmp.Diff(user.Info(want), info); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestAnswersAboutTokensExpire(t *testing.T) {
	reviews := newReviewer()
	clk := clocktesting.NewFakeClock(time.Now())
	callers := NewCallers(reviews.AuthenticationV1(), clk)
	ask := func(token string, want error, asked int) {
		t.Helper()
		if _, err := callers.Of(t.Context(), token); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", token, err, want)
		}
		if reviews.asked != asked {
			t.Errorf("%s: the cluster was asked %d times, want %d", token, reviews.asked, asked)
		}
	}
	ask("good", nil, 1)
	ask("good", nil, 1)
	ask("bad", ErrInvalidToken, 2)
	ask("bad", ErrInvalidToken, 2)
	clk.Step(refusedTTL)
	ask("bad", ErrInvalidToken, 3)
	clk.Step(acceptedTTL)
	ask("good", nil, 4)

	reviews.err = errors.New("the API is away")
	clk.Step(acceptedTTL)
	ask("good", nil, 5)
	ask("bad", ErrUnavailable, 6)
	clk.Step(staleTTL - acceptedTTL + 1)
	ask("good", ErrUnavailable, 7)

	reviews.err = nil
	ask("good", nil, 8)
	reviews.good = "another"
	clk.Step(acceptedTTL)
	ask("good", ErrInvalidToken, 9)
}

// spaces are namespaces and their tenants.
type spaces map[string][]string

func (s spaces) Exists(name string) bool { _, ok := s[name]; return ok }
func (s spaces) OfTenant(entry string) []string {
	var names []string
	for _, name := range []string{"a", "b", "c", "own"} {
		for _, tenant := range s[name] {
			if tenant == entry {
				names = append(names, name)
			}
		}
	}
	return names
}

//security:attack tenant | names a namespace in a header that is not the tenant's | the answer is 404, as for a namespace that does not exist
func TestTheNamespaceOfACaller(t *testing.T) {
	all := spaces{"a": {"group:x"}, "b": {"user:bob", "group:y"}, "c": {"user:bob"}, "own": nil}
	for name, tc := range map[string]struct {
		caller    user.DefaultInfo
		choice    string
		otherwise string
		want      string
		chosen    bool
		err       error
	}{
		"a service account's own":                  {caller: user.DefaultInfo{Name: "system:serviceaccount:own:x", Groups: []string{"x"}}, want: "own"},
		"the first that names the user":            {caller: user.DefaultInfo{Name: "bob", Groups: []string{"x"}}, want: "b"},
		"the first that names a group of the user": {caller: user.DefaultInfo{Name: "eve", Groups: []string{"y", "x"}}, want: "a"},
		"the default":                              {caller: user.DefaultInfo{Name: "eve"}, otherwise: "rest", want: "rest"},
		"none":                                     {caller: user.DefaultInfo{Name: "eve"}, err: ErrNoNamespace},
		"the chosen one":                           {caller: user.DefaultInfo{Name: "bob"}, choice: "a", want: "a", chosen: true},
		"a chosen one that does not exist":         {caller: user.DefaultInfo{Name: "bob"}, choice: "z", chosen: true, err: ErrNoNamespace},
	} {
		t.Run(name, func(t *testing.T) {
			got, chosen, err := NewTenancy(all, tc.otherwise).Of(&tc.caller, tc.choice)
			if got != tc.want || chosen != tc.chosen || !errors.Is(err, tc.err) {
				t.Errorf("%q %v %v, want %q %v %v", got, chosen, err, tc.want, tc.chosen, tc.err)
			}
		})
	}
}

//security:attack tenant | The annotation sharedcloud.io/tenants on a namespace, where no policy protects it | The API server ignores it with --tenants-annotation=false
func TestTheTenantsAnnotationCanBeTurnedOff(t *testing.T) {
	all := WithoutTenants(spaces{"a": {"group:x", "user:bob"}, "own": nil})
	bob := &user.DefaultInfo{Name: "bob", Groups: []string{"x"}}
	if got, _, err := NewTenancy(all, "").Of(bob, ""); !errors.Is(err, ErrNoNamespace) {
		t.Errorf("%q %v", got, err)
	}
	if got, chosen, err := NewTenancy(all, "").Of(bob, "a"); got != "a" || !chosen || err != nil {
		t.Errorf("the chosen namespace: %q %v %v", got, chosen, err)
	}
}

func TestAnswersAboutRulesExpire(t *testing.T) {
	type question struct{ user, verb, name string }
	var asked []question
	var away error
	allowed := map[question]bool{{"alice", "get", ""}: true, {"bob", "get", "one"}: true}
	clk := clocktesting.NewFakeClock(time.Now())
	rules := NewRules(authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		q := question{a.GetUser().GetName(), a.GetVerb(), a.GetName()}
		asked = append(asked, q)
		if away != nil {
			return authorizer.DecisionNoOpinion, "", away
		}
		if allowed[q] {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "", nil
	}), clk)
	may := func(name, verb, object string, want bool, wantErr error, questions int) {
		t.Helper()
		asked = nil
		got, err := rules.May(t.Context(), &user.DefaultInfo{Name: name}, verb, "functions", "space", object)
		if got != want || !errors.Is(err, wantErr) || len(asked) != questions {
			t.Errorf("%s %s %q: %v %v after %v", name, verb, object, got, err, asked)
		}
	}
	may("alice", "get", "one", true, nil, 1)
	may("alice", "get", "two", true, nil, 0)
	may("alice", "delete", "two", false, nil, 2)
	may("bob", "get", "one", true, nil, 2)
	may("bob", "get", "two", false, nil, 1)
	clk.Step(allowedTTL)
	may("alice", "get", "one", true, nil, 1)
	away = errors.New("the API is away")
	clk.Step(allowedTTL)
	may("alice", "get", "one", true, nil, 1)
	may("eve", "get", "one", false, ErrUnavailable, 1)
	clk.Step(staleTTL)
	may("alice", "get", "one", false, ErrUnavailable, 1)
}
