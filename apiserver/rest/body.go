package rest

import (
	"errors"
	"net/http"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
)

// readBody reads a body of any supported type. An empty body has no fields. The body's share of the budget is released after the response.
func (c *call) readBody() (wire.Body, []byte, error) {
	limits, charge, err := c.openBody()
	if err != nil {
		return wire.Body{}, nil, bodyRefusal(err)
	}
	c.charge = charge
	data, err := bodies.New(c.w, c.r, limits, charge, c.api.Clock).ReadAll(c.r.ContentLength)
	switch {
	case errors.Is(err, bodies.ErrFull):
		c.charge = nil // the reader has released it and discarded the rest of the body
		return wire.Body{}, nil, bodyRefusal(err)
	case err != nil:
		c.passBody(err)
		c.w.Header().Set("Connection", "close")
		return wire.Body{}, nil, bodyRefusal(err)
	}
	read, err := wire.Parse(c.r.Header.Get("Content-Type"), data)
	return read, data, err
}

// openBody returns the limits of the body, and charges it to the budgets of its sender.
func (c *call) openBody() (bodies.Limits, *bodies.Charge, error) {
	if c.caller == nil {
		charge, err := c.api.limits.anonymousBodies.Open(bodies.Key{Kind: bodies.Address, Name: connections.Source(c.r)})
		return bodies.Limits{Bytes: maxAnonymousBody, Timeout: bodyTimeout}, charge, err
	}
	charge, err := c.api.limits.bodies.Open(bodies.Key{Kind: bodies.Caller, Name: c.caller.GetName() + "\x00" + c.caller.GetUID()},
		bodies.Key{Kind: bodies.Namespace, Name: c.namespace})
	return bodies.Limits{Bytes: maxBody, Timeout: bodyTimeout}, charge, err
}

// discardBody reads the body of a request that needs none, so that every route refuses one that is too long.
func (c *call) discardBody() error {
	if c.r.ContentLength == 0 {
		return nil
	}
	limits := bodies.Limits{Bytes: maxAnonymousBody, Timeout: bodyTimeout}
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

// passBody discards the rest of a body that is too long, so that the client reads the error.
func (c *call) passBody(err error) {
	limit := int64(bodies.DrainAuthenticated)
	if c.caller == nil {
		limit = bodies.DrainUnauthenticated
	}
	if errors.As(err, new(*http.MaxBytesError)) {
		bodies.Drain(c.w, c.r, limit)
	}
}

func bodyRefusal(err error) error {
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return err
	case errors.Is(err, bodies.ErrFull), errors.Is(err, bodies.ErrBusy):
		return later(http.StatusTooManyRequests, retrySoon, "Too many request bodies are being received: retry in a second.")
	case errors.Is(err, bodies.ErrSlow):
		return refuse(http.StatusRequestTimeout, "The body did not arrive within %d seconds.", int(bodyTimeout.Seconds()))
	}
	return refuse(http.StatusBadRequest, "The body cannot be read: it is incomplete or not valid HTTP.")
}
