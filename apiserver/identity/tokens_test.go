package identity

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// reviewed answers TokenReviews as kube-apiserver does, and counts them.
func reviewed(t *testing.T, answer func(*authenticationv1.TokenReview) int) (*PodTokens, *int) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := authenticationv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	codecs := serializer.NewCodecFactory(scheme)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		review := &authenticationv1.TokenReview{}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if _, _, err := codecs.UniversalDeserializer().Decode(body, nil, review); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{v1alpha1.ExchangeAudience}, review.Spec.Audiences); diff != "" {
			t.Errorf("audiences asked for (-want +got):\n%s", diff)
		}
		status := answer(review)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if status == http.StatusCreated {
			encoder := codecs.EncoderForVersion(serializerFor(codecs), authenticationv1.SchemeGroupVersion)
			if err := encoder.Encode(review, w); err != nil {
				t.Error(err)
			}
		}
	}))
	t.Cleanup(server.Close)
	reviews, err := authenticationv1client.NewForConfig(&rest.Config{
		Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"},
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := NewPodTokens(reviews)
	if err != nil {
		t.Fatal(err)
	}
	return tokens, &asked
}

func serializerFor(codecs serializer.CodecFactory) runtime.Serializer {
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), "application/json")
	return info.Serializer
}

func request(t *testing.T, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/work/v1/x", nil)
	for _, header := range headers {
		r.Header.Add("Authorization", header)
	}
	return r
}

// good fills in the answer of kube-apiserver for a token that is bound to a pod.
func good(review *authenticationv1.TokenReview) int {
	review.Status = authenticationv1.TokenReviewStatus{
		Authenticated: true,
		Audiences:     []string{v1alpha1.ExchangeAudience},
		User: authenticationv1.UserInfo{
			Username: "system:serviceaccount:space:default",
			Extra: map[string]authenticationv1.ExtraValue{
				"authentication.kubernetes.io/pod-name": {"pod"},
				"authentication.kubernetes.io/pod-uid":  {"uid"},
			},
		},
	}
	return http.StatusCreated
}

func TestPodTokens(t *testing.T) {
	for name, tc := range map[string]struct {
		headers   []string
		answer    func(*authenticationv1.TokenReview) int
		want      Pod
		wantErr   error
		wantOther bool
		wantAsked int
	}{
		"a token made for a pod and the exchange": {
			headers: []string{"Bearer abc"}, answer: good, want: Pod{"space", "pod", "uid"}, wantAsked: 1,
		},
		"the scheme may be written in any case": {
			headers: []string{"bearer  abc "}, answer: good, want: Pod{"space", "pod", "uid"}, wantAsked: 1,
		},
		"no token at all":              {wantErr: ErrNoToken},
		"another scheme":               {headers: []string{"Token abc"}, wantErr: ErrNoToken},
		"a scheme without a token":     {headers: []string{"Bearer "}, wantErr: ErrNoToken},
		"two tokens":                   {headers: []string{"Bearer abc", "Bearer abc"}, wantErr: ErrNoToken},
		"two tokens in one":            {headers: []string{"Bearer abc def"}, wantErr: ErrNoToken},
		"a token that is far too long": {headers: []string{"Bearer " + strings.Repeat("a", maxToken+1)}, wantErr: ErrNoToken},
		"a token that the cluster does not know": {
			headers: []string{"Bearer abc"}, wantErr: ErrNoToken, wantAsked: 1,
			answer: func(review *authenticationv1.TokenReview) int {
				review.Status.Error = "invalid bearer token"
				return http.StatusCreated
			},
		},
		"a token for another audience": {
			headers: []string{"Bearer abc"}, wantErr: ErrNoToken, wantAsked: 1,
			answer: func(review *authenticationv1.TokenReview) int {
				good(review)
				review.Status.Audiences = []string{"https://kubernetes.default.svc"}
				return http.StatusCreated
			},
		},
		"a reviewer that does not support audiences": {
			headers: []string{"Bearer abc"}, wantErr: ErrNoToken, wantAsked: 1,
			answer: func(review *authenticationv1.TokenReview) int {
				good(review)
				review.Status.Audiences = nil
				return http.StatusCreated
			},
		},
		"a user's token": {
			headers: []string{"Bearer abc"}, wantErr: ErrNotAPod, wantAsked: 1,
			answer: func(review *authenticationv1.TokenReview) int {
				good(review)
				review.Status.User.Username = "alice"
				return http.StatusCreated
			},
		},
		"a service account's token that no pod has": {
			headers: []string{"Bearer abc"}, wantErr: ErrNotAPod, wantAsked: 1,
			answer: func(review *authenticationv1.TokenReview) int {
				good(review)
				review.Status.User.Extra = nil
				return http.StatusCreated
			},
		},
		"a cluster that is unreachable": {
			headers: []string{"Bearer abc"}, wantOther: true, wantAsked: 2,
			answer: func(*authenticationv1.TokenReview) int { return http.StatusInternalServerError },
		},
	} {
		t.Run(name, func(t *testing.T) {
			tokens, asked := reviewed(t, tc.answer)
			got, err := tokens.Authenticate(request(t, tc.headers...))
			switch {
			case tc.wantOther && (err == nil || errors.Is(err, ErrNoToken) || errors.Is(err, ErrNotAPod)):
				t.Errorf("error %v, want one that asks to retry", err)
			case !tc.wantOther && !errors.Is(err, tc.wantErr):
				t.Errorf("error %v, want %v", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("pod (-want +got):\n%s", diff)
			}
			if *asked != tc.wantAsked {
				t.Errorf("the cluster was asked %d times, want %d", *asked, tc.wantAsked)
			}
		})
	}
}

func TestPodTokensAreReviewedOnce(t *testing.T) {
	for name, answer := range map[string]func(*authenticationv1.TokenReview) int{
		"a good one": good,
		"a bad one":  func(*authenticationv1.TokenReview) int { return http.StatusCreated },
	} {
		t.Run(name, func(t *testing.T) {
			tokens, asked := reviewed(t, answer)
			for range 3 {
				_, _ = tokens.Authenticate(request(t, "Bearer abc"))
			}
			_, _ = tokens.Authenticate(request(t, "Bearer def"))
			if *asked != 2 {
				t.Errorf("two tokens cost %d reviews", *asked)
			}
		})
	}
	t.Run("an outage is not remembered", func(t *testing.T) {
		status := http.StatusInternalServerError
		tokens, _ := reviewed(t, func(review *authenticationv1.TokenReview) int {
			good(review)
			return status
		})
		if _, err := tokens.Authenticate(request(t, "Bearer abc")); err == nil {
			t.Error("a cluster that could not be asked let a token in")
		}
		status = http.StatusCreated
		if _, err := tokens.Authenticate(request(t, "Bearer abc")); err != nil {
			t.Error(err)
		}
	})
}

func TestRefuseAnonymous(t *testing.T) {
	who := func(name string, ok bool, err error) authenticator.Request {
		return authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
			return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, ok, err
		})
	}
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		delegate authenticator.Request
		path     string
		wantOK   bool
		wantErr  error
	}{
		"anyone may probe":                       {who(user.Anonymous, true, nil), "/livez", true, nil},
		"anonymous may not see one check":        {who(user.Anonymous, true, nil), "/readyz/outcome-store", false, nil},
		"anonymous may not read":                 {who(user.Anonymous, true, nil), "/apis", false, nil},
		"a path that only begins like a probe's": {who(user.Anonymous, true, nil), "/livezzz", false, nil},
		"a user continues":                       {who("alice", true, nil), "/apis", true, nil},
		"a refused request stays refused":        {who("", false, nil), "/livez", false, nil},
		"an error stays an error":                {who("", false, boom), "/livez", false, boom},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tc.path, nil)
			_, ok, err := RefuseAnonymous(tc.delegate, "/livez", "/readyz").AuthenticateRequest(r)
			if ok != tc.wantOK || !errors.Is(err, tc.wantErr) {
				t.Errorf("%v, %v; want %v, %v", ok, err, tc.wantOK, tc.wantErr)
			}
		})
	}
}
