package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
)

// Hash names a build by what it is made of: files and folders of module
// (tests left out), and whatever else decides the outcome, in extra.
func Hash(module fs.FS, sources []string, extra ...string) (string, error) {
	sum := sha256.New()
	for _, e := range extra {
		fmt.Fprintf(sum, "%d %s\n", len(e), e)
	}
	for _, source := range sources {
		err := fs.WalkDir(module, source, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			data, err := fs.ReadFile(module, path)
			if err != nil {
				return err
			}
			fmt.Fprintf(sum, "%s %d\n", path, len(data))
			sum.Write(data)
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

// link points bin/cluster/assets and bin/kubectl at what was built.
func link(repo layout.Repo, built Built) error {
	if err := os.MkdirAll(repo.Assets(), 0o755); err != nil {
		return err
	}
	links := map[string]string{
		filepath.Join(repo.Bin(), "kubectl"):     built.Kubernetes,
		filepath.Join(repo.Assets(), "nodetool"): built.Nodetool,
	}
	for _, name := range []string{
		"etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler",
		"kubelet", "kube-proxy", "coredns", "kwok",
	} {
		links[filepath.Join(repo.Assets(), name)] = built.Kubernetes
	}
	for link, target := range links {
		relative, err := filepath.Rel(filepath.Dir(link), target)
		if err != nil {
			return err
		}
		if err := replaceLink(relative, link); err != nil {
			return err
		}
	}
	return nil
}

// replaceLink puts the new link in place in one step: a running command that
// looks it up never finds it missing.
func replaceLink(target, link string) error {
	if now, err := os.Readlink(link); err == nil && now == target {
		return nil
	}
	next := link + ".new"
	if err := os.Remove(next); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Symlink(target, next); err != nil {
		return err
	}
	return os.Rename(next, link)
}

func newestFirst(dirs []string) {
	age := func(dir string) int64 {
		info, err := os.Stat(dir)
		if err != nil {
			return 0
		}
		return info.ModTime().UnixNano()
	}
	sort.Slice(dirs, func(i, j int) bool { return age(dirs[i]) > age(dirs[j]) })
}
