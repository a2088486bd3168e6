package outcomes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheEngineIsChosenByTheURL(t *testing.T) {
	for where, tc := range map[string]struct{ path, words string }{
		"sqlite:///var/lib/a%20b/outcomes.db":       {path: "/var/lib/a b/outcomes.db"},
		"sqlite://var/lib/outcomes.db":              {words: "three slashes"},
		"sqlite:///":                                {words: "three slashes"},
		"sqlite:///a?mode=memory":                   {words: "three slashes"},
		"sqlite:relative.db":                        {words: "three slashes"},
		"postgres://user@host/db":                   {},
		"postgresql://user@host,other:5433/db":      {},
		"postgres://user:s3cret@host/db?sslmode=no": {words: "not a valid PostgreSQL URL"},
		"mysql://user:s3cret@host/db":               {words: "must begin with"},
		"/var/lib/outcomes.db":                      {words: "must begin with"},
		"":                                          {words: "must begin with"},
	} {
		store, err := New(FixedURL(where))
		switch {
		case tc.words != "":
			if err == nil || !strings.Contains(err.Error(), tc.words) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q got %v; want words like %q", where, err, tc.words)
			}
			continue
		case err != nil:
			t.Errorf("%q got %v", where, err)
			continue
		}
		if sqlite, ok := store.(*SQLite); ok != (tc.path != "") || ok && sqlite.path != tc.path {
			t.Errorf("%q is %#v; want the path %q", where, store, tc.path)
		}
		if tc.path != "" && SQLiteURL(tc.path) != where {
			t.Errorf("%q becomes %q", tc.path, SQLiteURL(tc.path))
		}
	}
}

func TestTheURLIsReadFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if _, err := New(URLFromFile(file)); err == nil || !strings.Contains(err.Error(), "reading the URL of the outcome store") {
		t.Errorf("a missing file got %v", err)
	}
	if err := os.WriteFile(file, []byte("sqlite:///x/y.db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if store, err := New(URLFromFile(file)); err != nil || store.(*SQLite).path != "/x/y.db" { //nolint:forcetypeassert // a test
		t.Errorf("got %v, %v", store, err)
	}
}

func TestAPasswordInAURLIsDetected(t *testing.T) {
	for where, want := range map[string]bool{
		"postgres://user:p@host/db": true, "postgres://user@host/db": false, "postgres://host/db?user=u&password=p": true,
		"sqlite:///x": false, "postgres://user:%zz@host/db": true, "postgres:///db?passfile=/x": false,
	} {
		if got := HasPassword(where); got != want {
			t.Errorf("%q has a password: %v; want %v", where, got, want)
		}
	}
}
