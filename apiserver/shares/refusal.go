package shares

import (
	"fmt"
	"time"
)

// Limit says which limit was reached.
type Limit string

// The limits.
const (
	// OfCaller is the caller's own share.
	OfCaller Limit = "caller"
	// OfNamespace is the share of the request's namespace.
	OfNamespace Limit = "namespace"
	// OfServer is the capacity of the server for all callers.
	OfServer Limit = "server"
)

// Error is the error that a limit was reached. Frontends answer it with 429 and Retry-After.
type Error struct {
	// Limit says which limit.
	Limit Limit
	// Message names the limit and says what to do. It is shown to the caller.
	Message string
	// RetryAfter is when to try again.
	RetryAfter time.Duration
}

// Error implements error.
func (r *Error) Error() string { return r.Message }

// Seconds is the value of the header Retry-After: whole seconds, at least one.
func (r *Error) Seconds() int { return max(1, int((r.RetryAfter+time.Second-1)/time.Second)) }

func refuse(limit Limit, after time.Duration, format string, args ...any) *Error {
	observeRefusal(limit)
	return &Error{Limit: limit, Message: fmt.Sprintf(format, args...), RetryAfter: after}
}
