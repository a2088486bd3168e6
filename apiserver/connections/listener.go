package connections

import (
	"container/list"
	"net"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"sharedcloud.io/function-operator/apiserver/shares"
)

// Limits bound connections.
type Limits struct {
	// Total is the number of open connections, authenticated or not. One more waits until another closes.
	Total int
	// Unauthenticated bounds the connections without an authenticated request, PerAddress those of one address. One more closes
	// the oldest: clients authenticate within milliseconds, so the oldest is the least likely to do so.
	Unauthenticated, PerAddress int
	// Grace is how long a connection may have no authenticated request.
	Grace time.Duration
	// PerCaller and PerNamespace bound the authenticated connections of one caller and one namespace.
	PerCaller, PerNamespace int
}

// Defaults are the limits below a total.
func Defaults(total int) Limits {
	return Limits{
		Total: total, Unauthenticated: 2048, PerAddress: 256, Grace: 20 * time.Second,
		PerCaller: min(total, 256), PerNamespace: min(total, max(16, total/4*3)),
	}
}

// maxRequests is how many requests a connection may carry without an authenticated one. It stops floods of requests that are reset
// immediately; an anonymous client has to reconnect after that many.
const maxRequests = 256

// resetsPerSecond and resetsBurst bound the requests that a client cancels on one connection.
const resetsPerSecond, resetsBurst = 20, 200

// Listener is a listener whose connections are bounded.
type Listener struct {
	net.Listener
	limits  Limits
	proxies Proxies
	callers *shares.Limiter

	mu   sync.Mutex
	open map[string]*conn // by remote address
	// unknown are the connections without an authenticated request, the oldest first; byAddress the same by address.
	unknown   *list.List
	byAddress map[string]*list.List
}

// Limit bounds the connections of a listener. Connections of trusted proxies are not counted by address or caller.
func Limit(listener net.Listener, limits Limits, proxies Proxies) *Listener {
	return &Listener{
		Listener: netutil.LimitListener(listener, limits.Total), limits: limits, proxies: proxies,
		callers: shares.NewLimiter("connections", shares.Limits{Total: limits.Total, Caller: limits.PerCaller, Namespace: limits.PerNamespace}),
		open:    map[string]*conn{}, unknown: list.New(), byAddress: map[string]*list.List{},
	}
}

// conn is a connection. The listener's mutex guards the fields after net.Conn.
type conn struct {
	net.Conn
	listener *Listener
	remote   string
	key      string
	timer    *time.Timer
	// inUnknown and inAddress are its elements; nil once a request was authenticated.
	inUnknown, inAddress *list.Element
	// serving counts the requests in progress, requests all of them.
	serving, requests int
	// resets bounds the requests that the client cancels; nil before the first.
	resets *rate.Limiter
	// leave releases the place of its caller; nil without one.
	leave func()
	once  sync.Once
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, listener: l, remote: accepted.RemoteAddr().String()}
	address := addressOf(c.remote)
	c.key = Key(address)
	l.mu.Lock()
	var victim *conn
	l.open[c.remote] = c
	if !l.proxies.Trusts(address) {
		victim = l.add(c)
	}
	l.mu.Unlock()
	if victim != nil {
		observeClosed("overflow")
		_ = victim.Close()
	}
	return c, nil
}

// add registers a connection without an authenticated request, and returns the one to close for it.
func (l *Listener) add(c *conn) (victim *conn) {
	ofAddress := l.byAddress[c.key]
	if ofAddress == nil {
		ofAddress = list.New()
		l.byAddress[c.key] = ofAddress
	}
	switch {
	case ofAddress.Len() >= l.limits.PerAddress:
		victim = ofAddress.Front().Value.(*conn)
	case l.unknown.Len() >= l.limits.Unauthenticated:
		victim = l.largest().Front().Value.(*conn)
	}
	c.inAddress, c.inUnknown = ofAddress.PushBack(c), l.unknown.PushBack(c)
	if victim != nil {
		l.known(victim)
	}
	c.timer = time.AfterFunc(l.limits.Grace, func() { l.expire(c) })
	return victim
}

// largest is the address with the most connections without an authenticated request. Clients with few keep theirs.
func (l *Listener) largest() *list.List {
	var most *list.List
	for _, ofAddress := range l.byAddress {
		if most == nil || ofAddress.Len() > most.Len() {
			most = ofAddress
		}
	}
	return most
}

// known removes a connection from those without an authenticated request.
func (l *Listener) known(c *conn) {
	if c.inUnknown == nil {
		return
	}
	l.unknown.Remove(c.inUnknown)
	ofAddress := l.byAddress[c.key]
	ofAddress.Remove(c.inAddress)
	if ofAddress.Len() == 0 {
		delete(l.byAddress, c.key)
	}
	c.inUnknown, c.inAddress = nil, nil
	c.timer.Stop()
}

// expire closes a connection without an authenticated request. While a request is in progress it waits for another period.
func (l *Listener) expire(c *conn) {
	l.mu.Lock()
	expired := c.inUnknown != nil && c.serving == 0
	if c.inUnknown != nil && c.serving > 0 {
		c.timer.Reset(l.limits.Grace)
	}
	l.mu.Unlock()
	if expired {
		observeClosed("grace")
		_ = c.Close()
	}
}

// Serving registers a request in progress on the connection with that remote address, until done is called. The connection then
// counts as the newest. done takes whether the client has cancelled the request.
func (l *Listener) Serving(remote string) (done func(reset bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.open[remote]
	if c == nil {
		return func(bool) {}
	}
	c.serving++
	c.requests++
	if c.inUnknown != nil {
		if c.requests > maxRequests {
			observeClosed("requests")
			go func() { _ = c.Close() }() // which takes the mutex
		}
		l.unknown.MoveToBack(c.inUnknown)
		l.byAddress[c.key].MoveToBack(c.inAddress)
	}
	return func(reset bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		c.serving--
		if reset && c.reset() {
			observeClosed("resets")
			go func() { _ = c.Close() }()
		}
	}
}

// reset counts a cancelled request, and reports whether there were too many. A proxy's connection carries those of many clients.
func (c *conn) reset() (tooMany bool) {
	if c.inUnknown == nil && c.leave == nil {
		return false
	}
	if c.resets == nil {
		c.resets = rate.NewLimiter(resetsPerSecond, resetsBurst)
	}
	return !c.resets.Allow()
}

// FrontProxy registers that the front proxy has authenticated on that connection: it is not counted, and never closed.
func (l *Listener) FrontProxy(remote string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.open[remote]; c != nil {
		l.known(c)
	}
}

// Authenticated registers the caller of an authenticated request on that connection. The first caller owns the connection; the
// error is a *shares.Error if it has too many. An empty namespace is not counted.
func (l *Listener) Authenticated(remote, caller, namespace string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.open[remote]
	if c == nil || c.leave != nil {
		return nil
	}
	if c.inUnknown == nil {
		return nil // a proxy's connection
	}
	leave, err := l.callers.Enter(caller, namespace)
	if err != nil {
		return err
	}
	c.leave = leave
	l.known(c)
	return nil
}

// Unknown is the number of open connections without an authenticated request.
func (l *Listener) Unknown() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unknown.Len()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() {
		l := c.listener
		l.mu.Lock()
		defer l.mu.Unlock()
		l.known(c)
		if l.open[c.remote] == c {
			delete(l.open, c.remote)
		}
		if c.leave != nil {
			c.leave()
		}
	})
	return c.Conn.Close()
}
