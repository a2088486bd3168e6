package outcomes

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// groupSize and groupTime bound how much one commit takes along, so that the first of a group doesn't wait long for
	// the last.
	groupSize = 64
	groupTime = 20 * time.Millisecond
)

// writer is the one goroutine that writes. It takes all who wait into one transaction and syncs once for all of them: with
// eight workers reporting, a sync each would be most of the time.
type writer struct {
	session  *session
	requests chan *update
	stopping chan struct{}
	stopped  chan struct{}
	err      error
}

// update is a caller's function on its way.
type update struct {
	fn func(*Tx) error
	// state is claimed by the writer (it runs) or by the caller (who goes before it does).
	state  atomic.Int32
	result chan error
	// err is what fn returned; the writer's, while it works.
	err error
}

const claimed = 1

func startWriter(session *session) *writer {
	w := &writer{
		session:  session,
		requests: make(chan *update, 4*groupSize),
		stopping: make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	go w.run()
	return w
}

// update runs fn with others in one transaction, and returns when that is on disk.
func (w *writer) update(ctx context.Context, fn func(*Tx) error) error {
	u := &update{fn: fn, result: make(chan error, 1)}
	select {
	case w.requests <- u:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopping:
		return ErrNotReady
	}
	select {
	case err := <-u.result:
		return err
	case <-ctx.Done():
		if u.state.CompareAndSwap(0, claimed) {
			return ctx.Err()
		}
		// It runs: what fn wrote into its caller's variables must not be read before it has returned.
		return <-u.result
	case <-w.stopped:
		select {
		case err := <-u.result:
			return err
		default:
			return ErrNotReady
		}
	}
}

// stop ends the writer after the group that it works on.
func (w *writer) stop() error {
	close(w.stopping)
	<-w.stopped
	return w.err
}

func (w *writer) run() {
	defer close(w.stopped)
	defer func() { w.err = w.session.close() }()
	for {
		select {
		case first := <-w.requests:
			w.group(first)
		case <-w.stopping:
			return
		}
	}
}

// group commits the first request and those that came meanwhile.
func (w *writer) group(first *update) {
	begun := time.Now()
	var members []*update
	var err error
	for next := first; next != nil; next = w.next(begun, len(members)) {
		if !next.state.CompareAndSwap(0, claimed) {
			continue
		}
		if len(members) == 0 {
			if _, err = w.session.exec("BEGIN IMMEDIATE"); err != nil {
				next.result <- fmt.Errorf("beginning to write: %w", sentence(err))
				return
			}
		}
		members = append(members, next)
		if err = w.apply(next); err != nil {
			break
		}
	}
	if len(members) == 0 {
		return
	}
	if err == nil {
		err = w.commit()
	}
	if err == nil {
		for _, member := range members {
			member.result <- member.err
		}
		return
	}
	w.rollback()
	if len(members) == 1 {
		members[0].result <- err
		return
	}
	// One of them spoilt it for the others, or the commit had no room for all: each has a transaction of its own now.
	for _, member := range members {
		member.result <- w.alone(member)
	}
}

// next is the next request of a group; nil when none waits or the group is large enough.
func (w *writer) next(begun time.Time, members int) *update {
	if members >= groupSize || time.Since(begun) > groupTime {
		return nil
	}
	select {
	case u := <-w.requests:
		return u
	default:
		return nil
	}
}

// apply runs a member. The error that it returns ends the group: what the member wrote before it failed can only be
// undone with all the rest. An error without a trace (most are: a call that is refused) concerns the member alone.
func (w *writer) apply(u *update) error {
	tx := &Tx{session: w.session}
	u.err = call(u.fn, tx)
	if tx.failed != nil {
		return tx.failed
	}
	if u.err != nil && tx.wrote {
		return u.err
	}
	return nil
}

// alone runs a member in a transaction of its own.
func (w *writer) alone(u *update) error {
	if _, err := w.session.exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("beginning to write: %w", sentence(err))
	}
	err := w.apply(u)
	if err == nil {
		err = w.commit()
	}
	if err != nil {
		w.rollback()
		return err
	}
	return u.err
}

func (w *writer) commit() error {
	if _, err := w.session.exec("COMMIT"); err != nil {
		return fmt.Errorf("committing: %w", sentence(err))
	}
	return nil
}

// rollback ends the transaction if there is one still: after some errors (a full disk) the engine has ended it by itself
// and says so. Were one left open, the next BEGIN would fail, and nothing would be lost in silence.
func (w *writer) rollback() {
	_, _ = w.session.exec("ROLLBACK")
}

// call makes a panic of fn its error: one call must not end the writer, on which all depend.
func call(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			tx.wrote = true
			err = fmt.Errorf("panic in a transaction: %v\n%s", r, debug.Stack())
		}
	}()
	return fn(tx)
}
