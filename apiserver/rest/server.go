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

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/accept"
	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/apiserver/writes"
)

const (
	// Prefix is where the face is on its own port, AggregatedPrefix where it is through the aggregator.
	Prefix           = "/api/v1"
	AggregatedPrefix = "/apis/rest.sharedcloud.io/v1"

	headerRequestID = "X-Request-Id"

	// maxBody is how many bytes a body may have: the longest inputs, escaped.
	maxBody = 6 << 20
	// readPatience is how long a body may take.
	readPatience = 30 * time.Second
	// drainPatience is how long one may take that is refused already.
	drainPatience = 5 * time.Second
)

// Outcomes reads runs from the outcome store, see outcomes.Reader.
type Outcomes interface {
	Executes(ctx context.Context, run types.UID) (bool, error)
	Workers(ctx context.Context, run types.UID) (outcomes.RunState, error)
	Before(ctx context.Context, run types.UID, before, limit int) (outcomes.RunState, error)
	At(ctx context.Context, run types.UID, index int) (outcomes.RunState, error)
}

// Inputs finds what runs were given.
type Inputs interface {
	Read(ctx context.Context, namespace, name string, uid types.UID) (*core.RunInputs, error)
}

// Config is what the face is made of.
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
	// Reads and Writes are what a caller and a namespace may ask for in a second, Requests how many are served at once: of all
	// frontends. Where they are nil this one has its own, of ReadsPerSecond and WritesPerSecond.
	Reads, Writes                   *shares.Rates
	Requests                        *shares.Places
	ReadsPerSecond, WritesPerSecond float64
	// Connected registers the caller of the request's connection; nil if connections are not counted. The error is a *shares.Error.
	Connected func(r *http.Request, caller, namespace string) error
	// Alive says whether a namespace exists and is not being deleted; nil for always.
	Alive func(namespace string) bool
	// Recheck is how often a long list is authorized again; 0 for the default.
	Recheck time.Duration
	// Synced says whether the caches have seen everything once; until then there is nothing to answer from.
	Synced func() bool
	Clock  clock.WithTicker
}

// API is the face.
type API struct {
	Config
	limits *limits
	routes map[string]*resource
}

// New makes the face.
func New(config Config) *API {
	a := &API{Config: config, limits: newLimits(config)}
	if a.Recheck == 0 {
		a.Recheck = identity.DefaultRecheck
	}
	a.routes = a.resources()
	return a
}

// call is one request on its way to an answer.
type call struct {
	api     *API
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	// slash: the path ends with one, which chooses the dialect.
	slash bool
	// id is what the path has after the resource, "" for the collection.
	id string
	// caller and namespace are known once the call was let in; chosen says that the caller chose the namespace.
	caller    user.Info
	namespace string
	chosen    bool
	// right is the last one that the call was granted.
	right atomic.Pointer[right]
	now   time.Time
	// charge is what the body takes of the budget, nil where none was read.
	charge *bodies.Charge
}

// right is a right on a resource.
type right struct{ verb, resource, name string }

func (c *call) ctx() context.Context { return c.r.Context() }

// Handler serves the face at Prefix, to callers who show a token.
func (a *API) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.serve(w, r, Prefix, func(r *http.Request) (user.Info, error) {
			return a.Callers.Authenticate(r)
		})
	})
}

// Aggregated serves the face at AggregatedPrefix, to callers whom the library's chain of handlers has found out.
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

func (a *API) serve(w http.ResponseWriter, r *http.Request, prefix string, who func(*http.Request) (user.Info, error)) {
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
			logger.Error(nil, "A request of REST panicked", "panic", problem, "stack", string(debug.Stack()))
			if recorder.status != 0 {
				panic(http.ErrAbortHandler) // nobody takes the part for the whole
			}
			refuse(http.StatusInternalServerError, "Something went wrong here, and it is not your request: its id is in the log of the API server.").write(recorder)
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
		err = c.handle(found, who)
	}
	if err != nil {
		c.refuse(recorder, err)
	}
}

// refuse answers with what is wrong, where nothing was answered yet. A part is not left for the whole.
func (c *call) refuse(recorder *recorder, err error) {
	gone := c.r.Context().Err() != nil && errors.Is(err, c.r.Context().Err())
	if recorder.status != 0 || gone {
		if !gone {
			klog.FromContext(c.ctx()).Error(logged(err), "A request of REST failed in the middle of its answer", "path", wire.Cut(c.r.URL.Path, 200))
		}
		panic(http.ErrAbortHandler)
	}
	// Who is still sending when the connection is closed may not get to see the answer.
	limits := bodies.Limits{Bytes: maxBody, Patience: drainPatience}
	if c.caller == nil {
		limits.Bytes = guestBody
	}
	if c.charge == nil && c.r.Header.Get("Expect") == "" && c.r.ContentLength > 0 && c.r.ContentLength <= limits.Bytes {
		_ = bodies.New(c.w, c.r, limits, nil, c.api.Clock).Discard()
	}
	refusalOf(err).write(recorder)
}

// handle lets a call in and has it answered.
func (c *call) handle(found *resource, who func(*http.Request) (user.Info, error)) error {
	methods := found.collection
	if c.id != "" {
		methods = found.item
	}
	if !found.open && !c.api.Synced() {
		return later(http.StatusServiceUnavailable, retrySoon, "The server is starting: try again in a second.")
	}
	enter := func() (func(), error) { return c.api.limits.guest(c.r) }
	if !found.open {
		enter = func() (func(), error) { return c.admit(who) }
	}
	leave, err := enter()
	if err != nil {
		return err
	}
	defer leave()
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
	if coding := bodies.Encoded(c.r.Header); coding != "" {
		return refuse(http.StatusUnsupportedMediaType, "Unsupported content encoding %q in request: send the body as it is.", wire.Cut(coding, 100))
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

// admit authenticates the caller, finds its namespace, and takes a place.
func (c *call) admit(who func(*http.Request) (user.Info, error)) (leave func(), err error) {
	if c.caller, err = who(c.r); err != nil {
		return nil, err
	}
	// Before the cluster is asked about the caller.
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
	writing := apirequest.WithUser(c.ctx(), c.caller) // what writes for the caller asks what the caller may use
	ctx, stop := identity.Recheck(writing, c.api.Recheck, func(ctx context.Context) error { return c.still(ctx, request, who) })
	c.r = c.r.WithContext(ctx)
	return func() {
		stop()
		free()
	}, nil
}

// still checks whether the call would still be admitted.
func (c *call) still(ctx context.Context, request *http.Request, who func(*http.Request) (user.Info, error)) error {
	caller, err := who(request)
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

// locate finds the namespace that the caller works in.
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
		return refuse(http.StatusForbidden, "No namespace belongs to you: ask an administrator of the cluster to name you in the annotation %s of one.", v1alpha1.AnnotationTenants)
	}
	return nil
}

// choice is the namespace that the caller chose, by a header, or where he can send none (kubectl get --raw) by a parameter.
func (c *call) choice() (string, error) {
	choices := c.r.Header.Values(identity.HeaderNamespace)
	wrong := problems{}
	if text, given := c.query("namespace", wrong); given {
		choices = append(choices, text)
	}
	if len(choices) > 1 {
		return "", refuse(http.StatusBadRequest, "The namespace is given %d times, by the header %s or the parameter namespace: give it once.", len(choices), identity.HeaderNamespace)
	}
	return strings.Join(choices, ""), wrong.orNil()
}

// may asks whether the caller may do that. name is "" for what concerns all of a namespace.
func (c *call) may(verb, resource, name string) (bool, error) {
	return c.api.Rules.May(c.ctx(), c.caller, verb, resource, c.namespace, name)
}

// require refuses what the caller may not do: what he chose and may not use does not exist for him.
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

// visible refuses a namespace that the caller chose and may not use, where what he asks for is the same for all.
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

// unknown is the answer for what the caches do not know: 404, or 503 while they may be behind.
func (c *call) unknown() error {
	if err := c.api.Reachability.Check(c.ctx()); err != nil {
		return err
	}
	return notFound()
}

var sound = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// SetRequestID gives an answer the id of its request. Every answer has one, also those of handlers in front of this API.
func SetRequestID(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(headerRequestID, requestID(r))
}

// requestID is the caller's own, where it is one, or a new one.
func requestID(r *http.Request) string {
	if ids := r.Header.Values(headerRequestID); len(ids) == 1 && sound.MatchString(ids[0]) {
		return ids[0]
	}
	return uuid.NewString()
}

// recorder knows what was answered, and keeps bodies from those who want none.
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
