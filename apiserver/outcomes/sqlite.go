package outcomes

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"
	"k8s.io/apimachinery/pkg/types"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// minSQLite has the fix of the race between a checkpoint and a reset of the write-ahead log that could lose
	// commits: https://www.sqlite.org/releaselog/3_51_3.html.
	minSQLite = "3.51.3"
	readers   = 4
)

//go:embed migrations
var migrations embed.FS

// SQLite is a store in a local file. Until Open has returned, all methods return ErrNotReady.
type SQLite struct {
	path string

	readiness

	// mu guards the following fields. Update and View hold it for reading.
	mu      sync.RWMutex
	lock    *os.File
	write   *sql.DB
	read    *sql.DB
	writer  *writer
	readers chan *session
}

var _ Store = (*SQLite)(nil)

// NewSQLite returns a store in the file, without opening it. Open creates its folder if it is missing. A lock file beside it
// ensures that only one server uses it.
func NewSQLite(path string) *SQLite {
	s := &SQLite{path: path}
	s.waitFor(errNotOpened)
	return s
}

// Open waits until no other server uses the store, then migrates its schema. It returns when the store is ready, when ctx
// ends, or with an error; it may be called again after an error.
func (s *SQLite) Open(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			s.waitFor(fmt.Errorf("%w: %w", ErrNotReady, err))
		}
	}()
	folder := filepath.Dir(s.path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("creating the folder of the outcome store: %w", err)
	}
	if err := refuseNetworkFileSystem(folder); err != nil {
		return err
	}
	lock, err := s.acquireLock(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lock = lock
	if err := s.open(ctx); err != nil {
		return errors.Join(err, s.closeAll())
	}
	s.waiting.Store(nil)
	return nil
}

func (s *SQLite) open(ctx context.Context) (err error) {
	// This halves the time of a commit, with the same durability: https://pkg.go.dev/modernc.org/sqlite#Fdatasync. On a
	// system without fdatasync it returns an error and fsync is used.
	_, _ = sqlite.Fdatasync(true)

	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("migrating the schema of the outcome store: %w", sqliteError(err))
	}
	if s.write, err = sql.Open("sqlite", s.dsn("_txlock=immediate")); err != nil {
		return err
	}
	conn, err := s.connect(ctx, s.write)
	if err != nil {
		return err
	}
	if s.read, err = sql.Open("sqlite", s.dsn("_query_only=1")); err != nil {
		return errors.Join(err, conn.close())
	}
	sessions := make(chan *session, readers)
	for range readers {
		reader, err := s.connect(ctx, s.read)
		if err != nil {
			return errors.Join(err, conn.close())
		}
		sessions <- reader
	}
	s.readers, s.writer = sessions, startWriter(conn)
	return nil
}

func (s *SQLite) connect(ctx context.Context, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the outcome store: %w", sqliteError(err))
	}
	var version, journal string
	var synchronous int
	err = errors.Join(
		conn.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version),
		conn.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&journal),
		conn.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&synchronous))
	if err != nil {
		return nil, fmt.Errorf("opening the outcome store: %w", sqliteError(err))
	}
	switch {
	case olderThan(version, minSQLite):
		return nil, fmt.Errorf("this server was built with SQLite %s, which can lose commits: build it with %s or later", version, minSQLite)
	case journal != "wal" || synchronous != 2:
		return nil, fmt.Errorf("the outcome store has journal mode %q and synchronous %d instead of wal and 2: its file system does not support them; use a local disk", journal, synchronous)
	}
	return newSession(conn, &sqliteDialect), nil
}

// dsn sets synchronous to FULL: an acknowledged outcome must survive a power failure.
func (s *SQLite) dsn(more string) string {
	path := s.path
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	file := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&" +
		"_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_dqs=0&_error_rc=1&" + more}
	return file.String()
}

func (s *SQLite) migrate(ctx context.Context) error {
	folder, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", s.dsn(""))
	if err != nil {
		return err
	}
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, folder)
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

// Close waits for running transactions, rejects new ones, and releases the lock for the next server.
func (s *SQLite) Close() error {
	s.waitFor(errClosed)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeAll()
}

// closeAll closes all resources. mu must be held, so that no View is running.
func (s *SQLite) closeAll() error {
	var errs []error
	if s.writer != nil {
		errs = append(errs, s.writer.stop())
		s.writer = nil
	}
	if s.readers != nil {
		for range readers {
			errs = append(errs, (<-s.readers).close())
		}
		s.readers = nil
	}
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	s.read, s.write = nil, nil
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// Update runs fn in a transaction that can write, see Store.
func (s *SQLite) Update(ctx context.Context, run types.UID, fn func(*Tx) error) error {
	s.mu.RLock()
	writer := s.writer
	s.mu.RUnlock()
	if writer == nil {
		return s.notOpen()
	}
	return writer.update(ctx, run, fn)
}

// View runs fn in a transaction that can only read, see Store.
func (s *SQLite) View(ctx context.Context, fn func(*Tx) error) (err error) {
	// Held until the end, so that Close waits for running views.
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.readers == nil {
		return s.notOpen()
	}
	var reader *session
	select {
	case reader = <-s.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.readers <- reader }()
	if _, err := reader.exec("BEGIN"); err != nil {
		return fmt.Errorf("starting to read: %w", sqliteError(err))
	}
	defer func() {
		if _, ending := reader.exec("ROLLBACK"); ending != nil && err == nil {
			err = fmt.Errorf("finishing to read: %w", sqliteError(ending))
		}
	}()
	return fn(&Tx{session: reader})
}

// Read yields a run's outcomes in order, see the function Read.
func (s *SQLite) Read(ctx context.Context, run types.UID, selected Selection, limit int, yield func(*Outcome) bool) error {
	return Read(ctx, s, run, selected, limit, yield)
}

// sqliteError prepends the cause and the remedy to an error of SQLite.
func sqliteError(err error) error {
	var engine *sqlite.Error
	if !errors.As(err, &engine) {
		return err
	}
	switch engine.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w (%w)", ErrFull, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w (%w)", ErrDamaged, err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%w (%w)", ErrDisk, err)
	}
	return err
}

// olderThan compares versions like "3.51.3".
func olderThan(version, other string) bool {
	a, b := strings.Split(version, "."), strings.Split(other, ".")
	for i := range b {
		if i >= len(a) {
			return true
		}
		have, err := strconv.Atoi(a[i])
		want, _ := strconv.Atoi(b[i])
		if err != nil || have != want {
			return err != nil || have < want
		}
	}
	return false
}
