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

// probeLimits bounds concurrent health requests, by address. One takes about a millisecond.
var probeLimits = shares.Limits{Total: 64, Caller: 8, Namespace: 64}

// chain handles every request before its frontend.
type chain struct {
	// conns is nil if connections are not counted.
	conns         *connections.Listener
	proxies       connections.Proxies
	probes        *shares.Limiter
	requests      *shares.Limiter
	reads, writes *shares.Rates
	// reasons are the readiness checks by name. Authorized callers may read their errors.
	reasons map[string]func(*http.Request) error
	// recheck repeats the authorization of long requests.
	recheck func(next http.Handler) http.Handler
	// unusedBodies discards the bodies that no handler reads.
	unusedBodies unusedBodies
}

// build returns the handler chain of the server, which ends with the frontends.
func (c *chain) build(exchange, documented http.Handler) func(http.Handler, *genericapiserver.Config) http.Handler {
	return func(api http.Handler, config *genericapiserver.Config) http.Handler {
		authenticate := config.Authentication.Authenticator
		config.Authentication.Authenticator = remembered{authenticate}
		frontends := withFrontends(exchange, documented)(c.recheck(api), config)
		dispatch := guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.WithContext(connections.WithSource(r.Context(), connections.Key(c.proxies.Client(r))))
			switch {
			case frontendPath(r.URL.Path): // this frontend authenticates by itself
				frontends.ServeHTTP(w, r)
			case probePath(r.URL.Path):
				c.probe(w, r, frontends, authenticate, config)
			default:
				c.identify(w, r, frontends, authenticate, config)
			}
		}))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c.conns != nil {
				done := c.conns.Serving(r.RemoteAddr)
				defer func(ctx context.Context) { done(ctx.Err() != nil) }(r.Context())
			}
			dispatch.ServeHTTP(w, r)
		})
	}
}

func frontendPath(path string) bool {
	return strings.HasPrefix(path, workPrefix) || path == restPrefix || strings.HasPrefix(path, restPrefix+"/")
}

// identify authenticates a request to the aggregated API once, for this chain and the generic server's, and counts it.
func (c *chain) identify(w http.ResponseWriter, r *http.Request, next http.Handler, authenticate authenticator.Request, config *genericapiserver.Config) {
	ctx, attempt := identity.WithAttempt(r.Context())
	result := &identified{}
	r = r.WithContext(context.WithValue(ctx, identifiedKey{}, result))
	result.response, result.ok, result.err = authenticate.AuthenticateRequest(r)
	if refusal := (*shares.Error)(nil); errors.As(attempt.Err, &refusal) {
		throttle(w, r, refusal)
		return
	}
	if result.err != nil || !result.ok || result.response.User.GetName() == user.Anonymous {
		next.ServeHTTP(w, r) // the generic server's chain refuses it
		return
	}
	info, err := config.RequestInfoResolver.NewRequestInfo(r)
	if err != nil {
		info = nil
	}
	release, err := c.admit(r, info, result.response.User.GetName(), attempt.Token != "")
	if refusal := (*shares.Error)(nil); errors.As(err, &refusal) {
		throttle(w, r, refusal)
		return
	}
	defer release()
	if r = c.unusedBodies.discard(w, r, info); r != nil {
		next.ServeHTTP(w, r)
	}
}

// admit applies the limits of requests to the aggregated API. The documented API applies them itself.
func (c *chain) admit(r *http.Request, info *apirequest.RequestInfo, caller string, byToken bool) (release func(), err error) {
	namespace, long := "", false
	if info != nil && info.IsResourceRequest && info.APIGroup == subresources.GroupName {
		namespace, long = info.Namespace, longRunning(r, info)
	}
	if err := c.connected(r, caller, namespace, byToken); err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.URL.Path, rest.AggregatedPrefix+"/") {
		return func() {}, nil
	}
	rates := c.writes
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		rates = c.reads
	}
	if err := rates.Take(caller, namespace); err != nil || long { // long requests have their own concurrency limit
		return func() {}, err
	}
	return c.requests.Enter(caller, namespace)
}

// connected registers the caller of the request's connection. Connections on which the front proxy has authenticated are not counted.
func (c *chain) connected(r *http.Request, caller, namespace string, byToken bool) error {
	switch {
	case c.conns == nil:
		return nil
	case !byToken && r.Header.Get("X-Remote-User") == caller:
		c.conns.FrontProxy(r.RemoteAddr)
		return nil
	}
	return c.conns.Authenticated(r.RemoteAddr, caller, namespace)
}

// identified is the result of an authentication.
type identified struct {
	response *authenticator.Response
	ok       bool
	err      error
}

type identifiedKey struct{}

// remembered is an authenticator that returns the result that identify has stored.
type remembered struct{ delegate authenticator.Request }

// AuthenticateRequest implements authenticator.Request.
func (m remembered) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if result, ok := r.Context().Value(identifiedKey{}).(*identified); ok {
		return result.response, result.ok, result.err
	}
	return m.delegate.AuthenticateRequest(r)
}

func throttle(w http.ResponseWriter, r *http.Request, refusal *shares.Error) {
	w.Header().Set("Retry-After", strconv.Itoa(refusal.Seconds()))
	refuse(w, r, http.StatusTooManyRequests, refusal.Message)
}

// refuse sends an error in the format of the path's frontend.
func refuse(w http.ResponseWriter, r *http.Request, status int, message string) {
	var body any
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, workPrefix):
		body = map[string]string{"error": message}
	case frontendPath(path) || strings.HasPrefix(path, rest.AggregatedPrefix+"/"):
		rest.SetRequestID(w, r)
		body = map[string]string{"detail": strings.ToUpper(message[:1]) + strings.TrimSuffix(message[1:], ".") + "."}
	default:
		reasons := map[int]metav1.StatusReason{
			http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusBadRequest: metav1.StatusReasonBadRequest,
			http.StatusTooManyRequests: metav1.StatusReasonTooManyRequests, http.StatusUnsupportedMediaType: metav1.StatusReasonUnsupportedMediaType,
			http.StatusRequestEntityTooLarge: metav1.StatusReasonRequestEntityTooLarge, http.StatusRequestTimeout: metav1.StatusReasonTimeout,
		}
		answer := &metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
			Message: message, Reason: reasons[status], Code: int32(status),
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
