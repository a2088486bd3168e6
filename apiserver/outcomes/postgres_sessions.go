package outcomes

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// oldestPostgres is the oldest version that this was written for: 13.
const oldestPostgres = 130000

// Errors of PostgreSQL that have no sentence of the store's own.
var (
	// errAgain: the transaction was undone, and may go well when it is tried again.
	errAgain = errors.New("the database undid the transaction in favour of another")
	// errAway: the connection was lost, or none could be made. Nothing of the transaction was kept, unless it was being committed.
	errAway = fmt.Errorf("%w: the database does not answer; this server goes on when it does", ErrNotReady)
	errSlow = fmt.Errorf("%w: the database took too long; look at its load, and at what holds its locks (pg_stat_activity)", ErrNotReady)
)

// postgresConnector makes connections as the URL says at that time, and asserts of each what the store depends on.
type postgresConnector struct {
	source Source
}

var _ driver.Connector = (*postgresConnector)(nil)

// Driver implements driver.Connector.
func (c *postgresConnector) Driver() driver.Driver { return stdlib.GetDefaultDriver() }

// Connect implements driver.Connector.
func (c *postgresConnector) Connect(ctx context.Context) (driver.Conn, error) {
	text, err := c.source()
	if err != nil {
		return nil, err
	}
	config, err := parsePostgres(text)
	if err != nil {
		return nil, err
	}
	conn, err := stdlib.GetConnector(*config, stdlib.OptionAfterConnect(assertPostgres)).Connect(ctx)
	if err != nil {
		return nil, postgresSentence(err)
	}
	return conn, nil
}

// parsePostgres reads a connection string. An error does not repeat it: there is a password in it.
func parsePostgres(text string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(text)
	if err != nil {
		var parse *pgconn.ParseConfigError
		reason := "it cannot be read"
		if inner := errors.Unwrap(err); errors.As(err, &parse) && inner != nil && !strings.Contains(inner.Error(), "://") {
			reason = inner.Error()
		}
		return nil, fmt.Errorf("the URL of the outcome store is none of PostgreSQL: %s; write postgres://USER@HOST:5432/DATABASE?sslmode=verify-full", reason)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	// A peer that vanished is noticed before the next transaction needs it.
	config.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}).DialContext
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "sharedcloud-apiserver"
	}
	return config, nil
}

// settings of a session. All statements here find their rows by an index; a plan that was made for a table of ten rows and
// kept must not read it from end to end when it has a million. What a dead peer began ends soon, with its locks.
const settings = `SET enable_seqscan = off; SET jit = off; SET statement_timeout = '30s';
	SET idle_in_transaction_session_timeout = '30s';
	SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3`

func assertPostgres(ctx context.Context, conn *pgx.Conn) error {
	if err := conn.PgConn().Exec(ctx, settings).Close(); err != nil {
		return err
	}
	var version int
	var encoding, synchronous string
	var standby bool
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
		current_setting('synchronous_commit'), pg_catalog.pg_is_in_recovery()`).Scan(&version, &encoding, &synchronous, &standby)
	switch {
	case err != nil:
		return err
	case version < oldestPostgres:
		return fmt.Errorf("the database is PostgreSQL %d: version %d or later is needed", version/10000, oldestPostgres/10000)
	case encoding != "UTF8":
		return fmt.Errorf("the database has the encoding %s: make one with UTF8 (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)", encoding)
	case standby:
		return fmt.Errorf("%w: the database is a standby, which cannot be written to: name the primary in the URL, or several hosts with target_session_attrs=read-write", ErrNotReady)
	case synchronous == "off" || synchronous == "local" || synchronous == "remote_write":
		// An acknowledgement must survive a power cut.
		return fmt.Errorf("the database acknowledges before it has synced (synchronous_commit is %s): set it to on for this user, with ALTER ROLE … SET synchronous_commit = on", synchronous)
	}
	return nil
}

// postgresSentence puts what a person can do before what the engine says.
func postgresSentence(err error) error {
	if err == nil || errors.Is(err, ErrNotReady) || errors.Is(err, ErrFull) || errors.Is(err, ErrDisk) || errors.Is(err, ErrDamaged) || errors.Is(err, errAgain) {
		return err
	}
	var engine *pgconn.PgError
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.As(err, &engine):
		return postgresCode(engine, err)
	case errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &connect):
		return fmt.Errorf("%w (%w)", errSlow, err)
	case errors.As(err, &connect), errors.As(err, &network), errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone),
		pgconn.SafeToRetry(err), strings.Contains(err.Error(), "unexpected EOF"),
		strings.Contains(err.Error(), "conn closed"):
		return fmt.Errorf("%w (%w)", errAway, err)
	}
	return err
}

func postgresCode(engine *pgconn.PgError, err error) error {
	code := engine.Code
	switch {
	case code == "53100":
		return fmt.Errorf("%w (%w)", ErrFull, err)
	case code == "58030":
		return fmt.Errorf("%w (%w)", ErrDisk, err)
	case code == "XX001", code == "XX002":
		return fmt.Errorf("%w (%w)", ErrDamaged, err)
	case code == "40001", code == "40P01":
		return fmt.Errorf("%w (%w)", errAgain, err)
	case code == "57014":
		return fmt.Errorf("%w (%w)", errSlow, err)
	case code == "28P01", code == "28000":
		return fmt.Errorf("%w: the database refuses this user: look at the name, the password and the certificate in its URL, and at pg_hba.conf (%w)", ErrNotReady, err)
	case code == "3D000":
		return fmt.Errorf("%w: the database does not exist: make it, with CREATE DATABASE … ENCODING 'UTF8' (%w)", ErrNotReady, err)
	case code == "42501":
		return fmt.Errorf("the database does not let this user do what is needed: give it CREATE and USAGE on its schema (%w)", err)
	case code == "53300":
		return fmt.Errorf("%w: the database has no connection left: raise its max_connections; each server takes %d at most (%w)",
			ErrNotReady, postgresWriters+postgresReaders, err)
	case strings.HasPrefix(code, "08"), code == "57P01", code == "57P02", code == "57P03", code == "25006", code == "25P03":
		return fmt.Errorf("%w (%w)", errAway, err)
	}
	return err
}

// sessions is a pool of them, at most so many.
type sessions struct {
	db    *sql.DB
	slots chan struct{}

	mu   sync.Mutex
	idle []*session
}

func newSessions(connector driver.Connector, most int) *sessions {
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(0) // what is not in use here is closed
	return &sessions{db: db, slots: make(chan struct{}, most)}
}

// take waits for a session for one transaction, which giveBack must get. used: it served before, so that its connection may
// have been lost since.
func (s *sessions) take(ctx context.Context) (taken *session, used bool, err error) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresPatience)
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		cancel()
		return nil, false, ctx.Err()
	case <-within.Done():
		cancel()
		return nil, false, fmt.Errorf("%w (all connections are busy)", errSlow)
	}
	s.mu.Lock()
	if last := len(s.idle) - 1; last >= 0 {
		taken, s.idle = s.idle[last], s.idle[:last]
	}
	s.mu.Unlock()
	if used = taken != nil; !used {
		conn, err := s.db.Conn(within)
		if err != nil {
			cancel()
			<-s.slots
			return nil, false, postgresSentence(err)
		}
		taken = newSession(conn, &postgresDialect)
	}
	taken.within, taken.release = within, cancel
	return taken, used, nil
}

// giveBack ends the transaction of a session, if there is one still, and lets others have the session. One whose
// connection is lost is dropped.
func (s *sessions) giveBack(session *session) {
	defer func() { <-s.slots }()
	ok := !session.broken()
	if ok {
		if status := session.status(); status != 'I' {
			ok = session.simple(`ROLLBACK`) == nil && !session.broken()
		}
	}
	session.release()
	session.within, session.release = nil, nil
	if !ok {
		_ = session.close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, session)
}

func (s *sessions) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, session := range s.idle {
		errs = append(errs, session.conn.Close())
	}
	s.idle = nil
	return errors.Join(append(errs, s.db.Close())...)
}

// simple runs statements that have no parameters, in one journey.
func (s *session) simple(text string) error {
	return s.raw(func(conn *pgconn.PgConn) error { return conn.Exec(s.context(), text).Close() })
}

// status is 'I' outside a transaction.
func (s *session) status() (status byte) {
	_ = s.raw(func(conn *pgconn.PgConn) error {
		status = conn.TxStatus()
		return nil
	})
	return status
}

// broken: the connection is lost.
func (s *session) broken() bool {
	closed := true
	err := s.raw(func(conn *pgconn.PgConn) error {
		closed = conn.IsClosed()
		return nil
	})
	return closed || err != nil
}

func (s *session) raw(do func(*pgconn.PgConn) error) error {
	var failed error
	err := s.conn.Raw(func(driverConn any) error {
		conn, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("a connection of another driver: %T", driverConn)
		}
		failed = do(conn.Conn().PgConn())
		return nil
	})
	if err != nil {
		return err
	}
	return failed
}
