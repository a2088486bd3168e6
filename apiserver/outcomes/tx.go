package outcomes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// dialect is what engines do not have in common. It is little: the SQL is the same.
type dialect struct {
	// sentence puts what a person can do before what the engine says.
	sentence func(error) error
	// plainRows and fullRows are how many outcomes one INSERT adds.
	plainRows, fullRows int
	// sends: the engine sends all rows that a statement has, also those that nobody reads any more.
	sends bool
}

var (
	// Engines look parameters up one by one, so that a text with hundreds of them is slower, not faster ...
	sqliteDialect = dialect{sentence: sentence, plainRows: 8, fullRows: 4}
	// ... unless each statement is a journey.
	postgresDialect = dialect{sentence: postgresSentence, plainRows: 64, fullRows: 16, sends: true}
)

// session is a connection with the statements that were prepared on it. One goroutine at a time.
type session struct {
	conn       *sql.Conn
	dialect    *dialect
	statements map[string]*sql.Stmt
	// within bounds what the engine is asked; nil for no bound. No caller's context reaches the engine: a transaction serves
	// many callers, and one that goes must not undo what the others did.
	within context.Context //nolint:containedctx // of the transaction, which has no other place
	// release ends what within takes; nil where there is none.
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

// prepared statements live as long as the session: their texts are few and constant.
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
	rows, err := statement.QueryContext(tx.session.context(), args...)
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
	tx.failed = fmt.Errorf("%s: %w", doing, tx.session.dialect.sentence(err))
	return tx.failed
}
