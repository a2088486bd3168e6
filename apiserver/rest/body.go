package rest

import (
	"errors"
	"net/http"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
)

// readBody reads a body of any of the three kinds. No body is one without fields. What it had of the budget is given back with
// the answer.
func (c *call) readBody() (wire.Body, []byte, error) {
	limits, charge, err := c.openBody()
	if err != nil {
		return wire.Body{}, nil, bodyRefusal(err)
	}
	c.charge = charge
	data, err := bodies.New(c.w, c.r, limits, charge, c.api.Clock).ReadAll(c.r.ContentLength)
	switch {
	case errors.Is(err, bodies.ErrFull):
		c.charge = nil // it was given back, and the rest of the body is passed over
		return wire.Body{}, nil, bodyRefusal(err)
	case err != nil:
		c.passBody(err)
		c.w.Header().Set("Connection", "close")
		return wire.Body{}, nil, bodyRefusal(err)
	}
	read, err := wire.Parse(c.r.Header.Get("Content-Type"), data)
	return read, data, err
}

// openBody says what a body may take, and charges it to those who send it.
func (c *call) openBody() (bodies.Limits, *bodies.Charge, error) {
	if c.caller == nil {
		charge, err := c.api.limits.unknown.Open(bodies.Key{Kind: bodies.Address, Name: connections.Source(c.r)})
		return bodies.Limits{Bytes: guestBody, Timeout: readPatience}, charge, err
	}
	charge, err := c.api.limits.bodies.Open(bodies.Key{Kind: bodies.Caller, Name: c.caller.GetName() + "\x00" + c.caller.GetUID()},
		bodies.Key{Kind: bodies.Namespace, Name: c.namespace})
	return bodies.Limits{Bytes: maxBody, Timeout: readPatience}, charge, err
}

// discardBody reads the body of a request that needs none, so that one that is too long is refused on every route.
func (c *call) discardBody() error {
	if c.r.ContentLength == 0 {
		return nil
	}
	limits := bodies.Limits{Bytes: guestBody, Timeout: readPatience}
	if c.r.ContentLength > limits.Bytes {
		err := &http.MaxBytesError{Limit: limits.Bytes}
		c.passBody(err)
		return err
	}
	if err := bodies.New(c.w, c.r, limits, nil, c.api.Clock).Discard(); err != nil {
		c.w.Header().Set("Connection", "close")
		return bodyRefusal(err)
	}
	return nil
}

// passBody lets the caller finish a body that is too long, so that it reads the refusal.
func (c *call) passBody(err error) {
	most := int64(bodies.DrainAuthenticated)
	if c.caller == nil {
		most = bodies.DrainUnauthenticated
	}
	if errors.As(err, new(*http.MaxBytesError)) {
		bodies.Drain(c.w, c.r, most)
	}
}

func bodyRefusal(err error) error {
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return err
	case errors.Is(err, bodies.ErrFull), errors.Is(err, bodies.ErrBusy):
		return later(http.StatusTooManyRequests, retrySoon, "Too many bodies are being read: try again.")
	case errors.Is(err, bodies.ErrSlow):
		return refuse(http.StatusRequestTimeout, "The body did not arrive within %d seconds.", int(readPatience.Seconds()))
	}
	return refuse(http.StatusBadRequest, "The body cannot be read: it ends before it is complete, or is no body of HTTP.")
}
