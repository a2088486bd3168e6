package identity

import (
	"context"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/klog/v2"
)

const (
	// clientCAsPatience is how long a start waits for what vouches for the front proxy. A cluster without an aggregator
	// has nothing of the kind, and is served all the same.
	clientCAsPatience = 15 * time.Second
	clientCAsPoll     = 10 * time.Millisecond
)

// ClientCAs are the authorities that clients' certificates are from, watched from before the server serves.
//
// The library begins to watch when it begins to serve. Whoever connects in between is asked for no certificate that he
// has, and the aggregator keeps such a connection: each caller that comes over it is nobody, for as long as it lives.
type ClientCAs struct {
	// The interface alone: the library must not find a Run, and run it a second time.
	dynamiccertificates.CAContentProvider

	mu        sync.Mutex
	listeners []dynamiccertificates.Listener
}

var (
	_ dynamiccertificates.CAContentProvider = (*ClientCAs)(nil)
	_ dynamiccertificates.Listener          = (*ClientCAs)(nil)
)

// WatchClientCAs watches until ctx ends, and returns when loaded says that the authorities are there.
func WatchClientCAs(ctx context.Context, watched dynamiccertificates.CAContentProvider, loaded func() bool) *ClientCAs {
	c := &ClientCAs{CAContentProvider: watched}
	// Before anything runs: the library's list of listeners has no lock.
	watched.AddListener(c)
	if controller, ok := watched.(dynamiccertificates.ControllerRunner); ok {
		go controller.Run(ctx, 1)
	}
	patience, tick := time.NewTimer(clientCAsPatience), time.NewTicker(clientCAsPoll)
	defer patience.Stop()
	defer tick.Stop()
	for !loaded() {
		select {
		case <-ctx.Done():
			return c
		case <-patience.C:
			klog.FromContext(ctx).Info("The cluster does not say by which authority its front proxy is known: serving without; the aggregator cannot pass on who calls")
			return c
		case <-tick.C:
		}
	}
	return c
}

// AddListener implements dynamiccertificates.CAContentProvider.
func (c *ClientCAs) AddListener(listener dynamiccertificates.Listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners = append(c.listeners, listener)
}

// Enqueue implements dynamiccertificates.Listener: it passes the news on.
func (c *ClientCAs) Enqueue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, listener := range c.listeners {
		listener.Enqueue()
	}
}
