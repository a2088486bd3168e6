package rest

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/accept"
	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/apiserver/writes"
)

const (
	// Prefix is the base path on the server's own port, AggregatedPrefix the one through the aggregator.
	Prefix           = "/api/v1"
	AggregatedPrefix = "/apis/rest.sharedcloud.io/v1"

	headerRequestID = "X-Request-Id"

	// maxBody bounds a body: the longest inputs, escaped.
	maxBody = 6 << 20
	// bodyTimeout bounds the time in which a body must arrive.
	bodyTimeout = 30 * time.Second
	// refusedBodyTimeout bounds the time for the body of a refused request.
	refusedBodyTimeout = 5 * time.Second
)

// Outcomes reads the outcome store, see outcomes.Reader.
type Outcomes interface {
	Executes(ctx context.Context, run types.UID) (bool, error)
	Workers(ctx context.Context, run types.UID) (outcomes.RunState, error)
	Before(ctx context.Context, run types.UID, before, limit int) (outcomes.RunState, error)
	At(ctx context.Context, run types.UID, index int) (outcomes.RunState, error)
}

// Inputs reads the inputs of runs.
type Inputs interface {
	Read(ctx context.Context, namespace, name string, uid types.UID) (*core.RunInputs, error)
}

// Config configures the API.
type Config struct {
	Cluster      *core.Cluster
	Writer       *writes.Writer
	Catalogue    *core.Catalogue
	Code         *core.Code
	Inputs       Inputs
	Outcomes     Outcomes
	Reachability *core.Reachability
	Callers      *identity.Callers
	Tenancy      *identity.Tenancy
	Rules        *identity.Rules
	Prices       core.Prices
	// Reads and Writes are the rate limits, and Requests is the concurrency limit, of a caller and a namespace on all frontends. If nil, this
	// frontend has its own, with ReadsPerSecond and WritesPerSecond.
	Reads, Writes                   *shares.Rates
	Requests                        *shares.Limiter
	ReadsPerSecond, WritesPerSecond float64
	// Connected registers the caller of the request's connection; nil if connections are not counted. The error is a *shares.Error.
	Connected func(r *http.Request, caller, namespace string) error
	// Alive reports whether a namespace exists and is not being deleted; nil for always.
	Alive func(namespace string) bool
	// Recheck is the interval in which a long list is authorized again; 0 for the default.
	Recheck time.Duration
	// Synced reports whether the caches are filled; until then requests are refused.
	Synced func() bool
	Clock  clock.WithTicker
}

// API is the documented API.
type API struct {
	Config
	limits *limits
	routes map[string]*resource
}

// New returns the API.
func New(config Config) *API {
	a := &API{Config: config, limits: newLimits(config)}
	if a.Recheck == 0 {
		a.Recheck = identity.DefaultRecheck
	}
	a.routes = a.resources()
	return a
}

// call is the state of one request.
type call struct {
	api     *API
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	// slash: the path ends with a slash, which selects the dialect.
	slash bool
	// id is the part of the path after the resource, "" for the collection.
	id string
	// caller and namespace are set by admit; chosen means that the caller selected the namespace.
	caller    user.Info
	namespace string
	chosen    bool
	// right is the last right that the call was granted, for the recheck.
	right atomic.Pointer[right]
	now   time.Time
	// charge is the body's share of the budget; nil if no body was read.
	charge *bodies.Charge
}

// right is a permission on a resource.
type right struct{ verb, resource, name string }

func (c *call) ctx() context.Context { return c.r.Context() }

// Handler serves the API at Prefix, to callers with a token.
func (a *API) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.serve(w, r, Prefix, func(r *http.Request) (user.Info, error) {
			return a.Callers.Authenticate(r)
		})
	})
}

// Aggregated serves the API at AggregatedPrefix, to callers that the generic server's chain has authenticated.
func (a *API) Aggregated() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.serve(w, r, AggregatedPrefix, func(r *http.Request) (user.Info, error) {
			caller, ok := apirequest.UserFrom(r.Context())
			if !ok || caller.GetName() == user.Anonymous {
				return nil, identity.ErrNoCredentials
			}
			return caller, nil
		})
	})
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, prefix string, authenticate func(*http.Request) (user.Info, error)) {
	began := a.Clock.Now()
	id := requestID(r)
	w.Header().Set(headerRequestID, id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	recorder := &recorder{ResponseWriter: w, head: r.Method == http.MethodHead}
	logger := klog.FromContext(r.Context()).WithValues("request", id)
	c := &call{api: a, w: recorder, r: r.WithContext(klog.NewContext(r.Context(), logger)), control: http.NewResponseController(w), now: began}
	route := "unknown"
	defer func() {
		problem := recover()
		if err, ok := problem.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(problem)
		}
		if problem != nil {
			logger.Error(nil, "REST request panicked", "panic", problem, "stack", string(debug.Stack()))
			if recorder.status != 0 {
				panic(http.ErrAbortHandler) // closes the connection: the client must not accept a partial response
			}
			refuse(http.StatusInternalServerError, "%s", internalError).write(recorder)
		}
		observe(route, r.Method, recorder.status, a.Clock.Since(began))
	}()
	defer func() {
		if c.charge != nil {
			c.charge.Close()
		}
	}()
	found, err := c.route(prefix)
	if err == nil {
		route = found.name
		err = c.handle(found, authenticate)
	}
	if err != nil {
		c.refuse(recorder, err)
	}
}

// refuse sends the response of the error. If a response has begun, it closes the connection, so that the client does not accept a partial one.
func (c *call) refuse(recorder *recorder, err error) {
	disconnected := c.r.Context().Err() != nil && errors.Is(err, c.r.Context().Err())
	if recorder.status != 0 || disconnected {
		if !disconnected {
			klog.FromContext(c.ctx()).Error(logged(err), "REST request failed after its response had begun", "path", printable.Cut(c.r.URL.Path, 200))
		}
		panic(http.ErrAbortHandler)
	}
	// A client that is still sending when the connection is closed may not read the response.
	limits := bodies.Limits{Bytes: maxBody, Timeout: refusedBodyTimeout}
	if c.caller == nil {
		limits.Bytes = maxAnonymousBody
	}
	if c.charge == nil && c.r.Header.Get("Expect") == "" && c.r.ContentLength > 0 && c.r.ContentLength <= limits.Bytes {
		_ = bodies.New(c.w, c.r, limits, nil, c.api.Clock).Discard()
	}
	refusalOf(err).write(recorder)
}

// handle admits a call and calls its handler.
func (c *call) handle(found *resource, authenticate func(*http.Request) (user.Info, error)) error {
	methods := found.collection
	if c.id != "" {
		methods = found.item
	}
	if !found.open && !c.api.Synced() {
		return later(http.StatusServiceUnavailable, retrySoon, "The server is starting: retry in a second.")
	}
	admit := func() (func(), error) { return c.api.limits.anonymousCaller(c.r) }
	if !found.open {
		admit = func() (func(), error) { return c.admit(authenticate) }
	}
	release, err := admit()
	if err != nil {
		return err
	}
	defer release()
	method := c.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if method == http.MethodOptions {
		return c.options(found, methods)
	}
	serve, ok := methods[method]
	if !ok {
		return notAllowed(c.r.Method, allowed(methods))
	}
	if coding := bodies.ContentCoding(c.r.Header); coding != "" {
		return refuse(http.StatusUnsupportedMediaType, "Unsupported content encoding %q in request: send the body uncompressed.", printable.Cut(coding, 100))
	}
	switch method {
	case http.MethodGet, http.MethodDelete:
		if err := c.discardBody(); err != nil {
			return err
		}
	}
	if !found.page && !accept.Any(c.r.Header.Values("Accept"), contentJSON) {
		return refuse(http.StatusNotAcceptable, "Could not satisfy the request Accept header.")
	}
	return serve(c)
}

// admit authenticates the caller, finds its namespace, and applies the limits of requests.
func (c *call) admit(authenticate func(*http.Request) (user.Info, error)) (release func(), err error) {
	if c.caller, err = authenticate(c.r); err != nil {
		return nil, err
	}
	// Before the requests to the Kubernetes API that authorize the caller.
	if err := c.api.limits.caller(c.caller, c.r.Method); err != nil {
		return nil, err
	}
	if err := c.locate(); err != nil {
		return nil, err
	}
	if c.api.Connected != nil {
		if err := c.api.Connected(c.r, c.caller.GetName(), c.namespace); err != nil {
			return nil, err
		}
	}
	if err := c.api.limits.namespace(c.namespace, c.r.Method); err != nil {
		return nil, err
	}
	free, err := c.api.limits.requests.Enter(c.caller.GetName(), c.namespace)
	if err != nil {
		return nil, err
	}
	request := c.r
	writing := apirequest.WithUser(c.ctx(), c.caller) // the writer checks which objects this caller may use
	ctx, stop := identity.Recheck(writing, c.api.Recheck, func(ctx context.Context) error { return c.recheck(ctx, request, authenticate) })
	c.r = c.r.WithContext(ctx)
	return func() {
		stop()
		free()
	}, nil
}

// recheck checks whether the call would still be admitted.
func (c *call) recheck(ctx context.Context, request *http.Request, authenticate func(*http.Request) (user.Info, error)) error {
	caller, err := authenticate(request)
	right := c.right.Load()
	switch {
	case errors.As(err, new(*identity.TokenError)), err == nil && caller.GetName() != c.caller.GetName(),
		err == nil && c.api.Alive != nil && !c.api.Alive(c.namespace):
		return identity.ErrRevoked
	case err != nil || right == nil:
		return err
	}
	allowed, err := c.api.Rules.May(ctx, c.caller, right.verb, right.resource, c.namespace, right.name)
	if err == nil && !allowed {
		return identity.ErrRevoked
	}
	return err
}

// locate determines the namespace of the call.
func (c *call) locate() error {
	caller := c.caller
	choice, err := c.choice()
	if err != nil {
		return err
	}
	c.namespace, c.chosen, err = c.api.Tenancy.Of(caller, choice)
	switch {
	case err != nil && c.chosen:
		return notFound()
	case err != nil:
		return refuse(http.StatusForbidden, "You have no namespace: ask a cluster administrator to add you to the annotation %s of one.", v1alpha1.AnnotationTenants)
	}
	return nil
}

// choice returns the namespace that the caller selects by header or, if it cannot send one (kubectl get --raw), by query parameter.
func (c *call) choice() (string, error) {
	choices := c.r.Header.Values(identity.HeaderNamespace)
	wrong := problems{}
	if text, given := c.query("namespace", wrong); given {
		choices = append(choices, text)
	}
	if len(choices) > 1 {
		return "", refuse(http.StatusBadRequest, "The namespace is specified %d times, by the header %s or the parameter namespace: specify it once.", len(choices), identity.HeaderNamespace)
	}
	return strings.Join(choices, ""), wrong.orNil()
}

// may reports whether the caller has the right. name is "" for all objects of the namespace.
func (c *call) may(verb, resource, name string) (bool, error) {
	return c.api.Rules.May(c.ctx(), c.caller, verb, resource, c.namespace, name)
}

// require returns an error if the caller does not have the right. In a namespace that the caller selected it is a 404.
func (c *call) require(verb, resource, name string) error {
	allowed, err := c.may(verb, resource, name)
	switch {
	case err != nil:
		return err
	case allowed:
		c.right.Store(&right{verb, resource, name})
		return nil
	case c.chosen:
		return notFound()
	default:
		return forbidden()
	}
}

// visible returns 404 for a selected namespace in which the caller may list nothing. It is for resources that are the same for all callers.
func (c *call) visible() error {
	if !c.chosen {
		return nil
	}
	for _, resource := range []string{resourceFunctions, resourceRuns, resourceImages} {
		if allowed, err := c.may("list", resource, ""); err != nil || allowed {
			return err
		}
	}
	return notFound()
}

// unknown returns the error for an object that is not in the caches: 404, or 503 if they may be stale.
func (c *call) unknown() error {
	if err := c.api.Reachability.Check(c.ctx()); err != nil {
		return err
	}
	return notFound()
}

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// SetRequestID sets the response header with the id of the request, for the handlers in front of this API.
func SetRequestID(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(headerRequestID, requestID(r))
}

// requestID returns the id that the caller sent, if it is valid, or a new one.
func requestID(r *http.Request) string {
	if ids := r.Header.Values(headerRequestID); len(ids) == 1 && requestIDPattern.MatchString(ids[0]) {
		return ids[0]
	}
	return uuid.NewString()
}

// recorder records the status, and omits the body of a HEAD response.
type recorder struct {
	http.ResponseWriter
	status int
	head   bool
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
		r.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(data []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.head {
		return len(data), nil
	}
	return r.ResponseWriter.Write(data)
}

// Unwrap lets http.ResponseController through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
