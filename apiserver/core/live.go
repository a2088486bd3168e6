package core

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"sharedcloud.io/function-operator/apiserver/shares"
)

// ErrBusy: the rate limit of live reads of the Kubernetes API is reached. Callers may retry after a second.
var ErrBusy = errors.New("too many live reads of the Kubernetes API: retry in a second")

// liveTimeout bounds one live read, which concurrent callers share.
const liveTimeout = 10 * time.Second

// live reads single objects from the API where a cache may be stale. Reads are limited per second, of which one namespace gets a quarter;
// concurrent reads of the same key are one request.
type live[T any] struct {
	limiter *rate.Limiter
	shares  *shares.Rates
	flights singleflight.Group
	read    func(ctx context.Context, namespace, name string) (T, error)
}

func newLive[T any](perSecond float64, burst int, read func(ctx context.Context, namespace, name string) (T, error)) *live[T] {
	return &live[T]{
		limiter: rate.NewLimiter(rate.Limit(4*perSecond), 4*burst),
		shares:  shares.NewRates("live reads", perSecond),
		read:    read,
	}
}

// get reads the object with the name. The result is shared and must not be modified.
func (l *live[T]) get(ctx context.Context, namespace, name string) (T, error) {
	var none T
	flight := l.flights.DoChan(namespace+"/"+name, func() (any, error) {
		// The namespace's limit is checked first: its refused reads do not reduce the limit of the others.
		if l.shares.TakeOfCaller(namespace) != nil || !l.limiter.Allow() {
			return none, ErrBusy
		}
		// Detached from the caller's cancellation: other callers wait for the same result.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), liveTimeout)
		defer cancel()
		return l.read(ctx, namespace, name)
	})
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case result := <-flight:
		if result.Err != nil {
			return none, result.Err
		}
		value, ok := result.Val.(T)
		if !ok {
			return none, fmt.Errorf("reading %s/%s returned a %T", namespace, name, result.Val)
		}
		return value, nil
	}
}
