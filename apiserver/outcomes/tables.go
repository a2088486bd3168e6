package outcomes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

// transferName is the application name of the connections of a transfer.
const transferName = "sharedcloud-store"

// lockTimeout is how long a transfer waits for the lock of a file.
const lockTimeout = time.Second

// For package transfer: a store as tables of rows. A Snapshot reads them and a Sink writes them, each in one transaction.

// tableAccess is the transaction of a Snapshot or of a Sink.
type tableAccess struct {
	tx       *sql.Tx
	postgres bool
	closing  []func() error
}

// Close ends the transaction. Writes of a Sink that are not committed are rolled back.
func (r *tableAccess) Close() {
	for i := len(r.closing) - 1; i >= 0; i-- {
		_ = r.closing[i]()
	}
}

func (r *tableAccess) translate(err error) error {
	if r.postgres {
		return postgresError(err)
	}
	return sqliteError(err)
}

// Columns returns the columns of a table with their types, or none if the table does not exist.
func (r *tableAccess) Columns(ctx context.Context, name string) (columns, types []string, err error) {
	query := `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1`
	if r.postgres {
		query = `SELECT COUNT(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = $1`
	}
	var tables int
	if err := r.tx.QueryRowContext(ctx, query, name).Scan(&tables); err != nil || tables == 0 {
		return nil, nil, r.translate(err)
	}
	rows, err := r.tx.QueryContext(ctx, `SELECT * FROM `+name+` WHERE 1 = 0`)
	if err != nil {
		return nil, nil, r.translate(err)
	}
	defer rows.Close()
	all, err := rows.ColumnTypes()
	if err != nil {
		return nil, nil, r.translate(err)
	}
	for _, column := range all {
		columns, types = append(columns, column.Name()), append(types, strings.ToUpper(column.DatabaseTypeName()))
	}
	return columns, types, r.translate(rows.Err())
}

// Count returns the number of rows of a table, 0 if the table does not exist.
func (r *tableAccess) Count(ctx context.Context, name string) (n int64, err error) {
	columns, _, err := r.Columns(ctx, name)
	if err != nil || columns == nil {
		return 0, err
	}
	err = r.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+name).Scan(&n)
	return n, r.translate(err)
}

// Snapshot is one state of a store, for reading.
type Snapshot struct{ tableAccess }

// Rows calls take with the columns of each row of a table, ordered by the columns in order. condition is a condition in SQL
// that both engines support; "" for all rows.
func (s *Snapshot) Rows(ctx context.Context, table string, columns []string, condition, order string, take func([]any) error) error {
	if condition != "" {
		condition = " WHERE " + condition
	}
	return s.query(ctx, fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s", strings.Join(columns, ", "), table, condition, order), take)
}

// Tables returns the names of all tables.
func (s *Snapshot) Tables(ctx context.Context) (names []string, err error) {
	query := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	if s.postgres {
		query = `SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()`
	}
	err = s.query(ctx, query, func(row []any) error {
		names = append(names, fmt.Sprint(row[0]))
		return nil
	})
	return names, err
}

func (s *Snapshot) query(ctx context.Context, query string, take func([]any) error) error {
	rows, err := s.tx.QueryContext(ctx, query)
	if err != nil {
		return s.translate(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return s.translate(err)
	}
	for rows.Next() {
		row, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			pointers[i] = &row[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			return s.translate(err)
		}
		if err := take(row); err != nil {
			return err
		}
	}
	return s.translate(rows.Err())
}

// OpenSnapshot opens a store for reading. exclusive: it returns ErrInUse if a server uses the store.
func OpenSnapshot(ctx context.Context, source Source, exclusive bool) (*Snapshot, error) {
	store, err := New(source)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{}
	switch store := store.(type) {
	case *SQLite:
		err = s.openSQLite(ctx, store, exclusive)
	case *Postgres:
		s.postgres = true
		err = s.openPostgres(ctx, source, exclusive)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("reading the store: %w", s.translate(err))
	}
	return s, nil
}

func (s *Snapshot) openSQLite(ctx context.Context, store *SQLite, exclusive bool) error {
	if _, err := os.Stat(store.path); err != nil {
		return err // opening would create a file
	}
	if exclusive {
		lock, err := tryLock(ctx, store)
		if err != nil {
			return err
		}
		s.closing = append(s.closing, lock.Close)
	}
	// A server may write meanwhile: the write-ahead log keeps the state at the start of this transaction, and grows until its
	// end.
	db, err := sql.Open("sqlite", store.dsn("_query_only=1"))
	if err != nil {
		return err
	}
	s.closing = append(s.closing, db.Close)
	return s.begin(ctx, db, &sql.TxOptions{})
}

func tryLock(ctx context.Context, store *SQLite) (*os.File, error) {
	within, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	lock, err := store.acquireLock(within)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, ErrInUse
	}
	return lock, err
}

// ErrInUse: a server uses the store.
var ErrInUse = errors.New("a server uses the store: stop it first (scale its Deployment to 0), or outcomes that it acknowledges during the copy are lost")

func (s *Snapshot) openPostgres(ctx context.Context, source Source, exclusive bool) error {
	db := openForTransfer(source)
	s.closing = append(s.closing, db.Close)
	if err := s.begin(ctx, db, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}); err != nil {
		return err
	}
	if !exclusive {
		return nil
	}
	var others int
	err := s.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM pg_catalog.pg_stat_activity
		WHERE application_name = 'sharedcloud-apiserver' AND datname = current_database() AND pid <> pg_backend_pid()`).Scan(&others)
	if err == nil && others > 0 {
		return ErrInUse
	}
	return err
}

// openForTransfer opens a database for one long transaction, without the timeouts of a server's sessions.
func openForTransfer(source Source) *sql.DB {
	db := sql.OpenDB(&postgresConnector{source: func() (string, error) {
		text, err := source()
		if err != nil {
			return "", err
		}
		u, err := url.Parse(text)
		if err != nil {
			return "", errors.New("the URL of the outcome store is invalid")
		}
		query := u.Query()
		query.Set("application_name", transferName)
		u.RawQuery = query.Encode()
		return u.String(), nil
	}})
	db.SetMaxOpenConns(1)
	return db
}

// begin starts the transaction.
func (r *tableAccess) begin(ctx context.Context, db *sql.DB, options *sql.TxOptions) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	r.closing = append(r.closing, conn.Close)
	if r.postgres {
		for _, setting := range []string{"statement_timeout = 0", "idle_in_transaction_session_timeout = 0"} {
			if _, err := conn.ExecContext(ctx, `SET `+setting); err != nil {
				return err
			}
		}
	}
	if r.tx, err = conn.BeginTx(ctx, options); err != nil {
		return err
	}
	r.closing = append(r.closing, r.tx.Rollback)
	// The snapshot is taken by the first statement.
	var one int
	return r.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM runs WHERE 1 = 0`).Scan(&one)
}

// Sink is a store, for writing.
type Sink struct {
	tableAccess
	prepared map[string]*sql.Stmt
}

func (s *Sink) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if statement, ok := s.prepared[text]; ok {
		return statement, nil
	}
	statement, err := s.tx.PrepareContext(ctx, text)
	if err != nil {
		return nil, s.translate(err)
	}
	s.prepared[text] = statement
	return statement, nil
}

// OpenSink opens a store for writing, and migrates it to the schema of this program.
func OpenSink(ctx context.Context, target Source) (*Sink, error) {
	store, err := New(target)
	if err != nil {
		return nil, err
	}
	s := &Sink{prepared: map[string]*sql.Stmt{}}
	switch store := store.(type) {
	case *SQLite:
		err = s.openSQLite(ctx, store)
	case *Postgres:
		s.postgres = true
		err = s.openPostgres(ctx, store, target)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("writing the store: %w", s.translate(err))
	}
	return s, nil
}

func (s *Sink) openSQLite(ctx context.Context, store *SQLite) error {
	// Open would wait while a server uses the store.
	if _, err := os.Stat(store.path); err == nil {
		lock, err := tryLock(ctx, store)
		if err != nil {
			return err
		}
		_ = lock.Close()
	}
	if err := store.Open(ctx); err != nil {
		return err
	}
	s.closing = append(s.closing, store.Close)
	db, err := sql.Open("sqlite", store.dsn("_txlock=immediate"))
	if err != nil {
		return err
	}
	s.closing = append(s.closing, db.Close)
	return s.begin(ctx, db, &sql.TxOptions{})
}

func (s *Sink) openPostgres(ctx context.Context, store *Postgres, target Source) error {
	if err := store.migrate(ctx); err != nil {
		return err
	}
	db := openForTransfer(target)
	s.closing = append(s.closing, db.Close)
	return s.begin(ctx, db, &sql.TxOptions{})
}

// Commit commits the transaction.
func (s *Sink) Commit() error { return s.translate(s.tx.Commit()) }

// Exists reports whether a table has a row with these values in these columns.
func (s *Sink) Exists(ctx context.Context, table string, columns []string, values []any) (found bool, err error) {
	var conditions []string
	for i, column := range columns {
		conditions = append(conditions, fmt.Sprintf("%s = $%d", column, i+1))
	}
	statement, err := s.statement(ctx, fmt.Sprintf(`SELECT COUNT(*) FROM %s WHERE %s`, table, strings.Join(conditions, " AND "))) //nolint:sqlclosecheck // closed with the transaction
	if err != nil {
		return false, err
	}
	var n int
	err = statement.QueryRowContext(ctx, values...).Scan(&n)
	return n > 0, s.translate(err)
}

// InsertNumbered adds a row to a table and returns the id that the engine assigned in the column id.
func (s *Sink) InsertNumbered(ctx context.Context, table, id string, columns []string, values []any) (number int64, err error) {
	statement, err := s.statement(ctx, insertText(table, columns, 1)+` RETURNING `+id) //nolint:sqlclosecheck // closed with the transaction
	if err != nil {
		return 0, err
	}
	if err := statement.QueryRowContext(ctx, values...).Scan(&number); err != nil {
		return 0, fmt.Errorf("adding to %s: %w", table, s.translate(err))
	}
	return number, nil
}

// Insert adds rows to a table, in statements of a size that suits the engine.
func (s *Sink) Insert(ctx context.Context, table string, columns []string, rows [][]any) error {
	maxRows := sqliteDialect.fullRows
	if s.postgres {
		maxRows = postgresDialect.plainRows
	}
	for len(rows) > 0 {
		size := maxRows
		if len(rows) < maxRows {
			size = 1
		}
		statement, err := s.statement(ctx, insertText(table, columns, size)) //nolint:sqlclosecheck // closed with the transaction
		if err != nil {
			return err
		}
		var values []any
		for _, row := range rows[:size] {
			values = append(values, row...)
		}
		if _, err := statement.ExecContext(ctx, values...); err != nil {
			return fmt.Errorf("adding to %s: %w", table, s.translate(err))
		}
		rows = rows[size:]
	}
	return nil
}

func insertText(name string, columns []string, rows int) string {
	var text strings.Builder
	fmt.Fprintf(&text, "INSERT INTO %s (%s) VALUES ", name, strings.Join(columns, ", "))
	for row := range rows {
		separator := "("
		if row > 0 {
			separator = ", ("
		}
		for column := range columns {
			fmt.Fprintf(&text, "%s$%d", separator, row*len(columns)+column+1)
			separator = ", "
		}
		text.WriteByte(')')
	}
	return text.String()
}

// Measure recomputes the sum that a run or an upload counts against quotas.
func (s *Sink) Measure(ctx context.Context, table string, number int64) error {
	measured := map[string]string{"runs": measuredRun, "uploads": measuredUpload}[table]
	statement, err := s.statement(ctx, `UPDATE `+table+` SET stored_bytes = `+measured+` WHERE id = $1`) //nolint:sqlclosecheck // closed with the transaction
	if err != nil {
		return err
	}
	if _, err := statement.ExecContext(ctx, number); err != nil {
		return fmt.Errorf("measuring the %s: %w", table, s.translate(err))
	}
	return nil
}

// Packed returns the primary key of an outcome or of a chunk: the id of the run or upload, and an index.
func Packed(number int64, index int) int64 { return key(number, index) }

// Unpack splits the result of Packed.
func Unpack(packed int64) (number int64, index int) { return packed >> 32, int(packed & (1<<32 - 1)) }
