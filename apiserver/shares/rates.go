package shares

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/lru"
)

// ratesKept bounds how many callers and namespaces are kept. An evicted one starts with a full share again.
const ratesKept = 8192

// namespaceRate is the rate of a namespace as a multiple of a caller's.
const namespaceRate = 4

// Rates bounds how many requests of a kind one caller, and one namespace, may make in a second.
type Rates struct {
	what                string
	perSecond           float64
	callers, namespaces *lru.Cache
}

// NewRates allows a caller perSecond requests a second, and a namespace four times as many. The burst is that of two
// seconds. what names the requests in the plural, as in "writes".
func NewRates(what string, perSecond float64) *Rates {
	return &Rates{what: what, perSecond: perSecond, callers: lru.New(ratesKept), namespaces: lru.New(ratesKept)}
}

// Take counts one more request of a caller, about a namespace unless that is empty. The error is a *Error.
func (r *Rates) Take(caller, namespace string) error {
	if err := r.TakeOfCaller(caller); err != nil || namespace == "" {
		return err
	}
	return r.TakeOfNamespace(namespace)
}

// TakeOfCaller counts one more request of a caller.
func (r *Rates) TakeOfCaller(caller string) error {
	if delay := take(r.callers, caller, r.perSecond); delay > 0 {
		return r.refuse(OfCaller, delay, "a caller may make", r.perSecond)
	}
	return nil
}

// TakeOfNamespace counts one more request about a namespace.
func (r *Rates) TakeOfNamespace(namespace string) error {
	if delay := take(r.namespaces, namespace, namespaceRate*r.perSecond); delay > 0 {
		return r.refuse(OfNamespace, delay, "all callers together may make in a namespace", namespaceRate*r.perSecond)
	}
	return nil
}

func (r *Rates) refuse(limit Limit, delay time.Duration, who string, perSecond float64) error {
	refusal := refuse(limit, delay, "")
	plural := "s"
	if refusal.Seconds() == 1 {
		plural = ""
	}
	// Clients of the documented API match the first two sentences.
	refusal.Message = fmt.Sprintf("Request was throttled. Expected available in %d second%s. The limit is what %s: %g %s a second.",
		refusal.Seconds(), plural, who, perSecond, r.what)
	return refusal
}

// take says how long to wait; 0 where the request may be made.
func take(cache *lru.Cache, key string, perSecond float64) time.Duration {
	reservation := limiterOf(cache, key, perSecond).Reserve()
	delay := reservation.Delay()
	if delay > 0 {
		reservation.Cancel()
	}
	return delay
}

func limiterOf(cache *lru.Cache, key string, perSecond float64) *rate.Limiter {
	if known, ok := cache.Get(key); ok {
		if limiter, ok := known.(*rate.Limiter); ok {
			return limiter
		}
	}
	limiter := rate.NewLimiter(rate.Limit(perSecond), max(1, int(2*perSecond)))
	cache.Add(key, limiter) // of two at the same time the later stays
	return limiter
}
