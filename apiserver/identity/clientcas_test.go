package identity

import (
	"context"
	"crypto/x509"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// slowCAs are authorities that load some time after Run.
type slowCAs struct {
	listeners []dynamiccertificates.Listener
	runs      atomic.Int32
	content   atomic.Pointer[[]byte]
}

func (s *slowCAs) Name() string                               { return "slow" }
func (s *slowCAs) AddListener(l dynamiccertificates.Listener) { s.listeners = append(s.listeners, l) }
func (s *slowCAs) VerifyOptions() (x509.VerifyOptions, bool) {
	return x509.VerifyOptions{}, s.content.Load() != nil
}
func (s *slowCAs) RunOnce(context.Context) error { return nil }
func (s *slowCAs) CurrentCABundleContent() []byte {
	if content := s.content.Load(); content != nil {
		return *content
	}
	return nil
}

func (s *slowCAs) load(content string) {
	bytes := []byte(content)
	s.content.Store(&bytes)
	for _, listener := range s.listeners {
		listener.Enqueue()
	}
}

func (s *slowCAs) Run(context.Context, int) {
	s.runs.Add(1)
	s.load("first")
}

// heard counts notifications.
type heard struct{ atomic.Int32 }

func (h *heard) Enqueue() { h.Add(1) }

func TestClientCAsAreLoadedBeforeTheServerServes(t *testing.T) {
	slow := &slowCAs{}
	watched := WatchClientCAs(t.Context(), slow, func() bool { _, ok := slow.VerifyOptions(); return ok })
	if got := string(watched.CurrentCABundleContent()); got != "first" {
		t.Errorf("what the server starts with is %q", got)
	}
	if _, runs := any(watched).(dynamiccertificates.ControllerRunner); runs {
		t.Error("the library would run it a second time")
	}
	if got := slow.runs.Load(); got != 1 {
		t.Errorf("it was run %d times", got)
	}
	// The server listens while the authorities may change at any moment.
	news := &heard{}
	var group sync.WaitGroup
	group.Go(func() { slow.load("second") })
	group.Go(func() { watched.AddListener(news) })
	group.Wait()
	before := news.Load()
	slow.load("third")
	if got := news.Load() - before; got != 1 {
		t.Errorf("a change was notified %d times", got)
	}
}

func TestWaitingForClientCAsEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	WatchClientCAs(ctx, &slowCAs{}, func() bool { return false })
}
