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

// Database is a store that is opened and closed.
type Database interface {
	Store
	// Open waits until no other server uses the store, if the engine requires that, and makes it ready. It may be called
	// again after an error.
	Open(ctx context.Context) error
	// Close waits for running transactions and rejects new ones.
	Close() error
}

// Source returns the URL of a store. It is called for each connection, because a password may change.
type Source func() (string, error)

// FixedURL is a source with a constant URL.
func FixedURL(rawURL string) Source { return func() (string, error) { return rawURL, nil } }

// URLFromFile is a source that reads the URL from a file, such as a mounted Secret.
func URLFromFile(path string) Source {
	return func() (string, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reading the URL of the outcome store: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
}

// New returns the store at a URL, sqlite:///PATH for a file or postgres://… for a database, without opening it.
func New(source Source) (Database, error) {
	rawURL, err := source()
	if err != nil {
		return nil, err
	}
	switch scheme, _, _ := strings.Cut(rawURL, ":"); scheme {
	case "sqlite":
		path, err := sqlitePath(rawURL)
		if err != nil {
			return nil, err
		}
		return NewSQLite(path), nil
	case "postgres", "postgresql":
		if _, err := parsePostgres(rawURL); err != nil {
			return nil, err
		}
		return NewPostgres(source), nil
	}
	// The URL is not repeated: it may contain a password.
	return nil, errors.New("the URL of the outcome store must begin with sqlite:/// (a file) or postgres:// (a database)")
}

// sqlitePath returns the file of a URL such as sqlite:///var/lib/outcomes.db.
func sqlitePath(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host != "" || u.RawQuery != "" || u.Fragment != "" || !filepath.IsAbs(u.Path) || strings.HasSuffix(u.Path, "/") {
		return "", errors.New("the URL of an outcome store in a file is sqlite:///PATH: three slashes, an absolute path, nothing after it")
	}
	return u.Path, nil
}

// SQLiteURL returns the URL of a file.
func SQLiteURL(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	u := url.URL{Scheme: "sqlite", Path: path}
	return u.String()
}

// HasPassword reports whether a URL contains a password, so that it must not be stored in a readable place.
func HasPassword(rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil {
		// An invalid URL may contain one.
		return strings.Contains(rawURL, "@") || strings.Contains(rawURL, "password")
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password")
}
