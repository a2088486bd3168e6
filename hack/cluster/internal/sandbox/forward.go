package sandbox

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// door opens connections inside a network namespace.
type door struct{ namespace string }

// forward takes connections until the listener is closed and carries each to
// the address inside. One that can't be made is closed: the caller sees an end
// of file, as from a server that has gone.
func (d *door) forward(from net.Listener, to string) {
	for {
		outside, err := from.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = outside.Close() }()
			inside, err := d.dial(to)
			if err != nil {
				return
			}
			defer func() { _ = inside.Close() }()
			carry(outside.(*net.TCPConn), inside.(*net.TCPConn))
		}()
	}
}

// dial connects from inside the namespace. A socket belongs to the namespace
// that its thread was in when it was made, so a thread enters it for this one
// socket; it ends with its goroutine, since it's never unlocked.
func (d *door) dial(address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		conn, err := d.dialHere(address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

func (d *door) dialHere(address string) (net.Conn, error) {
	namespace, err := os.Open(d.namespace)
	if err != nil {
		return nil, err
	}
	defer func() { _ = namespace.Close() }()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, os.NewSyscallError("setns", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return new(net.Dialer).DialContext(ctx, "tcp4", address)
}

// carry copies both ways until both are done; each end is passed on by itself,
// as half-closed connections need.
func carry(a, b *net.TCPConn) {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(a, b)
		_ = a.CloseWrite()
		close(done)
	}()
	_, _ = io.Copy(b, a)
	_ = b.CloseWrite()
	<-done
}
