package subresources

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// places bounds how many requests are served at once: one for each that its capacity has room for.
type places chan struct{}

// enter takes a place until leave is called. Where none is free it refuses at once, with full and the advice to come
// again, rather than have requests wait in memory.
func (p places) enter(full string) (leave func(), err error) {
	select {
	case p <- struct{}{}:
		return func() { <-p }, nil
	default:
		return nil, apierrors.NewTooManyRequests(full, 1)
	}
}
