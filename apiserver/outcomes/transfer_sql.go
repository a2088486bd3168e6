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

// transferName is how the connections of an export or a copy are known to the database.
const transferName = "sharedcloud-store"

// lockPatience is for how long a file is waited for that a server may have.
const lockPatience = time.Second

// rowsOf is what reads and writes a store as tables: a transaction.
type rowsOf struct {
	tx       *sql.Tx
	postgres bool
	closing  []func() error
}

func (r *rowsOf) close() {
	for i := len(r.closing) - 1; i >= 0; i-- {
		_ = r.closing[i]()
	}
}

func (r *rowsOf) sentence(err error) error {
	if r.postgres {
		return postgresSentence(err)
	}
	return sentence(err)
}

// columns are a table's, with their types; none where there is no such table.
func (r *rowsOf) columns(ctx context.Context, name string) (columns, types []string, err error) {
	query := `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1`
	if r.postgres {
		query = `SELECT COUNT(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = $1`
	}
	var there int
	if err := r.tx.QueryRowContext(ctx, query, name).Scan(&there); err != nil || there == 0 {
		return nil, nil, r.sentence(err)
	}
	rows, err := r.tx.QueryContext(ctx, `SELECT * FROM `+name+` WHERE 1 = 0`)
	if err != nil {
		return nil, nil, r.sentence(err)
	}
	defer rows.Close()
	all, err := rows.ColumnTypes()
	if err != nil {
		return nil, nil, r.sentence(err)
	}
	for _, column := range all {
		columns, types = append(columns, column.Name()), append(types, strings.ToUpper(column.DatabaseTypeName()))
	}
	return columns, types, r.sentence(rows.Err())
}

func (r *rowsOf) count(ctx context.Context, name string) (n int64, err error) {
	columns, _, err := r.columns(ctx, name)
	if err != nil || columns == nil {
		return 0, err
	}
	err = r.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+name).Scan(&n)
	return n, r.sentence(err)
}

// snapshot is one state of a store, to be read.
type snapshot struct{ rowsOf }

// rows reads rows one by one.
func (s *snapshot) rows(ctx context.Context, query string, take func([]any) error) error {
	rows, err := s.tx.QueryContext(ctx, query)
	if err != nil {
		return s.sentence(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return s.sentence(err)
	}
	for rows.Next() {
		row, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			pointers[i] = &row[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			return s.sentence(err)
		}
		if err := take(row); err != nil {
			return err
		}
	}
	return s.sentence(rows.Err())
}

// openSnapshot opens a store for reading. alone: no server may use it as long as the snapshot is open.
func openSnapshot(ctx context.Context, source Source, alone bool) (*snapshot, error) {
	store, err := At(source)
	if err != nil {
		return nil, err
	}
	s := &snapshot{}
	switch store := store.(type) {
	case *SQLite:
		err = s.openSQLite(ctx, store, alone)
	case *Postgres:
		s.postgres = true
		err = s.openPostgres(ctx, source, alone)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("reading the store: %w", s.sentence(err))
	}
	return s, nil
}

func (s *snapshot) openSQLite(ctx context.Context, store *SQLite, alone bool) error {
	if _, err := os.Stat(store.path); err != nil {
		return err // opening would make one
	}
	if alone {
		lock, err := lockNow(ctx, store)
		if err != nil {
			return err
		}
		s.closing = append(s.closing, lock.Close)
	}
	// A reader beside the server: the write-ahead log keeps the state in which it began, and grows by what is written meanwhile.
	db, err := sql.Open("sqlite", store.dsn("_query_only=1"))
	if err != nil {
		return err
	}
	s.closing = append(s.closing, db.Close)
	return s.begin(ctx, db, &sql.TxOptions{})
}

func lockNow(ctx context.Context, store *SQLite) (*os.File, error) {
	within, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	lock, err := store.takeLock(within)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, errInUse
	}
	return lock, err
}

var errInUse = errors.New("a server uses the store: end it first (scale its Deployment to 0), or what it acknowledges meanwhile would be lost")

func (s *snapshot) openPostgres(ctx context.Context, source Source, alone bool) error {
	db := openForTransfer(source)
	s.closing = append(s.closing, db.Close)
	if err := s.begin(ctx, db, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}); err != nil {
		return err
	}
	if !alone {
		return nil
	}
	var others int
	err := s.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM pg_catalog.pg_stat_activity
		WHERE application_name = 'sharedcloud-apiserver' AND datname = current_database() AND pid <> pg_backend_pid()`).Scan(&others)
	if err == nil && others > 0 {
		return errInUse
	}
	return err
}

// openForTransfer opens a database for one long transaction, which is not bounded as the server's are.
func openForTransfer(source Source) *sql.DB {
	db := sql.OpenDB(&postgresConnector{source: func() (string, error) {
		text, err := source()
		if err != nil {
			return "", err
		}
		u, err := url.Parse(text)
		if err != nil {
			return "", errors.New("the URL of the outcome store cannot be read")
		}
		query := u.Query()
		query.Set("application_name", transferName)
		u.RawQuery = query.Encode()
		return u.String(), nil
	}})
	db.SetMaxOpenConns(1)
	return db
}

// begin begins the transaction that all happens in.
func (r *rowsOf) begin(ctx context.Context, db *sql.DB, options *sql.TxOptions) error {
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
	// The state is that of the first statement.
	var one int
	return r.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM runs WHERE 1 = 0`).Scan(&one)
}

// sink is a store that is written to.
type sink struct {
	rowsOf
	prepared map[string]*sql.Stmt
}

func (s *sink) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if statement, ok := s.prepared[text]; ok {
		return statement, nil
	}
	statement, err := s.tx.PrepareContext(ctx, text)
	if err != nil {
		return nil, s.sentence(err)
	}
	s.prepared[text] = statement
	return statement, nil
}

// openSink opens a store for writing, with the schema of this program.
func openSink(ctx context.Context, target Source) (*sink, error) {
	store, err := At(target)
	if err != nil {
		return nil, err
	}
	s := &sink{prepared: map[string]*sql.Stmt{}}
	switch store := store.(type) {
	case *SQLite:
		err = s.openSQLite(ctx, store)
	case *Postgres:
		s.postgres = true
		err = s.openPostgres(ctx, store, target)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("writing the store: %w", s.sentence(err))
	}
	return s, nil
}

func (s *sink) openSQLite(ctx context.Context, store *SQLite) error {
	// Opening it would wait for a server that has it.
	if _, err := os.Stat(store.path); err == nil {
		lock, err := lockNow(ctx, store)
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

func (s *sink) openPostgres(ctx context.Context, store *Postgres, target Source) error {
	if err := store.migrate(ctx); err != nil {
		return err
	}
	db := openForTransfer(target)
	s.closing = append(s.closing, db.Close)
	return s.begin(ctx, db, &sql.TxOptions{})
}

// commit keeps it all.
func (s *sink) commit() error { return s.sentence(s.tx.Commit()) }

// exists says whether a table has a row with these values in these columns.
func (s *sink) exists(ctx context.Context, table string, columns []string, values []any) (there bool, err error) {
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
	return n > 0, s.sentence(err)
}

// insertNumbered adds a row and says what number it got.
func (s *sink) insertNumbered(ctx context.Context, t *table, columns []string, values []any) (id int64, err error) {
	statement, err := s.statement(ctx, insertText(t.name, columns, 1)+` RETURNING `+t.id) //nolint:sqlclosecheck // closed with the transaction
	if err != nil {
		return 0, err
	}
	if err := statement.QueryRowContext(ctx, values...).Scan(&id); err != nil {
		return 0, fmt.Errorf("adding to %s: %w", t.name, s.sentence(err))
	}
	return id, nil
}

// insert adds rows, as many at once as is good for the engine, or one by one.
func (s *sink) insert(ctx context.Context, t *table, columns []string, rows [][]any) error {
	most := sqliteDialect.fullRows
	if s.postgres {
		most = postgresDialect.plainRows
	}
	for len(rows) > 0 {
		size := most
		if len(rows) < most {
			size = 1
		}
		statement, err := s.statement(ctx, insertText(t.name, columns, size)) //nolint:sqlclosecheck // closed with the transaction
		if err != nil {
			return err
		}
		var values []any
		for _, row := range rows[:size] {
			values = append(values, row...)
		}
		if _, err := statement.ExecContext(ctx, values...); err != nil {
			return fmt.Errorf("adding to %s: %w", t.name, s.sentence(err))
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
