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
	// Bin is the folder of its programs.
	Bin string
	// Root is the folder that its packages are unpacked into; empty for an installation of the machine.
	Root string
}

// Find returns the latest PostgreSQL of the machine, else the one that hack/postgresql.sh has fetched.
func Find() (Installation, error) {
	folder, err := os.Getwd()
	if err != nil {
		return Installation{}, err
	}
	return find("/", checkout(folder))
}

// find searches below the machine's root, on PATH, and in the checkout.
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

// newest returns the folder of the programs of the latest version below a root, at the path of Debian's packages.
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

// checkout returns the root of the repository that contains the folder, or "". Tests run in the folder of their package.
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

// Env returns the environment that the programs need: the path of the libraries of unpacked packages.
func (i Installation) Env() []string {
	if i.Root == "" {
		return nil
	}
	folders, _ := filepath.Glob(filepath.Join(i.Root, "usr/lib/*-linux-*"))
	more, _ := filepath.Glob(filepath.Join(i.Root, "lib/*-linux-*"))
	return []string{"LD_LIBRARY_PATH=" + strings.Join(append(folders, more...), ":")}
}

// reachable returns an installation that other accounts can execute. A checkout may be in the home of root, which they cannot
// enter; then the installation is copied.
func (i Installation) reachable(to string) (Installation, error) {
	if i.Root == "" || entered(i.Root) {
		return i, nil
	}
	if err := os.CopyFS(to, os.DirFS(i.Root)); err != nil {
		return i, fmt.Errorf("copying %s for the account of the server: %w", i.Root, err)
	}
	// The server's account owns the parent folder.
	return Installation{Bin: strings.Replace(i.Bin, i.Root, to, 1), Root: to}, nil
}

// entered reports whether every account can enter a folder.
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

// Account returns the account that runs the server if the tests run as root: PostgreSQL refuses to run as root.
func Account() (*user.User, error) {
	for _, name := range []string{"postgres", "nobody"} {
		if account, err := user.Lookup(name); err == nil {
			return account, nil
		}
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}
