package outcomes

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// groupSize and groupTime bound how much one commit takes along, so that the first of a group doesn't wait long for
	// the last.
	groupSize = 64
	groupTime = 20 * time.Millisecond
	// retries is how often a transaction is tried again that the engine undid for no fault of its own.
	retries = 5
)

// update is a caller's function on its way.
type update struct {
	run types.UID
	fn  func(*Tx) error
	// state is claimed by the group (it runs) or by the caller (who goes before it does).
	state  atomic.Int32
	result chan error
	// err is what fn returned; the group's, while it works.
	err error
}

const claimed = 1

func newUpdate(run types.UID, fn func(*Tx) error) *update {
	return &update{run: run, fn: fn, result: make(chan error, 1)}
}

// wait waits for the result. Closing stopped says that nobody works on updates any more.
func (u *update) wait(ctx context.Context, stopped <-chan struct{}) error {
	select {
	case err := <-u.result:
		return err
	case <-ctx.Done():
		if u.state.CompareAndSwap(0, claimed) {
			return ctx.Err()
		}
		// It runs: what fn wrote into its caller's variables must not be read before it has returned.
		return <-u.result
	case <-stopped:
		select {
		case err := <-u.result:
			return err
		default:
			return ErrNotReady
		}
	}
}

// transactions are what a group needs of an engine.
type transactions interface {
	// begin begins a transaction on a run.
	begin(run types.UID) (*session, error)
	// commit ends it. An error that is errUnsettled says that nobody knows whether it is kept.
	commit(*session) error
	// rollback ends a transaction if there is one still, whatever state its session is in.
	rollback(*session)
	// again says that nothing of a transaction was kept, and that it may go well when it is tried again.
	again(error) bool
}

// errUnsettled: the connection was lost while a transaction was committed.
var errUnsettled = errors.New("the connection was lost while the outcome store was committing: whether it did is not known, so the same must be tried again")

// group commits the first update and those that next brings in one transaction, and syncs once for all of them.
func group(engine transactions, first *update, next func() *update) {
	begun := time.Now()
	var session *session
	var members []*update
	var err error
	for u := first; u != nil; {
		if u.state.CompareAndSwap(0, claimed) {
			if session == nil {
				if session, err = engine.begin(u.run); err != nil {
					u.result <- fmt.Errorf("beginning to write: %w", err)
					return
				}
			}
			members = append(members, u)
			if err = apply(session, u); err != nil {
				break
			}
		}
		u = nil
		if len(members) < groupSize && time.Since(begun) <= groupTime {
			u = next()
		}
	}
	if len(members) == 0 {
		return
	}
	if err == nil {
		err = engine.commit(session)
	}
	if err == nil {
		for _, member := range members {
			member.result <- member.err
		}
		return
	}
	engine.rollback(session)
	for _, member := range members {
		switch {
		case errors.Is(err, errUnsettled), len(members) == 1 && !engine.again(err):
			member.result <- err
		default:
			// One of them spoilt it for the others, or the commit had no room for all: each has a transaction of its own now.
			member.result <- alone(engine, member)
		}
	}
}

// apply runs a member. The error that it returns ends the group: what the member wrote before it failed can only be
// undone with all the rest. An error without a trace (most are: a call that is refused) concerns the member alone.
func apply(session *session, u *update) error {
	tx := &Tx{session: session}
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
func alone(engine transactions, u *update) error {
	for try := 0; ; try++ {
		session, err := engine.begin(u.run)
		if err != nil {
			return fmt.Errorf("beginning to write: %w", err)
		}
		if err = apply(session, u); err == nil {
			err = engine.commit(session)
		}
		if err == nil {
			return u.err
		}
		engine.rollback(session)
		if errors.Is(err, errUnsettled) || try == retries || !engine.again(err) {
			return err
		}
	}
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
