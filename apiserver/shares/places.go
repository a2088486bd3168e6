package shares

import (
	"sync"
	"time"
)

// retrySoon is when a place may be free again.
const retrySoon = time.Second

// Limits are the numbers of places of one kind.
type Limits struct {
	// Total is how many there are. Caller and Namespace are how many of them one caller, and one namespace, may have
	// while nobody else has any. The more are taken by others, the smaller these shares are, so that a place is left for
	// who has none.
	Total, Caller, Namespace int
}

// Places bounds how many requests of a kind are served at once.
type Places struct {
	what   string
	limits Limits

	mu         sync.Mutex
	used       int
	callers    map[string]int
	namespaces map[string]int
}

// NewPlaces makes places. what names them in the plural, as in "log streams".
func NewPlaces(what string, limits Limits) *Places {
	return &Places{what: what, limits: limits, callers: map[string]int{}, namespaces: map[string]int{}}
}

// Enter takes a place until leave is called. Where there is none it refuses at once, rather than let requests wait in
// memory. An empty namespace has no share. The error is a *Refusal.
func (p *Places) Enter(caller, namespace string) (leave func(), err error) {
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

func (p *Places) check(ofCaller, ofNamespace int, namespace string) error {
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

// fits says whether somebody who has so many places may take one more of those that are free. The share is a multiple of
// what is free: alone it comes to the limit, and with others it shrinks so that some are always left for who has none.
func fits(held, limit, total, free int) bool { return held*(total-limit) < limit*free || held == 0 }

func (p *Places) leave(caller, namespace string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	release(p.callers, caller)
	if namespace != "" {
		release(p.namespaces, namespace)
	}
}

// release forgets who has nothing, so that the maps are bounded by the number of places.
func release(counts map[string]int, key string) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// Used is how many places are taken.
func (p *Places) Used() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}
