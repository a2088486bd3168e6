package subresources

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"sharedcloud.io/function-operator/apiserver/shares"
)

// The places of each subresource. An answer that does not follow holds a page of outcomes; one that follows holds a buffer
// while it waits; an upload holds a piece of a megabyte.
var (
	readPlaces   = shares.Limits{Total: 16, Caller: 4, Namespace: 8}
	followPlaces = shares.Limits{Total: 64, Caller: 8, Namespace: 24}
	uploadPlaces = shares.Limits{Total: 16, Caller: 4, Namespace: 8}
)

// answers are the places of a subresource that streams.
type answers struct{ reads, follows *shares.Places }

// newAnswers makes the places; plural names them.
func newAnswers(plural string) answers {
	return answers{shares.NewPlaces(plural, readPlaces), shares.NewPlaces("followed "+plural, followPlaces)}
}

func (a answers) enter(ctx context.Context, namespace string, follow bool) (leave func(), err error) {
	if follow {
		return enter(ctx, a.follows, namespace)
	}
	return enter(ctx, a.reads, namespace)
}

// enter takes a place for the caller. The error is 429 with Retry-After.
func enter(ctx context.Context, places *shares.Places, namespace string) (leave func(), err error) {
	leave, err = places.Enter(callerOf(ctx), namespace)
	if refusal := (*shares.Error)(nil); errors.As(err, &refusal) {
		return nil, apierrors.NewTooManyRequests(refusal.Sentence, refusal.Seconds())
	}
	return leave, err
}

// callerOf is the name of the request's user.
func callerOf(ctx context.Context) string {
	if caller, ok := apirequest.UserFrom(ctx); ok {
		return caller.GetName()
	}
	return ""
}
