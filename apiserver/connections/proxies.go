package connections

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks whose X-Forwarded-For is trusted.
type Proxies []netip.Prefix

// ParseProxies reads networks in CIDR notation, or single addresses.
func ParseProxies(texts []string) (Proxies, error) {
	var proxies Proxies
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if address, single := netip.ParseAddr(text); err != nil && single == nil {
			prefix, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is neither a network in CIDR notation nor an IP address", text)
		}
		proxies = append(proxies, prefix.Masked())
	}
	return proxies, nil
}

// Trusts reports whether the address is a trusted proxy's.
func (p Proxies) Trusts(address netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(address.Unmap()) {
			return true
		}
	}
	return false
}

// maxForwarded is the maximum number of examined entries of X-Forwarded-For.
const maxForwarded = 16

// Client is the client address of a request: that of its peer, unless the peer is a trusted proxy. Then it is the last address of
// X-Forwarded-For that is not a trusted proxy's: the client itself may have written the entries before it.
func (p Proxies) Client(r *http.Request) netip.Addr {
	client := addressOf(r.RemoteAddr)
	if !p.Trusts(client) {
		return client
	}
	entries := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for looked := 0; len(entries) > 0 && looked < maxForwarded; looked++ {
		address, err := netip.ParseAddr(strings.TrimSpace(entries[len(entries)-1]))
		if err != nil {
			return client
		}
		client, entries = address.Unmap(), entries[:len(entries)-1]
		if !p.Trusts(client) {
			return client
		}
	}
	return client
}

// Key is the client that an address is counted as: an IPv6 network of 64 bits is one client.
func Key(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	if address = address.Unmap(); address.Is6() {
		if prefix, err := address.WithZone("").Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return address.String()
}

func addressOf(hostPort string) netip.Addr {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = hostPort
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap()
}

type sourceKey struct{}

// WithSource stores the key of the request's client.
func WithSource(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, sourceKey{}, key)
}

// SourceOf is the stored key, "" without one.
func SourceOf(ctx context.Context) string {
	key, _ := ctx.Value(sourceKey{}).(string)
	return key
}

// Source is the key of the request's client: the stored one, or that of its peer.
func Source(r *http.Request) string {
	if key, ok := r.Context().Value(sourceKey{}).(string); ok {
		return key
	}
	return Key(addressOf(r.RemoteAddr))
}
