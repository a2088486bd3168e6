package rest

import (
	"net"
	"net/http"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/lru"

	"sharedcloud.io/function-operator/apiserver/bodies"
)

const (
	// retrySoon is when to come again where a moment is enough.
	retrySoon = time.Second
	// callersKept bounds what is remembered of callers and addresses.
	callersKept = 8192
	// guestsPerSecond and guestBurst are what one address may ask for without credentials, strangersPerSecond and
	// strangerBurst how many tokens it may show that nobody knows yet.
	guestsPerSecond, guestBurst       = 20, 200
	strangersPerSecond, strangerBurst = 20, 100
	// bodyBytes bounds the bodies that are in memory at the same time, callerBytes and namespaceBytes those of one caller and
	// of one namespace.
	bodyBytes, namespaceBytes, callerBytes = 128 << 20, 64 << 20, 32 << 20
	// guestBody is how many bytes a body may have without credentials; guestBytes and addressBytes are as above.
	guestBody, guestBytes, addressBytes = 64 << 10, 4 << 20, 512 << 10

	kindCaller, kindNamespace, kindAddress = "caller", "namespace", "address"
)

// limits bound what one caller takes from the others.
type limits struct {
	reads, writes     rate.Limit
	readers, writers  *lru.Cache     // by caller
	guests, strangers *lru.Cache     // by address
	bodies, unknown   *bodies.Budget // unknown: of callers without credentials
}

func newLimits(config Config) *limits {
	return &limits{
		reads: rate.Limit(config.ReadsPerSecond), writes: rate.Limit(config.WritesPerSecond),
		readers: lru.New(callersKept), writers: lru.New(callersKept),
		guests: lru.New(callersKept), strangers: lru.New(callersKept),
		bodies:  bodies.NewBudget(bodyBytes, map[string]int64{kindCaller: callerBytes, kindNamespace: namespaceBytes}),
		unknown: bodies.NewBudget(guestBytes, map[string]int64{kindAddress: addressBytes}),
	}
}

// caller counts one more request of a caller. A second's worth may come at once, and some more.
func (l *limits) caller(caller user.Info, method string) error {
	cache, limit := l.writers, l.writes
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		cache, limit = l.readers, l.reads
	}
	return take(limiterOf(cache, caller.GetName()+"\x00"+caller.GetUID(), limit, max(1, int(2*limit))))
}

// guest counts one more request without credentials.
func (l *limits) guest(r *http.Request) error {
	return take(limiterOf(l.guests, addressOf(r), guestsPerSecond, guestBurst))
}

// unknownToken says whether the address may show one more token that nobody knows yet. Callers who are known are not
// kept from their work by one who guesses behind the same address.
func (l *limits) unknownToken(r *http.Request) bool {
	return limiterOf(l.strangers, addressOf(r), strangersPerSecond, strangerBurst).Allow()
}

func limiterOf(cache *lru.Cache, key string, limit rate.Limit, burst int) *rate.Limiter {
	if known, ok := cache.Get(key); ok {
		if limiter, ok := known.(*rate.Limiter); ok {
			return limiter
		}
	}
	limiter := rate.NewLimiter(limit, burst)
	cache.Add(key, limiter) // of two at the same time the later stays
	return limiter
}

func take(limiter *rate.Limiter) error {
	reservation := limiter.Reserve()
	if delay := reservation.Delay(); delay > 0 {
		reservation.Cancel()
		return throttled(delay)
	}
	return nil
}

func throttled(delay time.Duration) error {
	seconds := int((delay + time.Second - 1) / time.Second)
	plural := "s"
	if seconds == 1 {
		plural = ""
	}
	return later(http.StatusTooManyRequests, delay, "Request was throttled. Expected available in %d second%s.", seconds, plural)
}

func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
