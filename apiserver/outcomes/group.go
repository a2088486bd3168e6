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
	// maxGroupSize and maxGroupTime limit a commit, so that its first update does not wait long for the last.
	maxGroupSize = 64
	maxGroupTime = 20 * time.Millisecond
	// maxRetries is how often a transaction is retried that the engine rolled back because of a conflict or a lost
	// connection.
	maxRetries = 5
)

// update is a function that a caller has passed to Update.
type update struct {
	run types.UID
	fn  func(*Tx) error
	// state is set to claimed by the group, which then runs the update, or by the caller, which then returns without it.
	state  atomic.Int32
	result chan error
	// err is what fn returned. Only the group uses it.
	err error
}

const claimed = 1

func newUpdate(run types.UID, fn func(*Tx) error) *update {
	return &update{run: run, fn: fn, result: make(chan error, 1)}
}

// wait waits for the result. stopped is closed when no more updates are processed.
func (u *update) wait(ctx context.Context, stopped <-chan struct{}) error {
	select {
	case err := <-u.result:
		return err
	case <-ctx.Done():
		if u.state.CompareAndSwap(0, claimed) {
			return ctx.Err()
		}
		// It is running: variables of the caller that fn writes must not be read before fn has returned.
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

// transactions is what a group needs of an engine.
type transactions interface {
	// begin starts a transaction on a run.
	begin(run types.UID) (*session, error)
	// commit ends it. errCommitUnknown: it is not known whether the transaction was committed.
	commit(*session) error
	// rollback ends a transaction, if one is open, in any state of its session.
	rollback(*session)
	// retryable reports whether nothing of a transaction was stored and a retry may succeed.
	retryable(error) bool
}

// errCommitUnknown: the connection was lost during the commit.
var errCommitUnknown = errors.New("the connection was lost during a commit to the outcome store: it is not known whether it was committed; retry the request")

// group commits the first update and those that next returns in one transaction, with one sync for all of them.
func group(engine transactions, first *update, next func() *update) {
	started := time.Now()
	var session *session
	var members []*update
	var err error
	for u := first; u != nil; {
		if u.state.CompareAndSwap(0, claimed) {
			if session == nil {
				if session, err = engine.begin(u.run); err != nil {
					u.result <- fmt.Errorf("starting to write: %w", err)
					return
				}
			}
			members = append(members, u)
			if err = apply(session, u); err != nil {
				break
			}
		}
		u = nil
		if len(members) < maxGroupSize && time.Since(started) <= maxGroupTime {
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
		case errors.Is(err, errCommitUnknown), len(members) == 1 && !engine.retryable(err):
			member.result <- err
		default:
			// Another update failed, or the commit was too large: each update gets its own transaction.
			member.result <- runAlone(engine, member)
		}
	}
}

// apply runs a member. An error that it returns ends the group: the writes of the failed member can only be rolled back with
// all others. An error of fn before any write, such as a rejected call, concerns that member only.
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

// runAlone runs a member in its own transaction.
func runAlone(engine transactions, u *update) error {
	for try := 0; ; try++ {
		session, err := engine.begin(u.run)
		if err != nil {
			return fmt.Errorf("starting to write: %w", err)
		}
		if err = apply(session, u); err == nil {
			err = engine.commit(session)
		}
		if err == nil {
			return u.err
		}
		engine.rollback(session)
		if errors.Is(err, errCommitUnknown) || try == maxRetries || !engine.retryable(err) {
			return err
		}
	}
}

// call turns a panic of fn into an error: one call must not stop the writer, which all callers share.
func call(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			tx.wrote = true
			err = fmt.Errorf("panic in a transaction: %v\n%s", r, debug.Stack())
		}
	}()
	return fn(tx)
}
