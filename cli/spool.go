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

// errSuperseded ends the body of a call that was given up: another is sent instead.
var errSuperseded = errors.New("another call is sent instead of this one")

// inputsError says that inputs cannot be read.
type inputsError struct{ error }

func (e *inputsError) Unwrap() error { return e.error }

// spool holds inputs that have been read and that the server may not have yet, one a line, up to about most bytes. It is
// filled ahead of what is sent, and kept until that is acknowledged: a call that breaks is repeated from here, also where
// the inputs come from a pipe.
type spool struct {
	most int
	// grown and room tell that lines have come, or gone.
	grown, room chan struct{}

	mu    sync.Mutex
	lines []byte
	// err is io.EOF when there are no more inputs, or why they cannot be read.
	err error
	// body is the one that reads from here at present.
	body *spoolBody
}

func newSpool(most int) *spool {
	// With the room for what one more input takes, usually: it does not grow by copies of itself.
	return &spool{most: most, lines: make([]byte, 0, most+most/16), grown: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// fill reads all inputs, as there is room for them.
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
	return s.err == nil && len(s.lines) >= s.most
}

// wait returns when there is something to send: true, or false when all has been acknowledged.
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

// acknowledge lets go of the first n inputs. What reads from here is over then.
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

// begin is the body of a call that sends what is here: whole lines, until there are no more inputs, or it has that many
// bytes, or time is up.
func (s *spool) begin(most int, limit time.Duration) *spoolBody {
	b := &spoolBody{spool: s, most: most, timer: time.NewTimer(limit)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = b
	return b
}

type spoolBody struct {
	spool *spool
	most  int
	timer *time.Timer
	// sent is how many bytes were read; only Read uses it, and one at a time.
	sent   int
	timeUp bool
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
			b.timeUp = true
		}
	}
}

func (b *spoolBody) read(p []byte) (n int, wait bool, err error) {
	s := b.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-b.timer.C:
		b.timeUp = true
	default:
	}
	enough := b.timeUp || b.sent >= b.most
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

// Close implements io.Closer: it also ends a Read that waits.
func (b *spoolBody) Close() error {
	b.timer.Reset(0)
	return nil
}
