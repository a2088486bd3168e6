package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

func command(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	var output bytes.Buffer
	command := newStoreCommand(t.Context())
	command.SilenceErrors, command.SilenceUsage = true, true
	command.SetArgs(arguments)
	command.SetOut(&output)
	command.SetErr(&output)
	err := command.Execute()
	return output.String(), err
}

// TestAStoreMovesToPostgreSQLAndItsBackupBack follows docs/store.md.
func TestAStoreMovesToPostgreSQLAndItsBackupBack(t *testing.T) {
	folder := t.TempDir()
	file, other := filepath.Join(folder, "outcomes.db"), filepath.Join(folder, "other.db")
	store := outcomes.NewSQLite(file)
	if err := store.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run := &outcomes.Run{UID: "uid", Namespace: "ns", Name: "run", Total: 3, UnsuccessfulCut: -1}
	if err := store.Update(t.Context(), "uid", func(tx *outcomes.Tx) error {
		if err := tx.InsertRun(run); err != nil {
			return err
		}
		return tx.InsertOutcomes(run.ID, []outcomes.Outcome{{Index: 0, Status: outcomes.Succeeded}, {Index: 2, Status: outcomes.Failed}})
	}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(folder, "url")
	if err := os.WriteFile(secret, []byte(postgrestest.Shared(t).TLSURL(t)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(folder, "backup.gz")
	for _, step := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"copy", "--from", outcomes.SQLiteURL(file), "--to-url-file", secret}, "Copied 1 runs, 2 outcomes.\n"},
		{[]string{"export", "--store-url-file", secret, "--to", backup}, "Exported 1 runs, 2 outcomes.\n"},
		{[]string{"import", "--store", outcomes.SQLiteURL(other), "--from", backup}, "Imported 1 runs, 2 outcomes.\n"},
		{[]string{"import", "--store", outcomes.SQLiteURL(other), "--from", backup}, "Imported nothing. Skipped, because their runs exist: 1 runs, 2 outcomes.\n"},
	} {
		got, err := command(t, step.arguments...)
		if err != nil || got != step.want {
			t.Fatalf("%v says %q, %v; want %q", step.arguments, got, err, step.want)
		}
	}
	moved := outcomes.NewSQLite(other)
	if err := moved.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer moved.Close()
	n := 0
	if err := moved.Read(t.Context(), "uid", outcomes.All(0), 0, func(*outcomes.Outcome) bool { n++; return true }); err != nil || n != 2 {
		t.Errorf("%d outcomes came back, %v", n, err)
	}
	leftovers, _ := filepath.Glob(filepath.Join(folder, ".*"))
	if len(leftovers) > 0 {
		t.Errorf("files are left over: %v", leftovers)
	}
}

func TestStoreCommandsThatAreRefused(t *testing.T) {
	folder := t.TempDir()
	for name, tc := range map[string]struct {
		arguments []string
		words     string
	}{
		"no store to copy":        {[]string{"copy", "--to", "sqlite:///x"}, "give one of --from and --from-url-file"},
		"two stores to copy":      {[]string{"copy", "--from", "sqlite:///x", "--from-url-file", "/y", "--to", "sqlite:///z"}, "give one of --from and --from-url-file"},
		"a password":              {[]string{"copy", "--from", "sqlite:///x", "--to", "postgres://user:s3cret@host/db"}, "--to contains a password"},
		"no file to write":        {[]string{"export", "--store", "sqlite:///x"}, "--to must name the file"},
		"no file to read":         {[]string{"import", "--store", "sqlite:///x"}, "--from must name the file"},
		"a file that isn't there": {[]string{"import", "--store", "sqlite://" + folder + "/x.db", "--from", folder + "/nosuch"}, "no such file"},
		"a missing store":         {[]string{"export", "--store", "sqlite://" + folder + "/nosuch.db", "--to", folder + "/out"}, "no such file"},
		"another kind of store":   {[]string{"export", "--store", "mysql://host/db", "--to", folder + "/out"}, "must begin with"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := command(t, tc.arguments...)
			if err == nil || !strings.Contains(err.Error(), tc.words) || strings.Contains(got+err.Error(), "s3cret") {
				t.Errorf("%v says %q, %v; want words like %q", tc.arguments, got, err, tc.words)
			}
		})
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("files are left over: %v", left)
	}
}
