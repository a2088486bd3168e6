package images

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"sharedcloud.io/function-operator/hack/cluster/internal/debian"
)

// Archive returns the image's archive in dir, made if it isn't there; progress is
// told what is being done.
func (d Debian) Archive(ctx context.Context, store debian.Store, dir string, progress func(what string)) (string, error) {
	archive := filepath.Join(dir, d.Key()+".tar")
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	root := filepath.Join(dir, d.Key()+".root")
	if err := os.RemoveAll(root); err != nil { // left by an interrupted run
		return "", err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(root) }()
	if err := d.fill(ctx, store, root, progress); err != nil {
		return "", fmt.Errorf("making the image %s: %w", d.Name, err)
	}
	progress("packing")
	config := Config{Env: append([]string{searchPath}, d.Env...), Cmd: d.Cmd}
	if err := PackFolder(archive, root, d.Tags, config); err != nil {
		return "", err
	}
	return archive, removeOlder(dir, d.Name, archive)
}

// removeOlder removes the archives that the image's earlier recipes made.
func removeOlder(dir, name, keep string) error {
	found, err := filepath.Glob(filepath.Join(dir, name+"-*.tar"))
	if err != nil {
		return err
	}
	for _, archive := range found {
		if archive != keep {
			if err := os.Remove(archive); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d Debian) fill(ctx context.Context, store debian.Store, root string, progress func(string)) error {
	packages, err := store.Closure(ctx, d.Packages, installOnly...)
	if err != nil {
		return err
	}
	progress(fmt.Sprintf("unpacking %d packages", len(packages)))
	if err := debian.Unpack(ctx, packages, root, func(p string) bool { return !d.Drop(p) }); err != nil {
		return err
	}
	if err := d.addData(ctx, store, root); err != nil {
		return err
	}
	if err := d.addLinks(root); err != nil {
		return err
	}
	if err := addAccounts(root); err != nil {
		return err
	}
	for _, command := range d.Commands {
		progress("running " + filepath.Base(command[0]) + " in it")
		if err := inside(ctx, root, command); err != nil {
			return err
		}
	}
	return nil
}

func (d Debian) addData(ctx context.Context, store debian.Store, root string) error {
	for _, data := range d.Data {
		p, err := store.Single(ctx, data.Package)
		if err != nil {
			return err
		}
		tmp := root + ".data"
		err = debian.Unpack(ctx, []debian.Package{p}, tmp, func(path string) bool { return path == data.From })
		if err == nil {
			to := filepath.Join(root, data.To)
			if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
				err = os.Rename(filepath.Join(tmp, data.From), to)
			}
		}
		_ = os.RemoveAll(tmp)
		if err != nil {
			return fmt.Errorf("taking %s out of %s: %w", data.From, data.Package, err)
		}
	}
	return nil
}

// addLinks makes the links whose folder exists; "*" in it stands for the
// machine's architecture.
func (d Debian) addLinks(root string) error {
	for _, l := range d.Links {
		target, link := l[0], l[1]
		dirs, err := filepath.Glob(filepath.Join(root, filepath.Dir(link), filepath.Dir(target)))
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			if rel := filepath.Dir(target); rel != "." {
				dir = filepath.Dir(dir)
			}
			if err := os.Symlink(target, filepath.Join(dir, filepath.Base(link))); err != nil {
				return err
			}
		}
	}
	return nil
}

// addAccounts names the users that every distribution has. Like the images that
// people bring, these know nothing of the user that the workers run as: programs
// that ask for its name or home get none.
func addAccounts(root string) error {
	for name, text := range map[string]string{
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
		"etc/group":         "root:x:0:\nnogroup:x:65534:\n",
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	} {
		to := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, dir := range []string{"tmp", "dev", "proc", "sys", "root"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(root, "tmp"), 0o777|os.ModeSticky)
}

// inside runs a program of the image in its root folder.
func inside(ctx context.Context, root string, command []string) error {
	var args []string
	for _, arg := range command[1:] {
		if !strings.Contains(arg, "*") {
			args = append(args, arg)
			continue
		}
		found, err := filepath.Glob(filepath.Join(root, arg))
		if err != nil {
			return err
		}
		for _, path := range found {
			args = append(args, strings.TrimPrefix(path, root))
		}
	}
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL}
	cmd.Dir = "/"
	cmd.Env = []string{searchPath, "LANG=C.UTF-8", "PYTHONHASHSEED=0"}
	out, err := cmd.CombinedOutput()
	// busybox says which links were there already, and fails for it.
	if err != nil && command[0] != busyboxLinks[0] {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
	}
	return nil
}
