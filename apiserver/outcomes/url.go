package outcomes

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Database is a store with its life: it is opened, which may take as long as another server has it, and closed.
type Database interface {
	Store
	// Open makes the store ready, and may be called again after an error.
	Open(ctx context.Context) error
	// Close ends what runs and refuses what comes.
	Close() error
}

// Source says at which URL a store is. It is asked again for each connection, since a password may change.
type Source func() (string, error)

// Where is a source that always says the same.
func FixedURL(where string) Source { return func() (string, error) { return where, nil } }

// InFile is a source that reads the URL from a file, as a Secret is mounted.
func URLFromFile(path string) Source {
	return func() (string, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reading the URL of the outcome store: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
}

// At names the store at a URL: sqlite:///PATH for a file, postgres://… for a database. It opens nothing.
func New(source Source) (Database, error) {
	where, err := source()
	if err != nil {
		return nil, err
	}
	switch scheme, _, _ := strings.Cut(where, ":"); scheme {
	case "sqlite":
		path, err := sqlitePath(where)
		if err != nil {
			return nil, err
		}
		return NewSQLite(path), nil
	case "postgres", "postgresql":
		if _, err := parsePostgres(where); err != nil {
			return nil, err
		}
		return NewPostgres(source), nil
	}
	// The URL is not repeated: there may be a password in it.
	return nil, errors.New("the URL of the outcome store must begin with sqlite:/// (a file) or postgres:// (a database)")
}

// sqlitePath is the file of a URL like sqlite:///var/lib/outcomes.db.
func sqlitePath(where string) (string, error) {
	u, err := url.Parse(where)
	if err != nil || u.Host != "" || u.RawQuery != "" || u.Fragment != "" || !filepath.IsAbs(u.Path) || strings.HasSuffix(u.Path, "/") {
		return "", errors.New("the URL of an outcome store in a file is sqlite:///PATH: three slashes, a whole path, nothing after it")
	}
	return u.Path, nil
}

// SQLiteURL is the URL of a file.
func SQLiteURL(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	u := url.URL{Scheme: "sqlite", Path: path}
	return u.String()
}

// HasPassword says whether a URL has one, which then must not be where everybody can read it.
func HasPassword(where string) bool {
	u, err := url.Parse(where)
	if err != nil {
		// What cannot be read may have one.
		return strings.Contains(where, "@") || strings.Contains(where, "password")
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password")
}
