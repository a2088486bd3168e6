package driver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"sharedcloud.io/function-operator/hack/cluster/internal/build"
	"sharedcloud.io/function-operator/hack/cluster/internal/debian"
	"sharedcloud.io/function-operator/hack/cluster/internal/images"
)

func (d *Driver) build(ctx context.Context) (build.Built, error) {
	return build.All(ctx, d.Repo, d.Report)
}

// nodePackages are what the node runs beside Kubernetes.
var nodePackages = []string{"containerd", "crun", "containernetworking-plugins", "nftables"}

// notOnNode are needed packages that the machine itself has: a second C library
// beside its own could only do harm.
var notOnNode = []string{
	"libc6", "libgcc-s1", "libcrypt1", "gcc-12-base", "gcc-14-base", "libstdc++6",
	"dpkg", "tar", "perl-base", "debconf", "netbase", "runc", "iptables",
}

// nodeRoot returns the folder of the node's unpacked Debian packages.
func (d *Driver) nodeRoot(ctx context.Context) (string, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "1 %q %q", nodePackages, notOnNode))
	root := filepath.Join(d.Repo.Debs(), "node-"+hex.EncodeToString(sum[:])[:12])
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	s := d.Report.Step("Downloading containerd, crun, CNI plugins and nftables from Debian")
	store := d.store(func(done, total int) { s.Progress("%d of %d packages", done, total) })
	packages, err := store.Closure(ctx, nodePackages, notOnNode...)
	if err != nil {
		s.Fail()
		return "", err
	}
	partial := root + ".partial"
	err = errors.Join(os.RemoveAll(partial), debian.Unpack(ctx, packages, partial, func(path string) bool {
		return strings.HasPrefix(path, "usr/") && !strings.HasPrefix(path, "usr/share/")
	}))
	if err == nil {
		err = os.Rename(partial, root)
	}
	if err != nil {
		s.Fail()
		return "", err
	}
	s.Done("%d packages", len(packages))
	return root, nil
}

func (d *Driver) store(downloading func(done, total int)) debian.Store {
	return debian.Store{Dir: d.Repo.Debs(), Downloading: downloading}
}

// libraryDir is where Debian puts shared libraries on this architecture.
func libraryDir(root string) string {
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	return filepath.Join(root, "usr", "lib", triplet)
}

// archives returns the image archives, made if they aren't there.
func (d *Driver) archives(ctx context.Context, pause string) ([]string, error) {
	pauseArchive := filepath.Join(d.Repo.Images(), filepath.Base(filepath.Dir(pause))+".tar")
	if _, err := os.Stat(pauseArchive); err != nil {
		config := images.Config{Entrypoint: []string{"/pause"}, User: "65535"}
		if err := images.PackPrograms(pauseArchive, []string{pause}, []string{images.Pause}, config); err != nil {
			return nil, err
		}
	}
	archives := []string{pauseArchive}
	for _, image := range images.All() {
		path := filepath.Join(d.Repo.Images(), image.Key()+".tar")
		if _, err := os.Stat(path); err != nil {
			s := d.Report.Step("Making the image %s from Debian packages", image.Name)
			store := d.store(func(done, total int) { s.Progress("%d of %d packages downloaded", done, total) })
			if path, err = image.Archive(ctx, store, d.Repo.Images(), func(what string) { s.Progress("%s", what) }); err != nil {
				s.Fail()
				return nil, err
			}
			info, err := os.Stat(path)
			if err != nil {
				return nil, err
			}
			s.Done("%d MB", info.Size()>>20)
		}
		archives = append(archives, path)
	}
	return slices.Clip(archives), nil
}
