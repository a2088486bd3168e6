package postgrestest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unpack creates the file initdb of some versions below a root.
func unpack(t *testing.T, root string, versions ...string) {
	t.Helper()
	for _, version := range versions {
		folder := filepath.Join(root, "usr/lib/postgresql", version, "bin")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "initdb"), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	empty, machine, fetched := t.TempDir(), t.TempDir(), t.TempDir()
	unpack(t, machine, "9", "15")
	unpack(t, filepath.Join(fetched, "bin", "postgresql"), "17")
	if err := os.MkdirAll(filepath.Join(fetched, "bin/postgresql/usr/lib/x86_64-linux-gnu"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		machine, checkout, bin, env, err string
	}{
		"the machine's newest, before the checkout's": {machine: machine, checkout: fetched, bin: filepath.Join(machine, "usr/lib/postgresql/15/bin")},
		"the checkout's, with its libraries": {
			machine: empty, checkout: fetched, bin: filepath.Join(fetched, "bin/postgresql/usr/lib/postgresql/17/bin"),
			env: "LD_LIBRARY_PATH=" + filepath.Join(fetched, "bin/postgresql/usr/lib/x86_64-linux-gnu"),
		},
		"neither":     {machine: empty, checkout: empty, err: "make postgresql"},
		"no checkout": {machine: empty, err: "make postgresql"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := find(tc.machine, tc.checkout)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want an error with %q", err, tc.err)
				}
				return
			}
			if err != nil || got.Bin != tc.bin || strings.Join(got.Env(), " ") != tc.env {
				t.Errorf("got %+v with %q (%v), want %s with %q", got, got.Env(), err, tc.bin, tc.env)
			}
		})
	}
}

func TestAnInstallationThatOthersCannotEnterIsCopied(t *testing.T) {
	home := t.TempDir()
	root := filepath.Join(home, "bin", "postgresql")
	unpack(t, root, "15")
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	installation := Installation{Bin: filepath.Join(root, "usr/lib/postgresql/15/bin"), Root: root}
	to := filepath.Join(t.TempDir(), "copy")
	got, err := installation.reachable(to)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(to, "usr/lib/postgresql/15/bin"); got.Bin != want || got.Root != to {
		t.Errorf("got %+v, want the programs in %s", got, want)
	}
	if info, err := os.Stat(filepath.Join(got.Bin, "initdb")); err != nil || info.Mode().Perm()&0o111 == 0 {
		t.Errorf("the copy is not executable: %v, %v", info, err)
	}
}

func TestTheCheckoutIsFoundFromAPackage(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got := checkout(folder); got != root {
		t.Errorf("got %q, want %q", got, root)
	}
	if got := checkout("/"); got != "" {
		t.Errorf("the root folder is a checkout: %q", got)
	}
}
