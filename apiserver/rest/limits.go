package rest

import (
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/shares"
)

const (
	// retrySoon is the Retry-After of short conditions.
	retrySoon = time.Second
	// anonymousPerSecond bounds the requests of one address without credentials.
	anonymousPerSecond = 50
	// bodyBytes, namespaceBytes and callerBytes bound the bodies in memory: of all callers, of one namespace and of one caller.
	bodyBytes, namespaceBytes, callerBytes = 128 << 20, 64 << 20, 32 << 20
	// maxAnonymousBody bounds a body without credentials; anonymousBodyBytes and addressBodyBytes bound all of them, and those of one address.
	maxAnonymousBody, anonymousBodyBytes, addressBodyBytes = 64 << 10, 4 << 20, 512 << 10
)

// Limits of concurrent requests. A list holds a page of outcomes or some inputs in memory; other requests need little memory and time.
var (
	listLimits      = shares.Limits{Total: 32, Caller: 8, Namespace: 16}
	requestLimits   = shares.Limits{Total: 512, Caller: 64, Namespace: 192}
	anonymousLimits = shares.Limits{Total: 64, Caller: 8, Namespace: 64}
)

// limits bound the share of one caller.
type limits struct {
	reads, writes              *shares.Rates
	anonymousRates             *shares.Rates // by address
	lists, requests, anonymous *shares.Limiter
	bodies, anonymousBodies    *bodies.Budget // anonymousBodies: of callers without credentials
}

func newLimits(config Config) *limits {
	if config.Reads == nil {
		config.Reads, config.Writes = shares.NewRates("reads", config.ReadsPerSecond), shares.NewRates("writes", config.WritesPerSecond)
	}
	if config.Requests == nil {
		config.Requests = NewRequestLimiter()
	}
	return &limits{
		reads: config.Reads, writes: config.Writes,
		anonymousRates:  shares.NewRates("requests without a token", anonymousPerSecond),
		lists:           shares.NewLimiter("lists", listLimits),
		requests:        config.Requests,
		anonymous:       shares.NewLimiter("requests without a token", anonymousLimits),
		bodies:          bodies.NewBudget(bodies.REST, bodyBytes, map[bodies.Kind]int64{bodies.Caller: callerBytes, bodies.Namespace: namespaceBytes}),
		anonymousBodies: bodies.NewBudget(bodies.Anonymous, anonymousBodyBytes, map[bodies.Kind]int64{bodies.Address: addressBodyBytes}),
	}
}

// NewRequestLimiter returns the concurrency limit of short requests of all authenticated callers.
func NewRequestLimiter() *shares.Limiter { return shares.NewLimiter("requests", requestLimits) }

// caller counts a request of a caller.
func (l *limits) caller(caller user.Info, method string) error {
	return l.rates(method).TakeOfCaller(caller.GetName())
}

// namespace counts a request for a namespace.
func (l *limits) namespace(namespace, method string) error {
	return l.rates(method).TakeOfNamespace(namespace)
}

func (l *limits) rates(method string) *shares.Rates {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return l.reads
	}
	return l.writes
}

// anonymousCaller counts a request without credentials, and bounds the concurrent ones.
func (l *limits) anonymousCaller(r *http.Request) (release func(), err error) {
	source := connections.Source(r)
	if err := l.anonymousRates.TakeOfCaller(source); err != nil {
		return nil, err
	}
	return l.anonymous.Enter(source, "")
}
