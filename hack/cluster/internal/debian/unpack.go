package debian

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Unpack puts the packages' files below root, leaving out those that keep
// refuses (paths without a leading slash). The result has a merged /usr, as
// Debian's has: /bin, /sbin and /lib are links into it.
func Unpack(ctx context.Context, packages []Package, root string, keep func(path string) bool) error {
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(root, "usr", dir), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+dir, filepath.Join(root, dir)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	for _, p := range packages {
		err := p.each(ctx, func(h *tar.Header, body io.Reader) error {
			name := merged(h.Name)
			if name == "" || !keep(name) {
				return nil
			}
			return place(root, name, h, body)
		})
		if err != nil {
			return fmt.Errorf("unpacking %s: %w", filepath.Base(p.Path), err)
		}
	}
	return nil
}

// each reads the package's files in order.
func (p Package) each(ctx context.Context, do func(*tar.Header, io.Reader) error) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", p.Path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := eachFile(out, do)
	_, _ = io.Copy(io.Discard, out) // or else dpkg-deb waits for its reader for ever
	return errors.Join(readErr, cmd.Wait())
}

func eachFile(archive io.Reader, do func(*tar.Header, io.Reader) error) error {
	for tr := tar.NewReader(archive); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(h, tr); err != nil {
			return err
		}
	}
}

// merged is where a package's path lies on a merged /usr; "" for the root.
func merged(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	top, _, _ := strings.Cut(name, "/")
	switch top {
	case "bin", "sbin", "lib", "lib64":
		return "usr/" + name
	}
	return name
}

func place(root, name string, h *tar.Header, body io.Reader) error {
	to := filepath.Join(root, name)
	switch h.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(to, 0o755)
	case tar.TypeSymlink:
		if err := readyFor(to); err != nil {
			return err
		}
		return os.Symlink(h.Linkname, to)
	case tar.TypeLink:
		if err := readyFor(to); err != nil {
			return err
		}
		return os.Link(filepath.Join(root, merged(h.Linkname)), to)
	case tar.TypeReg:
		if err := readyFor(to); err != nil {
			return err
		}
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, os.FileMode(h.Mode)&0o777)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, body)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		return os.Chtimes(to, h.ModTime, h.ModTime)
	}
	return nil // devices and pipes are in no package used here
}

func readyFor(to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
