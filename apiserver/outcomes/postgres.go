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
	// postgresWriters and postgresReaders are the most connections of a server, whatever the number of its callers.
	postgresWriters = 8
	postgresReaders = 4
	// postgresPatience bounds one transaction, waiting for its turn included: what takes longer has lost its way.
	postgresPatience = 30 * time.Second
	// postgresProbe is how often a database that was away is looked for.
	postgresProbe = time.Second
	// lockNamespace keeps the locks of this program's runs from those of other programs in the database.
	lockNamespace = 0x5368436c_6f756400
)

// Postgres is the store in a PostgreSQL database, which any number of servers may use at once. NewPostgres makes one, Open
// opens it; until then everything answers ErrNotReady.
//
// Transactions on one run don't overlap, on whatever servers they are: each begins with a lock of the database that bears
// the run's name and ends with the transaction. Here, those who wait for the same run share a transaction and its sync.
type Postgres struct {
	connector *postgresConnector

	readiness

	// mu guards what follows.
	mu      sync.Mutex
	open    bool
	writers *sessions
	readers *sessions
	lanes   map[types.UID]*lane
	// busy are the lanes, the views and the probe: Close waits for them.
	busy sync.WaitGroup
	stop context.CancelFunc
}

// lane are the updates of one run that wait. It exists while somebody works on it.
type lane struct{ waiting []*update }

var (
	_ Store        = (*Postgres)(nil)
	_ transactions = (*Postgres)(nil)
)

// NewPostgres makes a store. source gives the URL of the database, or a connection string in PostgreSQL's other form; it is asked
// again for each new connection, so that a password may change meanwhile.
func NewPostgres(source Source) *Postgres {
	p := &Postgres{connector: &postgresConnector{source: source}, lanes: map[types.UID]*lane{}}
	p.waitFor(errNotOpened)
	return p
}

// Open connects and brings the schema up to date, while other servers may do the same. It returns when the store is ready, when
// ctx ends or when it cannot be opened; it may be called again after an error.
func (p *Postgres) Open(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			p.waitFor(notReady(err))
		}
	}()
	if err := p.migrate(ctx); err != nil {
		return fmt.Errorf("bringing the outcome store's schema up to date: %w", postgresSentence(err))
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

// migrate works on a connection of its own, under a lock: servers that start at once do it one after the other.
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
		// It ends with the connection at the latest.
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
	return fmt.Errorf("it has version %d and this server knows %d: a newer server has used it; run that one, or restore a backup from before", current, target)
}

// Close lets what runs come to its end, refuses what comes, and closes the connections.
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
	if l, ok := p.lanes[run]; ok {
		l.waiting = append(l.waiting, u)
	} else {
		l = &lane{waiting: []*update{u}}
		p.lanes[run] = l
		p.busy.Go(func() { p.serve(run, l) })
	}
	p.mu.Unlock()
	return u.wait(ctx, nil)
}

// serve works on the updates of a run until none waits.
func (p *Postgres) serve(run types.UID, l *lane) {
	next := func(last bool) *update {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(l.waiting) == 0 {
			if last {
				delete(p.lanes, run)
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
			return fmt.Errorf("beginning to read: %w", err)
		}
		if err = p.view(session, fn); err == nil || try == retries || !p.again(err) {
			return err
		}
	}
}

func (p *Postgres) view(session *session, fn func(*Tx) error) (err error) {
	tx := &Tx{session: session}
	defer func() {
		p.readers.giveBack(session)
		p.note(tx.failed)
	}()
	return fn(tx)
}

// begin implements transactions. What a statement sees is what was committed when it began, and the lock comes before all
// others: fn sees all that was ever written of the run.
func (p *Postgres) begin(run types.UID) (*session, error) {
	return p.start(context.Background(), p.writers, fmt.Sprintf(
		`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_catalog.pg_advisory_xact_lock(%d)`, lockOf(run)))
}

func lockOf(run types.UID) int64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(run))
	return int64(hash.Sum64() ^ lockNamespace) //nolint:gosec // any 64 bits do
}

// start begins a transaction on a session that works: one whose connection was lost meanwhile is replaced.
func (p *Postgres) start(ctx context.Context, from *sessions, text string) (*session, error) {
	for {
		session, used, err := from.take(ctx)
		if err != nil {
			p.note(err)
			return nil, err
		}
		if err = session.simple(text); err == nil {
			p.answers()
			return session, nil
		}
		err = postgresSentence(err)
		broken := session.broken()
		from.giveBack(session)
		if !used || !broken {
			p.note(err)
			return nil, err
		}
	}
}

// commit implements transactions.
func (p *Postgres) commit(session *session) error {
	if session.status() == 'E' {
		// A COMMIT would undo it without an error.
		return errors.New("committing: a statement of the transaction has failed")
	}
	err := session.simple(`COMMIT`)
	if err == nil {
		p.writers.giveBack(session)
		return nil
	}
	if session.broken() {
		return fmt.Errorf("%w (%w)", errUnsettled, postgresSentence(err))
	}
	return fmt.Errorf("committing: %w", postgresSentence(err))
}

// rollback implements transactions.
func (p *Postgres) rollback(session *session) { p.writers.giveBack(session) }

// again implements transactions.
func (p *Postgres) again(err error) bool { return errors.Is(err, errAgain) || errors.Is(err, errAway) }

// answers notes that the database does.
func (p *Postgres) answers() {
	if p.waiting.Load() == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		p.waiting.Store(nil)
	}
}

// note keeps why the database cannot be used, if that is what an error says.
func (p *Postgres) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open && errors.Is(err, ErrNotReady) {
		p.waitFor(notReady(err))
	}
}

// probe looks whether a database that was away has come back.
func (p *Postgres) probe(ctx context.Context) {
	ticker := time.NewTicker(postgresProbe)
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
			p.readers.giveBack(session)
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
