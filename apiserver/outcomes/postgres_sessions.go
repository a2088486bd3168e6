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

// minPostgres is the minimum version: 13.
const minPostgres = 130000

// Errors of PostgreSQL without an error of the store's own.
var (
	// errRolledBack: the transaction was rolled back, and a retry may succeed.
	errRolledBack = errors.New("the database rolled the transaction back because of a conflict with another one")
	// errUnreachable: the connection was lost, or could not be made. The transaction was rolled back, unless the error
	// occurred during its commit.
	errUnreachable = fmt.Errorf("%w: the database does not answer; this server retries until it does", ErrNotReady)
	errTimeout     = fmt.Errorf("%w: the database took too long; check its load and which sessions hold locks (pg_stat_activity)", ErrNotReady)
)

// postgresConnector connects to the current URL, and checks on each connection the settings that the store relies on.
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
		return nil, postgresError(err)
	}
	return conn, nil
}

// parsePostgres reads a connection string. An error does not repeat it, because it contains a password.
func parsePostgres(text string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(text)
	if err != nil {
		var parse *pgconn.ParseConfigError
		reason := "it is malformed"
		if inner := errors.Unwrap(err); errors.As(err, &parse) && inner != nil && !strings.Contains(inner.Error(), "://") {
			reason = inner.Error()
		}
		return nil, fmt.Errorf("the URL of the outcome store is not a valid PostgreSQL URL: %s; write postgres://USER@HOST:5432/DATABASE?sslmode=verify-full", reason)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	// A lost peer is detected before the next transaction needs the connection.
	config.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}).DialContext
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "sharedcloud-apiserver"
	}
	return config, nil
}

// settings are run on each new session. All statements find their rows by an index: a cached plan that was made when a table had ten rows
// must not scan it when it has a million. The timeouts end transactions of dead peers and release their locks.
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
	case version < minPostgres:
		return fmt.Errorf("the database is PostgreSQL %d: version %d or later is required", version/10000, minPostgres/10000)
	case encoding != "UTF8":
		return fmt.Errorf("the database has the encoding %s: create one with UTF8 (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)", encoding)
	case standby:
		return fmt.Errorf("%w: the database is a read-only standby: use the primary in the URL, or several hosts with target_session_attrs=read-write", ErrNotReady)
	case synchronous == "off" || synchronous == "local" || synchronous == "remote_write":
		// An acknowledged outcome must survive a power failure.
		return fmt.Errorf("the database acknowledges commits before they are synced (synchronous_commit is %s): set it to on for this user, with ALTER ROLE … SET synchronous_commit = on", synchronous)
	}
	return nil
}

// postgresError prepends the cause and the remedy to an error of PostgreSQL.
func postgresError(err error) error {
	if err == nil || errors.Is(err, ErrNotReady) || errors.Is(err, ErrFull) || errors.Is(err, ErrDisk) || errors.Is(err, ErrDamaged) || errors.Is(err, errRolledBack) {
		return err
	}
	var engine *pgconn.PgError
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.As(err, &engine):
		return postgresCode(engine, err)
	case errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &connect):
		return fmt.Errorf("%w (%w)", errTimeout, err)
	case errors.As(err, &connect), errors.As(err, &network), errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone),
		pgconn.SafeToRetry(err), strings.Contains(err.Error(), "unexpected EOF"),
		strings.Contains(err.Error(), "conn closed"):
		return fmt.Errorf("%w (%w)", errUnreachable, err)
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
		return fmt.Errorf("%w (%w)", errRolledBack, err)
	case code == "57014":
		return fmt.Errorf("%w (%w)", errTimeout, err)
	case code == "28P01", code == "28000":
		return fmt.Errorf("%w: the database rejects this user: check the name, the password and the certificate in the URL, and pg_hba.conf (%w)", ErrNotReady, err)
	case code == "3D000":
		return fmt.Errorf("%w: the database does not exist: create it with CREATE DATABASE … ENCODING 'UTF8' (%w)", ErrNotReady, err)
	case code == "42501":
		return fmt.Errorf("this user lacks a permission in the database: grant it CREATE and USAGE on its schema (%w)", err)
	case code == "53300":
		return fmt.Errorf("%w: the database has no connection left: increase its max_connections; each server uses at most %d (%w)",
			ErrNotReady, postgresWriters+postgresReaders, err)
	case strings.HasPrefix(code, "08"), code == "57P01", code == "57P02", code == "57P03", code == "25006", code == "25P03":
		return fmt.Errorf("%w (%w)", errUnreachable, err)
	}
	return err
}

// sessions is a pool of at most limit sessions.
type sessions struct {
	db    *sql.DB
	slots chan struct{}

	mu   sync.Mutex
	idle []*session
}

func newSessions(connector driver.Connector, limit int) *sessions {
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(0) // idle sessions are kept here instead
	return &sessions{db: db, slots: make(chan struct{}, limit)}
}

// take returns a session for one transaction, after which it must be returned with put. used: the session was used before, so
// its connection may have been lost.
func (s *sessions) take(ctx context.Context) (taken *session, used bool, err error) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresTimeout)
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		cancel()
		return nil, false, ctx.Err()
	case <-within.Done():
		cancel()
		return nil, false, fmt.Errorf("%w (all connections are busy)", errTimeout)
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
			return nil, false, postgresError(err)
		}
		taken = newSession(conn, &postgresDialect)
	}
	taken.within, taken.release = within, cancel
	return taken, used, nil
}

// put rolls back an open transaction of a session and returns the session to the pool. A session with a lost connection is
// closed.
func (s *sessions) put(session *session) {
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

// simple runs statements without parameters in one round trip.
func (s *session) simple(text string) error {
	return s.raw(func(conn *pgconn.PgConn) error { return conn.Exec(s.context(), text).Close() })
}

// status returns 'I' outside a transaction.
func (s *session) status() (status byte) {
	_ = s.raw(func(conn *pgconn.PgConn) error {
		status = conn.TxStatus()
		return nil
	})
	return status
}

// broken reports whether the connection is lost.
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
			return fmt.Errorf("unexpected driver connection: %T", driverConn)
		}
		failed = do(conn.Conn().PgConn())
		return nil
	})
	if err != nil {
		return err
	}
	return failed
}
