package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/rest"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/apiserver/subresources"
)

// probePlaces are the places of health requests, by address. One takes a millisecond.
var probePlaces = shares.Limits{Total: 64, Caller: 8, Namespace: 64}

// front handles every request before its frontend.
type front struct {
	// conns are the connections; nil if they are not counted.
	conns         *connections.Listener
	proxies       connections.Proxies
	probes        *shares.Places
	requests      *shares.Places
	reads, writes *shares.Rates
	// reasons are the readiness checks whose errors are shown to authorized callers, by name.
	reasons map[string]func(*http.Request) error
	// recheck authorizes long requests again.
	recheck func(next http.Handler) http.Handler
	// needless discards bodies that no handler reads.
	needless needless
}

// build puts the frontends behind the front.
func (f *front) build(exchange, documented http.Handler) func(http.Handler, *genericapiserver.Config) http.Handler {
	return func(api http.Handler, config *genericapiserver.Config) http.Handler {
		authenticate := config.Authentication.Authenticator
		config.Authentication.Authenticator = remembered{authenticate}
		faces := withOwnFaces(exchange, documented)(f.recheck(api), config)
		dispatch := guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.WithContext(connections.WithSource(r.Context(), connections.Key(f.proxies.Client(r))))
			switch {
			case ownPath(r.URL.Path): // its frontend authenticates
				faces.ServeHTTP(w, r)
			case probePath(r.URL.Path):
				f.probe(w, r, faces, authenticate, config)
			default:
				f.identify(w, r, faces, authenticate, config)
			}
		}))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if f.conns != nil {
				done := f.conns.Serving(r.RemoteAddr)
				defer func(ctx context.Context) { done(ctx.Err() != nil) }(r.Context())
			}
			dispatch.ServeHTTP(w, r)
		})
	}
}

func ownPath(path string) bool {
	return strings.HasPrefix(path, workPrefix) || path == restPrefix || strings.HasPrefix(path, restPrefix+"/")
}

// identify authenticates a request to the aggregated API, once for the front and the library's chain, and counts it.
func (f *front) identify(w http.ResponseWriter, r *http.Request, next http.Handler, authenticate authenticator.Request, config *genericapiserver.Config) {
	ctx, attempt := identity.WithAttempt(r.Context())
	who := &identified{}
	r = r.WithContext(context.WithValue(ctx, identifiedKey{}, who))
	who.response, who.ok, who.err = authenticate.AuthenticateRequest(r)
	if refusal := (*shares.Error)(nil); errors.As(attempt.Err, &refusal) {
		throttle(w, r, refusal)
		return
	}
	if who.err != nil || !who.ok || who.response.User.GetName() == user.Anonymous {
		next.ServeHTTP(w, r) // the chain refuses it
		return
	}
	info, err := config.RequestInfoResolver.NewRequestInfo(r)
	if err != nil {
		info = nil
	}
	leave, err := f.admit(r, info, who.response.User.GetName(), attempt.Token != "")
	if refusal := (*shares.Error)(nil); errors.As(err, &refusal) {
		throttle(w, r, refusal)
		return
	}
	defer leave()
	if r = f.needless.discard(w, r, info); r != nil {
		next.ServeHTTP(w, r)
	}
}

// admit counts a request of the aggregated API. The documented API counts its own requests.
func (f *front) admit(r *http.Request, info *apirequest.RequestInfo, caller string, byToken bool) (leave func(), err error) {
	namespace, long := "", false
	if info != nil && info.IsResourceRequest && info.APIGroup == subresources.GroupName {
		namespace, long = info.Namespace, longRunning(r, info)
	}
	if err := f.connected(r, caller, namespace, byToken); err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.URL.Path, rest.AggregatedPrefix+"/") {
		return func() {}, nil
	}
	rates := f.writes
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		rates = f.reads
	}
	if err := rates.Take(caller, namespace); err != nil || long { // long requests have places of their own
		return func() {}, err
	}
	return f.requests.Enter(caller, namespace)
}

// connected registers the caller of the request's connection. A connection on which the front proxy has authenticated is not
// counted.
func (f *front) connected(r *http.Request, caller, namespace string, byToken bool) error {
	switch {
	case f.conns == nil:
		return nil
	case !byToken && r.Header.Get("X-Remote-User") == caller:
		f.conns.FrontProxy(r.RemoteAddr)
		return nil
	}
	return f.conns.Authenticated(r.RemoteAddr, caller, namespace)
}

// identified is the result of an authentication.
type identified struct {
	response *authenticator.Response
	ok       bool
	err      error
}

type identifiedKey struct{}

// remembered returns the result that identify has stored.
type remembered struct{ delegate authenticator.Request }

// AuthenticateRequest implements authenticator.Request.
func (m remembered) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if who, ok := r.Context().Value(identifiedKey{}).(*identified); ok {
		return who.response, who.ok, who.err
	}
	return m.delegate.AuthenticateRequest(r)
}

func throttle(w http.ResponseWriter, r *http.Request, refusal *shares.Error) {
	w.Header().Set("Retry-After", strconv.Itoa(refusal.Seconds()))
	refuse(w, r, http.StatusTooManyRequests, refusal.Sentence)
}

// refuse answers in the format of the path's frontend.
func refuse(w http.ResponseWriter, r *http.Request, status int, sentence string) {
	var body any
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, workPrefix):
		body = map[string]string{"error": sentence}
	case ownPath(path) || strings.HasPrefix(path, rest.AggregatedPrefix+"/"):
		rest.SetRequestID(w, r)
		body = map[string]string{"detail": strings.ToUpper(sentence[:1]) + strings.TrimSuffix(sentence[1:], ".") + "."}
	default:
		reasons := map[int]metav1.StatusReason{
			http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusBadRequest: metav1.StatusReasonBadRequest,
			http.StatusTooManyRequests: metav1.StatusReasonTooManyRequests, http.StatusUnsupportedMediaType: metav1.StatusReasonUnsupportedMediaType,
			http.StatusRequestEntityTooLarge: metav1.StatusReasonRequestEntityTooLarge, http.StatusRequestTimeout: metav1.StatusReasonTimeout,
		}
		answer := &metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
			Message: sentence, Reason: reasons[status], Code: int32(status),
		}
		if seconds, err := strconv.Atoi(w.Header().Get("Retry-After")); err == nil {
			answer.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(seconds)}
		}
		body = answer
	}
	data, err := json.Marshal(body)
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}
