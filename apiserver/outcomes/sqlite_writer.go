package outcomes

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
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

var _ transactions = (*writer)(nil)

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
			group(w, first, w.next)
		case <-w.stopping:
			return
		}
	}
}

// next is a request that waits; nil when none does.
func (w *writer) next() *update {
	select {
	case u := <-w.requests:
		return u
	default:
		return nil
	}
}

// begin implements transactions. One writer: transactions don't overlap, whatever run they are on.
func (w *writer) begin(types.UID) (*session, error) {
	if _, err := w.session.exec("BEGIN IMMEDIATE"); err != nil {
		return nil, sentence(err)
	}
	return w.session, nil
}

// commit implements transactions.
func (w *writer) commit(session *session) error {
	if _, err := session.exec("COMMIT"); err != nil {
		return fmt.Errorf("committing: %w", sentence(err))
	}
	return nil
}

// rollback implements transactions: after some errors (a full disk) the engine has ended it by itself and says so. Were one
// left open, the next BEGIN would fail, and nothing would be lost in silence.
func (w *writer) rollback(session *session) {
	_, _ = session.exec("ROLLBACK")
}

// again implements transactions: nobody else writes.
func (w *writer) again(error) bool { return false }
