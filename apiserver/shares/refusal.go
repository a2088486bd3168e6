package shares

import (
	"fmt"
	"time"
)

// Limit says which limit was met.
type Limit string

// The limits.
const (
	// OfCaller is the caller's own share.
	OfCaller Limit = "caller"
	// OfNamespace is the share of the namespace that the request is about.
	OfNamespace Limit = "namespace"
	// OfServer is what the server has for all callers.
	OfServer Limit = "server"
)

// Refusal says that a limit was met. It becomes 429 with Retry-After.
type Refusal struct {
	// Limit says which.
	Limit Limit
	// Sentence names the limit and says what to do. It is shown to the caller.
	Sentence string
	// RetryAfter is when to try again.
	RetryAfter time.Duration
}

// Error implements error.
func (r *Refusal) Error() string { return r.Sentence }

// Seconds is the value of the header Retry-After: whole seconds, at least one.
func (r *Refusal) Seconds() int { return max(1, int((r.RetryAfter+time.Second-1)/time.Second)) }

func refuse(limit Limit, after time.Duration, format string, args ...any) *Refusal {
	observeRefusal(limit)
	return &Refusal{Limit: limit, Sentence: fmt.Sprintf(format, args...), RetryAfter: after}
}
