package outcomes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// dialect is what differs between the engines. The SQL is the same.
type dialect struct {
	// translate prepends the cause and the remedy to an error of the engine.
	translate func(error) error
	// plainRows and fullRows are the numbers of outcomes that one INSERT adds.
	plainRows, fullRows int
	// sends: the engine sends all rows of a result, including those that are not read.
	sends bool
}

var (
	// SQLite looks parameters up one by one: a statement with hundreds of them is slower ...
	sqliteDialect = dialect{translate: sqliteError, plainRows: 8, fullRows: 4}
	// ... but for PostgreSQL, each statement is a round trip.
	postgresDialect = dialect{translate: postgresError, plainRows: 64, fullRows: 16, sends: true}
)

// session is a connection with its prepared statements. It is not safe for concurrent use.
type session struct {
	conn       *sql.Conn
	dialect    *dialect
	statements map[string]*sql.Stmt
	// within limits the time of the engine's calls; nil for no limit. The contexts of callers are not passed to the engine: a
	// transaction serves several callers, and if one of them is cancelled, the writes of the others must not be rolled back.
	within context.Context //nolint:containedctx // of the transaction, which has no other place
	// release frees the resources of within; may be nil.
	release context.CancelFunc
}

func newSession(conn *sql.Conn, dialect *dialect) *session {
	return &session{conn: conn, dialect: dialect, statements: map[string]*sql.Stmt{}}
}

func (s *session) context() context.Context {
	if s.within != nil {
		return s.within
	}
	return context.Background()
}

// prepared returns a prepared statement. Statements are kept while the session exists: their texts are few and constant.
func (s *session) prepared(text string) (*sql.Stmt, error) {
	if statement, ok := s.statements[text]; ok {
		return statement, nil
	}
	statement, err := s.conn.PrepareContext(s.context(), text)
	if err != nil {
		return nil, err
	}
	s.statements[text] = statement
	return statement, nil
}

func (s *session) exec(text string, args ...any) (sql.Result, error) {
	statement, err := s.prepared(text) //nolint:sqlclosecheck // closed with the session
	if err != nil {
		return nil, err
	}
	return statement.ExecContext(s.context(), args...)
}

func (s *session) close() error {
	var errs []error
	for _, statement := range s.statements {
		errs = append(errs, statement.Close())
	}
	return errors.Join(append(errs, s.conn.Close())...)
}

// Tx is a transaction. It is valid until the function that it was passed to returns.
type Tx struct {
	session *session
	// wrote: something may have been written, so an error must roll back.
	wrote bool
	// failed is the first error of the engine. After it, the engine may have ended the transaction.
	failed error
}

// exec runs a statement that writes and returns the number of rows that it changed.
func (tx *Tx) exec(action, text string, args ...any) (int64, error) {
	tx.wrote = true
	if tx.failed != nil {
		return 0, tx.failed
	}
	result, err := tx.session.exec(text, args...)
	if err != nil {
		return 0, tx.fail(action, err)
	}
	changed, err := result.RowsAffected()
	if err != nil {
		return 0, tx.fail(action, err)
	}
	return changed, nil
}

// query runs a statement that reads, and calls scan for each row.
func (tx *Tx) query(action string, scan func(row func(dest ...any) error) error, text string, args ...any) error {
	if tx.failed != nil {
		return tx.failed
	}
	statement, err := tx.session.prepared(text) //nolint:sqlclosecheck // closed with the session
	if err != nil {
		return tx.fail(action, err)
	}
	rows, err := statement.QueryContext(tx.session.context(), args...)
	if err != nil {
		return tx.fail(action, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); errors.Is(err, errStopScan) {
			return nil
		} else if err != nil {
			return tx.fail(action, err)
		}
	}
	if err := rows.Err(); err != nil {
		return tx.fail(action, err)
	}
	return nil
}

// errStopScan is returned by a scan that needs no more rows.
var errStopScan = errors.New("enough rows")

// insert runs a statement with RETURNING id.
func (tx *Tx) insert(action, text string, args ...any) (id int64, err error) {
	tx.wrote = true
	err = tx.query(action, func(row func(...any) error) error { return row(&id) }, text, args...)
	return id, err
}

func (tx *Tx) fail(action string, err error) error {
	tx.failed = fmt.Errorf("%s: %w", action, tx.session.dialect.translate(err))
	return tx.failed
}
