// Package layout says where everything lies. All of it is inside the
// repository, in two folders that git ignores:
//
//	bin/kubectl                   for PATH, beside what the Makefile builds
//	bin/cluster/<hash>/           a built program, under a hash of what it was built from
//	bin/cluster/assets/           symlinks to the newest: a KUBEBUILDER_ASSETS folder
//	bin/cluster/images/           container images, packed, under a hash of their recipe
//	bin/debs/                     Debian packages: the files, and the node's own unpacked
//	.cluster/<name>/              one cluster: keys, state, logs, volumes
//
// Nothing else on the machine is written to.
package layout

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// ModulePath is the nested module's name: the mark by which Find knows the
// repository.
const ModulePath = "sharedcloud.io/function-operator/hack/cluster"

// Repo is a checkout, by its top folder.
type Repo struct{ Root string }

// Find returns the checkout that start lies in.
func Find(start string) (Repo, error) {
	dir, err := filepath.Abs(start)
	if err != nil {
		return Repo{}, err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "hack", "cluster", "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module "+ModulePath+"\n")) {
			return Repo{Root: dir}, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return Repo{}, fmt.Errorf("%s is not inside a checkout of the function operator: run this from the repository", start)
		}
		dir = parent
	}
}

// Module is the folder of the nested module.
func (r Repo) Module() string { return filepath.Join(r.Root, "hack", "cluster") }

// Bin is for PATH.
func (r Repo) Bin() string { return filepath.Join(r.Root, "bin") }

// Built holds what was built, under hashes.
func (r Repo) Built() string { return filepath.Join(r.Root, "bin", "cluster") }

// Assets is what KUBEBUILDER_ASSETS may point at.
func (r Repo) Assets() string { return filepath.Join(r.Built(), "assets") }

// Images holds packed container images.
func (r Repo) Images() string { return filepath.Join(r.Built(), "images") }

// Debs holds downloaded Debian packages.
func (r Repo) Debs() string { return filepath.Join(r.Root, "bin", "debs") }

// Clusters holds one folder per cluster.
func (r Repo) Clusters() string { return filepath.Join(r.Root, ".cluster") }

var nameForm = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$`)

// Cluster returns the place of the cluster with that name, which need not exist.
func (r Repo) Cluster(name string) (Cluster, error) {
	if !nameForm.MatchString(name) {
		return Cluster{}, fmt.Errorf("%q can't be a cluster's name: use at most 20 lower-case letters, digits and dashes, a letter first", name)
	}
	return Cluster{Name: name, Dir: filepath.Join(r.Clusters(), name)}, nil
}

// Cluster is one cluster's own folder.
type Cluster struct {
	Name string
	Dir  string
}

// Path joins elements to the cluster's folder.
func (c Cluster) Path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}

// Kubeconfig is for people and tests: it works outside the namespace.
func (c Cluster) Kubeconfig() string { return c.Path("kubeconfig") }

// CAFile is where the certificate authority of the REST API is written for callers.
func (c Cluster) CAFile() string { return c.Path("rest-ca.crt") }

// NodeName is the name of the cluster's only node.
func (c Cluster) NodeName() string { return c.Name + "-node" }

// Exists reports whether the cluster has a folder, running or not.
func (c Cluster) Exists() bool {
	_, err := os.Stat(c.Dir)
	return err == nil
}
