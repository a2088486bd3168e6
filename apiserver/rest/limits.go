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
	// retrySoon is when to come again where a moment is enough.
	retrySoon = time.Second
	// guestsPerSecond is what one address may ask for without credentials.
	guestsPerSecond = 50
	// bodyBytes bounds the bodies that are in memory at the same time, callerBytes and namespaceBytes those of one caller and
	// of one namespace.
	bodyBytes, namespaceBytes, callerBytes = 128 << 20, 64 << 20, 32 << 20
	// guestBody is how many bytes a body may have without credentials; guestBytes and addressBytes are as above.
	guestBody, guestBytes, addressBytes = 64 << 10, 4 << 20, 512 << 10
)

// The places of REST. A list holds a page of outcomes, or some inputs; any other request little, for a short time.
var (
	listPlaces      = shares.Limits{Total: 32, Caller: 8, Namespace: 16}
	requestPlaces   = shares.Limits{Total: 512, Caller: 64, Namespace: 192}
	anonymousPlaces = shares.Limits{Total: 64, Caller: 8, Namespace: 64}
)

// limits bound what one caller takes from the others.
type limits struct {
	reads, writes              *shares.Rates
	guests                     *shares.Rates // by address
	lists, requests, anonymous *shares.Places
	bodies, unknown            *bodies.Budget // unknown: of callers without credentials
}

func newLimits(config Config) *limits {
	if config.Reads == nil {
		config.Reads, config.Writes = shares.NewRates("reads", config.ReadsPerSecond), shares.NewRates("writes", config.WritesPerSecond)
	}
	if config.Requests == nil {
		config.Requests = NewRequestPlaces()
	}
	return &limits{
		reads: config.Reads, writes: config.Writes,
		guests:    shares.NewRates("requests without a token", guestsPerSecond),
		lists:     shares.NewPlaces("lists", listPlaces),
		requests:  config.Requests,
		anonymous: shares.NewPlaces("requests without a token", anonymousPlaces),
		bodies:    bodies.NewBudget(bodies.REST, bodyBytes, map[bodies.Kind]int64{bodies.Caller: callerBytes, bodies.Namespace: namespaceBytes}),
		unknown:   bodies.NewBudget(bodies.Anonymous, guestBytes, map[bodies.Kind]int64{bodies.Address: addressBytes}),
	}
}

// NewRequestPlaces are places for requests that are answered at once, of all callers with credentials.
func NewRequestPlaces() *shares.Places { return shares.NewPlaces("requests", requestPlaces) }

// caller counts one more request of a caller.
func (l *limits) caller(caller user.Info, method string) error {
	return l.rates(method).TakeOfCaller(caller.GetName())
}

// namespace counts one more request about a namespace.
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

// guest counts one more request without credentials, and takes a place for it.
func (l *limits) guest(r *http.Request) (leave func(), err error) {
	source := connections.Source(r)
	if err := l.guests.TakeOfCaller(source); err != nil {
		return nil, err
	}
	return l.anonymous.Enter(source, "")
}
