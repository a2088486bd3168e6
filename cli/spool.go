package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"sharedcloud.io/function-operator/parameters"
)

// errSuperseded ends the body of a request that another request replaces.
var errSuperseded = errors.New("another request replaces this one")

// inputsError is an error in reading the inputs.
type inputsError struct{ error }

func (e *inputsError) Unwrap() error { return e.error }

// spool buffers the inputs, one per line, that were read and that the server has not acknowledged, up to about maxBytes. It is filled
// while requests are sent. A request that fails is repeated from the spool, even if the inputs come from a pipe.
type spool struct {
	maxBytes int
	// grown and room signal that lines were added or removed.
	grown, room chan struct{}

	mu    sync.Mutex
	lines []byte
	// err is io.EOF after the last input, or why the inputs cannot be read.
	err error
	// body is the request body that reads from the spool.
	body *spoolBody
}

func newSpool(maxBytes int) *spool {
	// The capacity usually includes one more input, so that the buffer is not copied.
	return &spool{maxBytes: maxBytes, lines: make([]byte, 0, maxBytes+maxBytes/16), grown: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// fill reads all inputs, and waits while the spool is full.
func (s *spool) fill(ctx context.Context, inputs *parameters.Reader) {
	for {
		input, err := inputs.Next()
		for s.add(input, err); s.full(); {
			select {
			case <-s.room:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *spool) add(input parameters.Input, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.err = err
	} else {
		s.lines = append(append(s.lines, input.JSON...), '\n')
	}
	signal(s.grown)
}

func (s *spool) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && len(s.lines) >= s.maxBytes
}

// wait returns true when there are inputs to send, and false when all inputs are acknowledged.
func (s *spool) wait(ctx context.Context) (bool, error) {
	for {
		s.mu.Lock()
		some, all, problem := len(s.lines) > 0, errors.Is(s.err, io.EOF), s.err
		s.mu.Unlock()
		switch {
		case problem != nil && !all:
			return false, &inputsError{problem}
		case some || all:
			return some, nil
		}
		select {
		case <-s.grown:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// acknowledge removes the first n inputs, and ends the current body.
func (s *spool) acknowledge(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = nil
	end := 0
	for i := range n {
		line := bytes.IndexByte(s.lines[end:], '\n')
		if line < 0 {
			return fmt.Errorf("the server has %d inputs more than were sent", n-i)
		}
		end += line + 1
	}
	s.lines = append(s.lines[:0], s.lines[end:]...)
	signal(s.room)
	return nil
}

// begin returns a request body with whole lines of the spool. It ends after the last input, after maxBytes, or after the timeout.
func (s *spool) begin(maxBytes int, timeout time.Duration) *spoolBody {
	b := &spoolBody{spool: s, maxBytes: maxBytes, timer: time.NewTimer(timeout)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = b
	return b
}

type spoolBody struct {
	spool    *spool
	maxBytes int
	timer    *time.Timer
	// sent is the number of bytes read. Only Read uses it, one call at a time.
	sent     int
	timedOut bool
}

// Read implements io.Reader.
func (b *spoolBody) Read(p []byte) (int, error) {
	for {
		n, wait, err := b.read(p)
		if !wait {
			return n, err
		}
		select {
		case <-b.spool.grown:
		case <-b.timer.C:
			b.timedOut = true
		}
	}
}

func (b *spoolBody) read(p []byte) (n int, wait bool, err error) {
	s := b.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-b.timer.C:
		b.timedOut = true
	default:
	}
	enough := b.timedOut || b.sent >= b.maxBytes
	switch {
	case s.body != b:
		return 0, false, errSuperseded
	case b.sent == len(s.lines) && (s.err != nil || enough):
		return 0, false, io.EOF
	case b.sent == len(s.lines):
		return 0, true, nil
	}
	left := s.lines[b.sent:]
	if enough {
		if b.sent == 0 || s.lines[b.sent-1] == '\n' {
			return 0, false, io.EOF
		}
		left = left[:bytes.IndexByte(left, '\n')+1]
	}
	n = copy(p, left)
	b.sent += n
	return n, false, nil
}

// Close implements io.Closer. It also ends a Read that waits.
func (b *spoolBody) Close() error {
	b.timer.Reset(0)
	return nil
}
