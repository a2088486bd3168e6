package outcomes

import (
	"fmt"
	"sync/atomic"
)

var (
	errNotOpened = fmt.Errorf("%w: it has not been opened yet", ErrNotReady)
	errClosed    = fmt.Errorf("%w: it has been closed", ErrNotReady)
)

// readiness is whether a store can be used, and what it waits for otherwise.
type readiness struct {
	// waiting is why the store cannot be used; nil when it can.
	waiting atomic.Pointer[error]
}

func (r *readiness) waitFor(reason error) { r.waiting.Store(&reason) }

// Ready is nil when the store can be used, and otherwise says what it waits for.
func (r *readiness) Ready() error {
	if reason := r.waiting.Load(); reason != nil {
		return *reason
	}
	return nil
}

// notOpen is never nil: the store may have been opened since.
func (r *readiness) notOpen() error {
	if reason := r.Ready(); reason != nil {
		return reason
	}
	return ErrNotReady
}
