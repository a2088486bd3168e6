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
	// reachableFor is how long the result of a successful request is used.
	reachableFor = time.Second
	// reachableTimeout bounds one request.
	reachableTimeout = 3 * time.Second
)

// Reachability reports whether the Kubernetes API can be reached, so that an object that the caches do not have may be reported as not
// found. All callers share one request per second: guessing uuids causes no further load.
type Reachability struct {
	reader  client.Reader
	clock   clock.PassiveClock
	flights singleflight.Group

	mu   sync.Mutex
	last time.Time
}

// NewReachability returns a Reachability that makes its requests with reader.
func NewReachability(reader client.Reader, clk clock.PassiveClock) *Reachability {
	return &Reachability{reader: reader, clock: clk}
}

// Check returns nil, ErrUnavailable or ctx's error.
func (c *Reachability) Check(ctx context.Context) error {
	c.mu.Lock()
	fresh := !c.last.IsZero() && c.clock.Since(c.last) < reachableFor
	c.mu.Unlock()
	if fresh {
		return nil
	}
	flight := c.flights.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reachableTimeout)
		defer cancel()
		if err := c.reader.List(ctx, &v1alpha1.FunctionList{}, client.Limit(1)); err != nil {
			return nil, fmt.Errorf("%w (checking whether it can be reached: %w)", ErrUnavailable, err)
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
