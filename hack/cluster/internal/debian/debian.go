// Package debian brings Debian packages without installing them: it asks apt
// what a package needs, downloads that into a folder, and reads the files out.
// The machine's own list of installed packages is neither used nor changed, so
// the outcome is the same on a desktop and on a bare server.
//
// apt is asked, rather than a list of package files kept here, because versions
// leave the archive with each security update.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Store is a folder of downloaded packages.
type Store struct {
	Dir string
	// Downloading is called before each download that is needed, if set.
	Downloading func(done, total int)
}

// Package is one package file.
type Package struct{ Path string }

// Closure returns the packages that make the named ones work, themselves
// included, downloading those that are not here yet. Those in without are left
// out: what only matters while packages are installed.
func (s Store) Closure(ctx context.Context, names []string, without ...string) ([]Package, error) {
	files, err := closure(ctx, names)
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(f file) bool { return slices.Contains(without, f.pkg()) })
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	var packages []Package
	var missing []string
	for _, f := range files {
		packages = append(packages, Package{Path: filepath.Join(s.Dir, f.name)})
		if info, err := os.Stat(filepath.Join(s.Dir, f.name)); err != nil || info.Size() != f.size {
			missing = append(missing, f.spec())
		}
	}
	return packages, s.download(ctx, missing)
}

// Single returns one package without what it needs.
func (s Store) Single(ctx context.Context, name string) (Package, error) {
	all, err := closure(ctx, []string{name})
	if err != nil {
		return Package{}, err
	}
	for _, f := range all {
		if f.pkg() != name {
			continue
		}
		if err := os.MkdirAll(s.Dir, 0o755); err != nil {
			return Package{}, err
		}
		p := Package{Path: filepath.Join(s.Dir, f.name)}
		if info, err := os.Stat(p.Path); err == nil && info.Size() == f.size {
			return p, nil
		}
		return p, s.download(ctx, []string{f.spec()})
	}
	return Package{}, fmt.Errorf("apt offers no package %s", name)
}

// download fetches in groups: one run of apt for each would read its lists each
// time, and one for all would say nothing for a minute.
func (s Store) download(ctx context.Context, specs []string) error {
	const group = 8
	for i := 0; i < len(specs); i += group {
		if s.Downloading != nil {
			s.Downloading(i, len(specs))
		}
		args := append([]string{"-qq", "-o", "APT::Sandbox::User=root", "download"}, specs[i:min(i+group, len(specs))]...)
		if _, err := apt(ctx, s.Dir, args...); err != nil {
			return fmt.Errorf("downloading Debian packages failed (run `apt-get update`, then try again): %w", err)
		}
	}
	return nil
}

// file is a line of apt's answer.
type file struct {
	name string // of the file that apt-get download makes
	size int64
}

// pkg is the package's name, as in "libc6".
func (f file) pkg() string {
	name, _, _ := strings.Cut(f.name, "_")
	return name
}

// spec is what asks apt-get download for exactly this file's version.
func (f file) spec() string {
	parts := strings.SplitN(strings.TrimSuffix(f.name, ".deb"), "_", 3)
	return parts[0] + "=" + strings.ReplaceAll(parts[1], "%3a", ":")
}

func closure(ctx context.Context, names []string) ([]file, error) {
	if err := lists(ctx); err != nil {
		return nil, err
	}
	// Against an empty list of installed packages, apt names all that is needed.
	args := []string{"-qq", "-o", "Dir::State::status=/dev/null", "--no-install-recommends", "--print-uris", "install"}
	args = append(args, names...)
	out, err := apt(ctx, "/", args...)
	if err != nil {
		return nil, fmt.Errorf("asking apt for %s failed (run `apt-get update`; `apt-get check` shows whether apt itself works): %w", strings.Join(names, ", "), err)
	}
	return parseURIs(out)
}

// lists makes sure that apt knows any packages: on a fresh machine or in a
// container its lists are empty.
func lists(ctx context.Context) error {
	found, err := filepath.Glob("/var/lib/apt/lists/*_Packages*")
	if err != nil || len(found) > 0 {
		return err
	}
	if _, err := apt(ctx, "/", "-qq", "update"); err != nil {
		return fmt.Errorf("apt-get update failed (are /etc/apt/sources.list and the network in order?): %w", err)
	}
	return nil
}

func apt(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// parseURIs reads lines of the form 'address' file size hash.
func parseURIs(out string) ([]file, error) {
	var files []file
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(fields[0], "'") {
			continue
		}
		f := file{name: fields[1]}
		if _, err := fmt.Sscanf(fields[2], "%d", &f.size); err != nil {
			return nil, fmt.Errorf("unexpected answer of apt: %q", line)
		}
		if _, err := url.PathUnescape(f.name); err != nil || strings.Contains(f.name, "/") || strings.Count(f.name, "_") != 2 {
			return nil, fmt.Errorf("unexpected package file of apt: %q", f.name)
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, errors.New("apt named no package")
	}
	return files, nil
}
