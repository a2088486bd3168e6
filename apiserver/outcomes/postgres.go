package outcomes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// postgresWriters and postgresReaders are the maximum numbers of connections of a server, for any number of callers.
	postgresWriters = 8
	postgresReaders = 4
	// postgresTimeout limits one transaction, including the wait for a connection.
	postgresTimeout = 30 * time.Second
	// postgresProbeInterval is how often an unreachable database is tried again.
	postgresProbeInterval = time.Second
	// lockNamespace separates the advisory locks of this program from those of other programs in the database.
	lockNamespace = 0x5368436c_6f756400
)

// Postgres is a store in a PostgreSQL database, which any number of servers may use at the same time. Until Open has
// returned, all methods return ErrNotReady.
//
// Transactions on one run never overlap, even on different servers: each holds an advisory lock of the run. Updates of one
// server that wait for the same run share a transaction and its sync.
type Postgres struct {
	connector *postgresConnector

	readiness

	// mu guards the following fields.
	mu      sync.Mutex
	open    bool
	writers *sessions
	readers *sessions
	queues  map[types.UID]*queue
	// busy counts the goroutines of queues, the views and the probe: Close waits for them.
	busy sync.WaitGroup
	stop context.CancelFunc
}

// queue holds the waiting updates of one run. It exists while a goroutine serves it.
type queue struct{ waiting []*update }

var (
	_ Store        = (*Postgres)(nil)
	_ transactions = (*Postgres)(nil)
)

// NewPostgres returns a store without opening it. source returns the URL of the database, or a connection string in
// PostgreSQL's other format, for each new connection, so that a password may change.
func NewPostgres(source Source) *Postgres {
	p := &Postgres{connector: &postgresConnector{source: source}, queues: map[types.UID]*queue{}}
	p.waitFor(errNotOpened)
	return p
}

// Open connects and migrates the schema; other servers may do the same at the same time. It returns when the store is ready,
// when ctx ends, or with an error; it may be called again after an error.
func (p *Postgres) Open(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			p.waitFor(notReady(err))
		}
	}()
	if err := p.migrate(ctx); err != nil {
		return fmt.Errorf("migrating the schema of the outcome store: %w", postgresError(err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		return nil
	}
	probing, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.open, p.stop = true, stop
	p.writers = newSessions(p.connector, postgresWriters)
	p.readers = newSessions(p.connector, postgresReaders)
	p.waiting.Store(nil)
	p.busy.Go(func() { p.probe(probing) })
	return nil
}

// migrate uses its own connection and an advisory lock: servers that start at the same time migrate one after the other.
func (p *Postgres) migrate(ctx context.Context) (err error) {
	folder, err := fs.Sub(migrations, "migrations/postgres")
	if err != nil {
		return err
	}
	db := sql.OpenDB(p.connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	const lock = lockNamespace + 1
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(lock)); err != nil {
		return err
	}
	defer func() {
		// If this fails, closing the connection releases the lock.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(lock))
	}()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, folder)
	if err != nil {
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return newerSchema(current, target)
	}
	_, err = provider.Up(ctx)
	return err
}

func newerSchema(current, target int64) error {
	return fmt.Errorf("its version is %d and this server supports %d: a newer server has migrated it; run that version, or restore an earlier backup", current, target)
}

// Close waits for running transactions, rejects new ones, and closes the connections.
func (p *Postgres) Close() error {
	p.waitFor(errClosed)
	p.mu.Lock()
	was := p.open
	p.open = false
	if p.stop != nil {
		p.stop()
	}
	p.mu.Unlock()
	p.busy.Wait()
	if !was {
		return nil
	}
	return errors.Join(p.writers.close(), p.readers.close())
}

// Update runs fn in a transaction that can write, see Store.
func (p *Postgres) Update(ctx context.Context, run types.UID, fn func(*Tx) error) error {
	u := newUpdate(run, fn)
	p.mu.Lock()
	if !p.open {
		p.mu.Unlock()
		return p.notOpen()
	}
	if l, ok := p.queues[run]; ok {
		l.waiting = append(l.waiting, u)
	} else {
		l = &queue{waiting: []*update{u}}
		p.queues[run] = l
		p.busy.Go(func() { p.serve(run, l) })
	}
	p.mu.Unlock()
	return u.wait(ctx, nil)
}

// serve runs the updates of a run until none waits.
func (p *Postgres) serve(run types.UID, l *queue) {
	next := func(last bool) *update {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(l.waiting) == 0 {
			if last {
				delete(p.queues, run)
			}
			return nil
		}
		u := l.waiting[0]
		l.waiting = l.waiting[1:]
		return u
	}
	for u := next(true); u != nil; u = next(true) {
		group(p, u, func() *update { return next(false) })
	}
}

// View runs fn in a transaction that can only read, see Store.
func (p *Postgres) View(ctx context.Context, fn func(*Tx) error) error {
	p.mu.Lock()
	if !p.open {
		p.mu.Unlock()
		return p.notOpen()
	}
	p.busy.Add(1)
	p.mu.Unlock()
	defer p.busy.Done()
	for try := 0; ; try++ {
		session, err := p.start(ctx, p.readers, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
		if err != nil {
			return fmt.Errorf("starting to read: %w", err)
		}
		if err = p.view(session, fn); err == nil || try == maxRetries || !p.retryable(err) {
			return err
		}
	}
}

func (p *Postgres) view(session *session, fn func(*Tx) error) (err error) {
	tx := &Tx{session: session}
	defer func() {
		p.readers.put(session)
		p.noteError(tx.failed)
	}()
	return fn(tx)
}

// begin implements transactions. The lock is taken before any other statement, and with READ COMMITTED each statement sees
// what was committed before it started, so fn sees all earlier writes to the run.
func (p *Postgres) begin(run types.UID) (*session, error) {
	return p.start(context.Background(), p.writers, fmt.Sprintf(
		`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_catalog.pg_advisory_xact_lock(%d)`, lockOf(run)))
}

func lockOf(run types.UID) int64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(run))
	return int64(hash.Sum64() ^ lockNamespace) //nolint:gosec // any 64 bits will do
}

// start starts a transaction. A session whose connection was lost while it was idle is replaced.
func (p *Postgres) start(ctx context.Context, from *sessions, text string) (*session, error) {
	for {
		session, used, err := from.take(ctx)
		if err != nil {
			p.noteError(err)
			return nil, err
		}
		if err = session.simple(text); err == nil {
			p.noteReachable()
			return session, nil
		}
		err = postgresError(err)
		broken := session.broken()
		from.put(session)
		if !used || !broken {
			p.noteError(err)
			return nil, err
		}
	}
}

// commit implements transactions.
func (p *Postgres) commit(session *session) error {
	if session.status() == 'E' {
		// PostgreSQL would answer COMMIT with a rollback and no error.
		return errors.New("committing: a statement of the transaction has failed")
	}
	err := session.simple(`COMMIT`)
	if err == nil {
		p.writers.put(session)
		return nil
	}
	if session.broken() {
		return fmt.Errorf("%w (%w)", errCommitUnknown, postgresError(err))
	}
	return fmt.Errorf("committing: %w", postgresError(err))
}

// rollback implements transactions.
func (p *Postgres) rollback(session *session) { p.writers.put(session) }

// again implements transactions.
func (p *Postgres) retryable(err error) bool {
	return errors.Is(err, errRolledBack) || errors.Is(err, errUnreachable)
}

// noteReachable records that the database answers.
func (p *Postgres) noteReachable() {
	if p.waiting.Load() == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		p.waiting.Store(nil)
	}
}

// noteError records an error after which the database cannot be used.
func (p *Postgres) noteError(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open && errors.Is(err, ErrNotReady) {
		p.waitFor(notReady(err))
	}
}

// probe tries an unreachable database until it answers.
func (p *Postgres) probe(ctx context.Context) {
	ticker := time.NewTicker(postgresProbeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if p.Ready() == nil {
			continue
		}
		if session, err := p.start(ctx, p.readers, `BEGIN READ ONLY`); err == nil {
			p.readers.put(session)
		}
	}
}

// Read yields a run's outcomes in order, see the function Read.
func (p *Postgres) Read(ctx context.Context, run types.UID, selected Selection, limit int, yield func(*Outcome) bool) error {
	return Read(ctx, p, run, selected, limit, yield)
}

func notReady(err error) error {
	if errors.Is(err, ErrNotReady) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNotReady, err)
}
