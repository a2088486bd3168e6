package subresources

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"sharedcloud.io/function-operator/apiserver/shares"
)

// Limits on concurrent requests of each subresource. A response that does not follow holds a page of outcomes in memory; one
// that follows holds a buffer while it waits; an upload holds a chunk of a megabyte.
var (
	readLimits   = shares.Limits{Total: 16, Caller: 4, Namespace: 8}
	followLimits = shares.Limits{Total: 64, Caller: 8, Namespace: 24}
	uploadLimits = shares.Limits{Total: 16, Caller: 4, Namespace: 8}
)

// slots limits the concurrent requests of a subresource that streams.
type slots struct{ reads, follows *shares.Limiter }

// newSlots returns the slots; errors contain plural.
func newSlots(plural string) slots {
	return slots{shares.NewLimiter(plural, readLimits), shares.NewLimiter("followed "+plural, followLimits)}
}

func (a slots) enter(ctx context.Context, namespace string, follow bool) (leave func(), err error) {
	if follow {
		return enter(ctx, a.follows, namespace)
	}
	return enter(ctx, a.reads, namespace)
}

// enter takes a slot for the caller. The error is 429 with Retry-After.
func enter(ctx context.Context, slots *shares.Limiter, namespace string) (leave func(), err error) {
	leave, err = slots.Enter(callerOf(ctx), namespace)
	if refusal := (*shares.Error)(nil); errors.As(err, &refusal) {
		return nil, apierrors.NewTooManyRequests(refusal.Message, refusal.Seconds())
	}
	return leave, err
}

// callerOf returns the name of the request's user.
func callerOf(ctx context.Context) string {
	if caller, ok := apirequest.UserFrom(ctx); ok {
		return caller.GetName()
	}
	return ""
}
