package outcomes

import (
	"fmt"
	"sync/atomic"
)

var (
	errNotOpened = fmt.Errorf("%w: it has not been opened", ErrNotReady)
	errClosed    = fmt.Errorf("%w: it has been closed", ErrNotReady)
)

// readiness is whether a store can be used, and if not, what it waits for.
type readiness struct {
	// waiting is why the store cannot be used; nil if it can.
	waiting atomic.Pointer[error]
}

func (r *readiness) waitFor(reason error) { r.waiting.Store(&reason) }

// Ready returns nil if the store can be used, else an error that says what it waits for.
func (r *readiness) Ready() error {
	if reason := r.waiting.Load(); reason != nil {
		return *reason
	}
	return nil
}

// notOpen never returns nil, although the store may have been opened meanwhile.
func (r *readiness) notOpen() error {
	if reason := r.Ready(); reason != nil {
		return reason
	}
	return ErrNotReady
}
