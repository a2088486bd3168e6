package shares

import (
	"sync"
	"time"
)

// retrySoon is the Retry-After of a refusal: a place may be free by then.
const retrySoon = time.Second

// Limits are the maximum numbers of concurrent requests of one kind. Each request takes a place.
type Limits struct {
	// Total is the number of places. Caller and Namespace are the most that one caller and one namespace may use while
	// all others are free. Both shares shrink as places are taken, so that a caller without a place finds one.
	Total, Caller, Namespace int
}

// Limiter bounds how many requests of a kind are served at once.
type Limiter struct {
	what   string
	limits Limits

	mu         sync.Mutex
	used       int
	callers    map[string]int
	namespaces map[string]int
}

// NewLimiter returns a limiter. what names the limited requests in the plural, as in "log streams".
func NewLimiter(what string, limits Limits) *Limiter {
	return &Limiter{what: what, limits: limits, callers: map[string]int{}, namespaces: map[string]int{}}
}

// Enter takes a place until leave is called. It never waits: waiting requests would fill the memory. An empty namespace is not
// counted. The error is a *Error.
func (p *Limiter) Enter(caller, namespace string) (leave func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if refusal := p.check(p.callers[caller], p.namespaces[namespace], namespace); refusal != nil {
		return nil, refusal
	}
	p.used++
	p.callers[caller]++
	if namespace != "" {
		p.namespaces[namespace]++
	}
	return sync.OnceFunc(func() { p.leave(caller, namespace) }), nil
}

func (p *Limiter) check(ofCaller, ofNamespace int, namespace string) error {
	l := p.limits
	free := l.Total - p.used
	switch {
	case ofCaller >= l.Caller:
		return refuse(OfCaller, retrySoon, "you use %d %s, and a caller may use at most %d at a time: end one of them, or try again in a second", ofCaller, p.what, l.Caller)
	case namespace != "" && ofNamespace >= l.Namespace:
		return refuse(OfNamespace, retrySoon, "the namespace %s uses %d %s, and a namespace may use at most %d at a time: end one of them, or try again in a second", namespace, ofNamespace, p.what, l.Namespace)
	case free <= 0 || !fits(ofCaller, l.Caller, l.Total, free) || namespace != "" && !fits(ofNamespace, l.Namespace, l.Total, free):
		return refuse(OfServer, retrySoon, "the server serves %d of at most %d %s, and keeps the others for callers that use fewer: try again in a second", p.used, l.Total, p.what)
	}
	return nil
}

// fits reports whether a caller or namespace that holds places may take one more of the free ones. The share is a fixed multiple of
// the free places: without other callers it equals the limit, and it shrinks as others take places.
func fits(held, limit, total, free int) bool { return held*(total-limit) < limit*free || held == 0 }

func (p *Limiter) leave(caller, namespace string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	release(p.callers, caller)
	if namespace != "" {
		release(p.namespaces, namespace)
	}
}

// release removes a key without places, so that the maps are bounded by the number of places.
func release(counts map[string]int, key string) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// Used is the number of places that are taken.
func (p *Limiter) Used() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}
