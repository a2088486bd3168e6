package apiserver

import (
	"io"
	"net"
	"net/url"
	"sync"

	. "github.com/onsi/gomega"
)

// gate forwards connections to the Kubernetes API. While it is closed, the API is unreachable.
type gate struct {
	address  string
	target   string
	listener net.Listener

	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]bool
}

func newGate(host string) *gate {
	target := host
	if parsed, err := url.Parse(host); err == nil && parsed.Host != "" {
		target = parsed.Host
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	g := &gate{address: "https://" + listener.Addr().String(), target: target, listener: listener, conns: map[net.Conn]bool{}}
	go g.accept()
	return g
}

func (g *gate) accept() {
	for {
		from, err := g.listener.Accept()
		if err != nil {
			return
		}
		go g.pass(from)
	}
}

func (g *gate) pass(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer to.Close()
	g.mu.Lock()
	if g.shut {
		g.mu.Unlock()
		return
	}
	g.conns[from], g.conns[to] = true, true
	g.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
	g.mu.Lock()
	delete(g.conns, from)
	delete(g.conns, to)
	g.mu.Unlock()
}

// close makes the API unreachable: it breaks open and new connections.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for conn := range g.conns {
		conn.Close()
	}
}

// open makes it reachable again.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}

func (g *gate) stop() {
	g.close()
	g.listener.Close()
}
