package connections

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"sharedcloud.io/function-operator/apiserver/shares"
)

// pipe is a listener whose connections come from addresses that a test makes up.
type pipe struct{ conns chan net.Conn }

func (p *pipe) Accept() (net.Conn, error) { return <-p.conns, nil }
func (p *pipe) Close() error              { return nil }
func (p *pipe) Addr() net.Addr            { return &net.TCPAddr{} }

type from struct {
	net.Conn
	remote net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.remote }

// dialer opens connections to a limited listener.
type dialer struct {
	listener *Listener
	pipe     *pipe
	port     int
}

func newDialer(limits Limits, trusted ...string) *dialer {
	proxies, err := ParseProxies(trusted)
	if err != nil {
		panic(err)
	}
	p := &pipe{make(chan net.Conn, 1)}
	return &dialer{listener: Limit(p, limits, proxies), pipe: p}
}

// dial returns the client's end and the remote address as the server sees it.
func (d *dialer) dial(t *testing.T, address string) (net.Conn, string) {
	t.Helper()
	d.port++
	remote := &net.TCPAddr{IP: net.ParseIP(address), Port: d.port}
	client, server := net.Pipe()
	d.pipe.conns <- from{server, remote}
	accepted, err := d.listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = accepted.Close() })
	return client, remote.String()
}

// open reports whether the server has left a connection open.
func open(t *testing.T, client net.Conn) bool {
	t.Helper()
	if err := client.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); errors.Is(err, io.ErrClosedPipe) {
		return false
	}
	_, err := client.Read(make([]byte, 1))
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return errors.Is(err, os.ErrDeadlineExceeded)
}

var small = Limits{Total: 1000, Unauthenticated: 8, PerAddress: 4, Grace: time.Hour, PerCaller: 3, PerNamespace: 5}

//security:attack anonymous | One address opens more connections than it may and authenticates on none. | The oldest of them are closed; other addresses keep theirs.
func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	d := newDialer(small)
	other, _ := d.dial(t, "192.0.2.2")
	var conns []net.Conn
	for range 10 {
		conn, _ := d.dial(t, "192.0.2.1")
		conns = append(conns, conn)
	}
	for i, conn := range conns {
		if got, want := open(t, conn), i >= 6; got != want {
			t.Errorf("connection %d: open %v, want %v", i, got, want)
		}
	}
	if !open(t, other) || d.listener.Unknown() != 5 {
		t.Errorf("another address: open %v; %d connections are without an authenticated request", open(t, other), d.listener.Unknown())
	}
}

//security:attack anonymous | Many addresses of one IPv6 network open connections. | They count as one client.
func TestAnIPv6NetworkIsOneClient(t *testing.T) {
	d := newDialer(small)
	first, _ := d.dial(t, "2001:db8::1")
	for _, address := range []string{"2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5"} {
		d.dial(t, address)
	}
	if open(t, first) {
		t.Error("the oldest of five is open, and four are allowed")
	}
}

//security:attack anonymous | Many addresses open connections until all places are taken. | The address with the most connections loses its oldest; an address with one keeps it.
func TestTheAddressWithMostConnectionsLosesThem(t *testing.T) {
	d := newDialer(small)
	lone, _ := d.dial(t, "192.0.2.9")
	first, _ := d.dial(t, "192.0.2.1")
	for range 3 {
		d.dial(t, "192.0.2.1")
	}
	for range 3 {
		d.dial(t, "192.0.2.2")
	}
	if !open(t, first) {
		t.Fatal("closed although there was room")
	}
	d.dial(t, "192.0.2.3")
	if open(t, first) || !open(t, lone) {
		t.Errorf("of the address with most: open %v; of the one with one: open %v", open(t, first), open(t, lone))
	}
}

//security:attack anonymous | Connections flood the address that the front proxy or an authenticated client uses. | The connections of the proxy and of authenticated clients stay open.
func TestAuthenticatedConnectionsAndProxiesAreNotCounted(t *testing.T) {
	d := newDialer(small, "198.51.100.0/24")
	known, remote := d.dial(t, "192.0.2.1")
	if err := d.listener.Authenticated(remote, "alice", "a"); err != nil {
		t.Fatal(err)
	}
	front, remote := d.dial(t, "192.0.2.1")
	d.listener.FrontProxy(remote)
	var trusted []net.Conn
	for range 20 {
		d.dial(t, "192.0.2.1")
		conn, _ := d.dial(t, "198.51.100.7")
		trusted = append(trusted, conn)
	}
	for i, conn := range append(trusted, known, front) {
		if !open(t, conn) {
			t.Errorf("connection %d is closed", i)
		}
	}
}

//security:attack anonymous | A connection is opened and sends no request. | It is closed after its grace period, also if it has served a client.
func TestAConnectionWithoutAnAuthenticatedRequestIsClosed(t *testing.T) {
	limits := small
	limits.Grace = 20 * time.Millisecond
	d := newDialer(limits)
	idle, remote := d.dial(t, "192.0.2.1")
	d.listener.Serving(remote)(false)
	busy, remote := d.dial(t, "192.0.2.1")
	done := d.listener.Serving(remote)
	known, remote := d.dial(t, "192.0.2.1")
	if err := d.listener.Authenticated(remote, "alice", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the idle one: %v", err)
	}
	if !open(t, busy) || !open(t, known) {
		t.Errorf("the one that is being served: open %v, the authenticated one: open %v", open(t, busy), open(t, known))
	}
	done(false)
	if err := busy.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := busy.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the one that has been served: %v", err)
	}
}

//security:attack anonymous | One connection carries requests without end, none of them authenticated. | The connection is closed.
func TestRequestsOfAnUnauthenticatedConnectionAreBounded(t *testing.T) {
	d := newDialer(small)
	conn, remote := d.dial(t, "192.0.2.1")
	for range maxRequests + 1 {
		d.listener.Serving(remote)(false)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

//security:attack tenant | A client cancels request after request on a connection. | The connection is closed; one of the front proxy stays open.
func TestAClientThatCancelsRequestsIsDisconnected(t *testing.T) {
	d := newDialer(small)
	conn, remote := d.dial(t, "192.0.2.1")
	if err := d.listener.Authenticated(remote, "alice", "a"); err != nil {
		t.Fatal(err)
	}
	front, proxy := d.dial(t, "192.0.2.2")
	d.listener.FrontProxy(proxy)
	for range 3 * resetsBurst {
		d.listener.Serving(remote)(true)
		d.listener.Serving(proxy)(true)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if !open(t, front) {
		t.Error("the front proxy's connection is closed")
	}
}

//security:attack tenant | A caller, or many accounts of a namespace, open connections and authenticate on each. | They get their share and a refusal that names the limit; others connect.
func TestAuthenticatedConnectionsAreShared(t *testing.T) {
	d := newDialer(small)
	authenticated := func(caller, namespace string) error {
		_, remote := d.dial(t, "192.0.2.1")
		return d.listener.Authenticated(remote, caller, namespace)
	}
	for i, tc := range []struct {
		caller, namespace string
		limit             shares.Limit
	}{
		{"alice", "a", ""}, {"alice", "a", ""}, {"alice", "a", ""}, {"alice", "a", shares.OfCaller},
		{"anne", "a", ""}, {"anton", "a", ""}, {"arno", "a", shares.OfNamespace}, {"bob", "b", ""},
	} {
		err := authenticated(tc.caller, tc.namespace)
		refusal := &shares.Error{}
		if errors.As(err, &refusal); refusal.Limit != tc.limit {
			t.Errorf("connection %d: %v, want %q", i, err, tc.limit)
		}
	}
}

func TestPlacesOfClosedConnectionsAreFree(t *testing.T) {
	d := newDialer(small)
	for range 20 {
		_, remote := d.dial(t, "192.0.2.1")
		if err := d.listener.Authenticated(remote, "alice", "a"); err != nil {
			t.Fatal(err)
		}
		d.listener.mu.Lock()
		c := d.listener.open[remote]
		d.listener.mu.Unlock()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.listener.open) != 0 || d.listener.callers.Used() != 0 {
		t.Errorf("%d open, %d places taken", len(d.listener.open), d.listener.callers.Used())
	}
}

//security:attack anonymous | X-Forwarded-For names another client. | It counts from a trusted proxy only, and there only what the proxy itself has added.
func TestTheClientOfARequest(t *testing.T) {
	proxies, err := ParseProxies([]string{"198.51.100.0/24", "2001:db8:1::/48", "203.0.113.5"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		remote    string
		forwarded []string
		want      string
	}{
		"without the header":                     {"192.0.2.1:1", nil, "192.0.2.1"},
		"from an address that is not trusted":    {"192.0.2.1:1", []string{"192.0.2.9"}, "192.0.2.1"},
		"from a trusted proxy":                   {"198.51.100.1:1", []string{"192.0.2.9"}, "192.0.2.9"},
		"from a single address that is trusted":  {"203.0.113.5:1", []string{"192.0.2.9"}, "192.0.2.9"},
		"entries that the client wrote itself":   {"198.51.100.1:1", []string{"10.0.0.1, 192.0.2.9"}, "192.0.2.9"},
		"in several headers":                     {"198.51.100.1:1", []string{"10.0.0.1", "192.0.2.9"}, "192.0.2.9"},
		"through two trusted proxies":            {"198.51.100.1:1", []string{"10.0.0.1, 192.0.2.9, 198.51.100.2"}, "192.0.2.9"},
		"a trusted proxy without the header":     {"198.51.100.1:1", nil, "198.51.100.1"},
		"an entry that is not an address":        {"198.51.100.1:1", []string{"192.0.2.9, nonsense"}, "198.51.100.1"},
		"an IPv4 address in IPv6's form":         {"[::ffff:198.51.100.1]:1", []string{"::ffff:192.0.2.9"}, "192.0.2.9"},
		"IPv6":                                   {"[2001:db8:1::1]:1", []string{"2001:db8:2::9"}, "2001:db8:2::/64"},
		"more trusted proxies than are examined": {"198.51.100.1:1", []string{longest()}, "198.51.100.1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tc.remote, Header: http.Header{"X-Forwarded-For": tc.forwarded}}
			if got := Key(proxies.Client(r)); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
	for _, text := range []string{"", "nonsense", "192.0.2.1/33", "example.org"} {
		if _, err := ParseProxies([]string{text}); err == nil {
			t.Errorf("%q is taken for a network", text)
		}
	}
	if Key(netip.Addr{}) != "" {
		t.Error("no address has a key")
	}
}

func longest() string {
	text := "192.0.2.9"
	for range 100 {
		text += ", 198.51.100.1"
	}
	return text
}
