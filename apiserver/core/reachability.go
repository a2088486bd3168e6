package core

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// contactFor is how long one sign of life is good for.
	contactFor = time.Second
	// contactTimeout bounds the waiting for one.
	contactTimeout = 3 * time.Second
)

// Reachability says whether the Kubernetes API can be reached, so that what the caches do not know may be called unknown. All
// who ask share one question a second: whoever guesses costs no more.
type Reachability struct {
	reader  client.Reader
	clock   clock.PassiveClock
	flights singleflight.Group

	mu   sync.Mutex
	last time.Time
}

// NewReachability makes it.
func NewReachability(reader client.Reader, clk clock.PassiveClock) *Reachability {
	return &Reachability{reader: reader, clock: clk}
}

// Check returns nil, ErrUnavailable, or ctx's error.
func (c *Reachability) Check(ctx context.Context) error {
	c.mu.Lock()
	fresh := !c.last.IsZero() && c.clock.Since(c.last) < contactFor
	c.mu.Unlock()
	if fresh {
		return nil
	}
	flight := c.flights.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), contactTimeout)
		defer cancel()
		if err := c.reader.List(ctx, &v1alpha1.FunctionList{}, client.Limit(1)); err != nil {
			return nil, fmt.Errorf("%w (looking for a sign of life: %w)", ErrUnavailable, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.last = c.clock.Now()
		return nil, nil
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case result := <-flight:
		return result.Err
	}
}
