package postgrestest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// Installation is a PostgreSQL that is installed, or unpacked from its packages.
type Installation struct {
	// Bin is the folder of the programs.
	Bin string
	// Root is the folder that the packages are unpacked into; empty for the machine's own installation.
	Root string
}

// Find returns the newest PostgreSQL of the machine or, where it has none, the one that hack/postgresql.sh has fetched.
func Find() (Installation, error) {
	folder, err := os.Getwd()
	if err != nil {
		return Installation{}, err
	}
	return find("/", checkout(folder))
}

// find looks below the machine's root, on PATH, and in the checkout.
func find(machine, checkout string) (Installation, error) {
	if bin := newest(machine); bin != "" {
		return Installation{Bin: bin}, nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return Installation{Bin: filepath.Dir(path)}, nil
	}
	root := filepath.Join(checkout, "bin", "postgresql")
	if bin := newest(root); checkout != "" && bin != "" {
		return Installation{Bin: bin, Root: root}, nil
	}
	return Installation{}, errors.New("these tests need PostgreSQL 13 or later: `make postgresql` fetches it into bin/")
}

// newest is the folder of the programs of the newest version below a root, where Debian's packages put it.
func newest(root string) string {
	folders, _ := filepath.Glob(filepath.Join(root, "usr/lib/postgresql/*/bin"))
	found, best := "", 0
	for _, folder := range folders {
		version, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
		if _, err := os.Stat(filepath.Join(folder, "initdb")); err == nil && version > best {
			found, best = folder, version
		}
	}
	return found
}

// checkout is the root of the repository that holds the folder, "" without one. Tests run in the folder of their package.
func checkout(folder string) string {
	for ; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "hack", "postgresql.sh")); err == nil {
			return folder
		}
		if folder == filepath.Dir(folder) {
			return ""
		}
	}
}

// Env is the environment that the programs need: where the libraries of unpacked packages are.
func (i Installation) Env() []string {
	if i.Root == "" {
		return nil
	}
	folders, _ := filepath.Glob(filepath.Join(i.Root, "usr/lib/*-linux-*"))
	more, _ := filepath.Glob(filepath.Join(i.Root, "lib/*-linux-*"))
	return []string{"LD_LIBRARY_PATH=" + strings.Join(append(folders, more...), ":")}
}

// reachable is the installation as another account can execute it. A checkout may be in the home of root, which others cannot
// enter; then the installation is copied.
func (i Installation) reachable(to string) (Installation, error) {
	if i.Root == "" || entered(i.Root) {
		return i, nil
	}
	if err := os.CopyFS(to, os.DirFS(i.Root)); err != nil {
		return i, fmt.Errorf("copying %s for the account of the server: %w", i.Root, err)
	}
	// The folder above is the server's.
	return Installation{Bin: strings.Replace(i.Bin, i.Root, to, 1), Root: to}, nil
}

// entered says whether every account may enter a folder.
func entered(folder string) bool {
	for ; ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if folder == filepath.Dir(folder) {
			return true
		}
	}
}

// Account is the account that the server runs as where the tests run as root: PostgreSQL refuses to be root.
func Account() (*user.User, error) {
	for _, name := range []string{"postgres", "nobody"} {
		if account, err := user.Lookup(name); err == nil {
			return account, nil
		}
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}
