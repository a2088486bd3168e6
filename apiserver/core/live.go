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

// ErrBusy: the bounded live reads of the Kubernetes API are used up for the moment. The caller may ask again in a second.
var ErrBusy = errors.New("too many live reads of the Kubernetes API at the moment: try again in a second")

// liveTimeout bounds one live read, which all that wait for it share.
const liveTimeout = 10 * time.Second

// live reads single objects from the API where a cache may lag behind: so many a second, of which one namespace has a quarter,
// and one at a time for each key, its answer shared by all who wait for it.
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

// get reads the object of that name. The answer is shared: nobody changes it.
func (l *live[T]) get(ctx context.Context, namespace, name string) (T, error) {
	var none T
	flight := l.flights.DoChan(namespace+"/"+name, func() (any, error) {
		// The namespace's share comes first, so that a refused read does not count for the others.
		if l.shares.TakeOfCaller(namespace) != nil || !l.limiter.Allow() {
			return none, ErrBusy
		}
		// Detached from the caller, who may go away: others wait for the same answer.
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
			return none, fmt.Errorf("reading %s/%s gave a %T", namespace, name, result.Val)
		}
		return value, nil
	}
}
