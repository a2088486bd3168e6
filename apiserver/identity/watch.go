package identity

import (
	"context"
	"errors"
	"time"
)

// ErrRevoked ends a long request whose caller is no longer authorized.
var ErrRevoked = errors.New("the request ended because it is no longer authorized: the token, the account, the right or the namespace is gone")

// DefaultRecheck is how often a long request is authorized again. Answers of the cluster are kept for up to 30 seconds here and 10
// in the cluster, so a revoked right ends the request within a minute.
const DefaultRecheck = 15 * time.Second

// Recheck authorizes a request again after each interval, until stop is called. The context ends with the cause ErrRevoked when
// check returns ErrRevoked, or when it has returned other errors for a minute.
func Recheck(parent context.Context, interval time.Duration, check func(ctx context.Context) error) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	last := time.Now()
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(interval, func() {
		<-ready
		asking, done := context.WithTimeout(ctx, reviewTimeout)
		err := check(asking)
		done()
		switch {
		case ctx.Err() != nil:
		case err == nil:
			last = time.Now()
			timer.Reset(interval)
		case errors.Is(err, ErrRevoked) || time.Since(last) > staleTTL:
			cancel(ErrRevoked)
		default:
			timer.Reset(interval)
		}
	})
	close(ready)
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}
