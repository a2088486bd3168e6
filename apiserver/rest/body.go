package rest

import (
	"errors"
	"io"
	"net/http"
	"os"

	"sharedcloud.io/function-operator/apiserver/rest/wire"
)

// readBody reads a body of any of the three kinds. No body is one without fields.
func (c *call) readBody() (wire.Body, []byte, error) {
	if !acquire(c.api.limits.bodies, c.r.ContentLength) {
		return wire.Body{}, nil, later(http.StatusTooManyRequests, retrySoon, "Too many bodies are being read at the moment: try again.")
	}
	defer release(c.api.limits.bodies, c.r.ContentLength)
	var data []byte
	var err error
	c.within(readPatience, func() { data, err = io.ReadAll(c.r.Body) })
	switch {
	case err == nil:
	case errors.As(err, new(*http.MaxBytesError)):
		c.w.Header().Set("Connection", "close")
		return wire.Body{}, nil, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.w.Header().Set("Connection", "close")
		return wire.Body{}, nil, refuse(http.StatusRequestTimeout, "The body did not arrive within %d seconds.", int(readPatience.Seconds()))
	default:
		return wire.Body{}, nil, refuse(http.StatusBadRequest, "The body cannot be read: it ends before it is complete, or is no body of HTTP.")
	}
	read, err := wire.Parse(c.r.Header.Get("Content-Type"), data)
	return read, data, err
}
