package identity

import (
	"context"
	"errors"
	"time"
)

// ErrRevoked is why a request that takes long ends before it is done: who made it is no longer allowed to.
var ErrRevoked = errors.New("the request ended because it is no longer allowed: the token, the account, the right or the namespace is gone")

// DefaultRecheck is how often a request that takes long is authorized again. Answers of the cluster are kept for up to 30
// seconds here and 10 in the cluster, so that a right that was taken away ends the request within a minute.
const DefaultRecheck = 15 * time.Second

// Recheck authorizes a request again at an interval, from that first interval on until stop is called. The context ends with the
// cause ErrRevoked when check returns an error that is ErrRevoked, or when it could not be answered for a minute.
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
