package outcomes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// session is a connection with the statements that were prepared on it. One goroutine at a time.
type session struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

func newSession(conn *sql.Conn) *session {
	return &session{conn: conn, statements: map[string]*sql.Stmt{}}
}

// prepared statements live as long as the session: their texts are few and constant.
func (s *session) prepared(text string) (*sql.Stmt, error) {
	if statement, ok := s.statements[text]; ok {
		return statement, nil
	}
	statement, err := s.conn.PrepareContext(context.Background(), text)
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
	// No caller's context reaches the engine: a transaction serves many callers, and one that goes must not undo what
	// the others did.
	return statement.ExecContext(context.Background(), args...)
}

func (s *session) close() error {
	var errs []error
	for _, statement := range s.statements {
		errs = append(errs, statement.Close())
	}
	return errors.Join(append(errs, s.conn.Close())...)
}

// Tx is a transaction. It is good until the function that got it returns.
type Tx struct {
	session *session
	// wrote: something may have been written, so an error must undo it.
	wrote bool
	// failed is the first error of the engine: after it the engine may have ended the transaction by itself.
	failed error
}

// exec runs a statement that writes and says how many rows it changed.
func (tx *Tx) exec(doing, text string, args ...any) (int64, error) {
	tx.wrote = true
	if tx.failed != nil {
		return 0, tx.failed
	}
	result, err := tx.session.exec(text, args...)
	if err != nil {
		return 0, tx.fail(doing, err)
	}
	changed, err := result.RowsAffected()
	if err != nil {
		return 0, tx.fail(doing, err)
	}
	return changed, nil
}

// query runs a statement that reads, and scan for each row.
func (tx *Tx) query(doing string, scan func(row func(dest ...any) error) error, text string, args ...any) error {
	if tx.failed != nil {
		return tx.failed
	}
	statement, err := tx.session.prepared(text) //nolint:sqlclosecheck // closed with the session
	if err != nil {
		return tx.fail(doing, err)
	}
	rows, err := statement.QueryContext(context.Background(), args...)
	if err != nil {
		return tx.fail(doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return tx.fail(doing, err)
		}
	}
	if err := rows.Err(); err != nil {
		return tx.fail(doing, err)
	}
	return nil
}

// errEnough is what a scan returns when it wants no more rows.
var errEnough = errors.New("enough rows")

// insert runs a statement with RETURNING id.
func (tx *Tx) insert(doing, text string, args ...any) (id int64, err error) {
	tx.wrote = true
	err = tx.query(doing, func(row func(...any) error) error { return row(&id) }, text, args...)
	return id, err
}

func (tx *Tx) fail(doing string, err error) error {
	tx.failed = fmt.Errorf("%s: %w", doing, sentence(err))
	return tx.failed
}
