package outcomes

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

// writer is the only goroutine that writes. It runs all waiting updates in one transaction with one sync: with eight workers
// reporting, separate syncs would take most of the time.
type writer struct {
	session  *session
	requests chan *update
	stopping chan struct{}
	stopped  chan struct{}
	err      error
}

var _ transactions = (*writer)(nil)

func startWriter(session *session) *writer {
	w := &writer{
		session:  session,
		requests: make(chan *update, 4*maxGroupSize),
		stopping: make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	go w.run()
	return w
}

// update runs fn, possibly in a transaction with others, and returns when it is on disk.
func (w *writer) update(ctx context.Context, run types.UID, fn func(*Tx) error) error {
	u := newUpdate(run, fn)
	select {
	case w.requests <- u:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopping:
		return ErrNotReady
	}
	return u.wait(ctx, w.stopped)
}

// stop ends the writer after the current group.
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
			group(w, first, w.next)
		case <-w.stopping:
			return
		}
	}
}

// next returns a waiting update, or nil.
func (w *writer) next() *update {
	select {
	case u := <-w.requests:
		return u
	default:
		return nil
	}
}

// begin implements transactions. There is one writer, so transactions never overlap.
func (w *writer) begin(types.UID) (*session, error) {
	if _, err := w.session.exec("BEGIN IMMEDIATE"); err != nil {
		return nil, sqliteError(err)
	}
	return w.session, nil
}

// commit implements transactions.
func (w *writer) commit(session *session) error {
	if _, err := session.exec("COMMIT"); err != nil {
		return fmt.Errorf("committing: %w", sqliteError(err))
	}
	return nil
}

// rollback implements transactions. After some errors, such as a full disk, the engine has already rolled back and returns an
// error here, which is ignored: if a transaction were left open, the next BEGIN would fail.
func (w *writer) rollback(session *session) {
	_, _ = session.exec("ROLLBACK")
}

// retryable implements transactions: with one writer there are no conflicts.
func (w *writer) retryable(error) bool { return false }
