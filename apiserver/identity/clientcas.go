package identity

import (
	"context"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/klog/v2"
)

const (
	// clientCAsTimeout is how long the start waits for the certificate authority of the front proxy. In a cluster without an
	// aggregator there is none, and the server starts without it.
	clientCAsTimeout = 15 * time.Second
	clientCAsPoll    = 10 * time.Millisecond
)

// ClientCAs are the certificate authorities of clients, watched before the server accepts connections.
//
// The library starts to watch them when it starts to serve. A connection accepted before they are loaded does not request the
// client certificate, and the aggregator keeps such a connection: every caller on it is then unauthenticated.
type ClientCAs struct {
	// Only the interface: the library must not find the method Run and call it a second time.
	dynamiccertificates.CAContentProvider

	mu        sync.Mutex
	listeners []dynamiccertificates.Listener
}

var (
	_ dynamiccertificates.CAContentProvider = (*ClientCAs)(nil)
	_ dynamiccertificates.Listener          = (*ClientCAs)(nil)
)

// WatchClientCAs watches until ctx ends, and returns when the authorities are loaded.
func WatchClientCAs(ctx context.Context, watched dynamiccertificates.CAContentProvider, loaded func() bool) *ClientCAs {
	c := &ClientCAs{CAContentProvider: watched}
	// Before the watch starts: the library's list of listeners has no lock.
	watched.AddListener(c)
	if controller, ok := watched.(dynamiccertificates.ControllerRunner); ok {
		go controller.Run(ctx, 1)
	}
	timeout, tick := time.NewTimer(clientCAsTimeout), time.NewTicker(clientCAsPoll)
	defer timeout.Stop()
	defer tick.Stop()
	for !loaded() {
		select {
		case <-ctx.Done():
			return c
		case <-timeout.C:
			klog.FromContext(ctx).Info("The cluster has no certificate authority for its front proxy: requests through the aggregator are not authenticated")
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

// Enqueue implements dynamiccertificates.Listener: it notifies the listeners.
func (c *ClientCAs) Enqueue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, listener := range c.listeners {
		listener.Enqueue()
	}
}
