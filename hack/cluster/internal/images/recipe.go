// Package images makes the container images of the cluster without a registry
// and without Docker: from Debian packages (python, node), from static programs
// (pause, the operator's own), packed as an archive that containerd imports.
//
//	recipe.go   which images there are, and what is in them
//	rootfs.go   Debian packages to a root folder
//	archive.go  a root folder or a few programs to an archive
//
// All images run as user 65532 unless a pod says otherwise, with a writable
// /tmp. That user has no name and no home in them.
package images

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
)

// Pause is the sandbox image that containerd is configured with.
const Pause = "docker.io/sharedcloud/pause:local"

// Debian is an image made from Debian packages.
type Debian struct {
	Name     string   // of its archive
	Tags     []string // full references
	Packages []string // what apt is asked for; all that they need comes with them
	Links    [][2]string
	Data     []Data
	Commands [][]string // run inside the root folder, in order; "*" is expanded there
	Drop     func(path string) bool
	Env      []string
	Cmd      []string
}

// Data is a single file taken out of a package that isn't itself in the image.
type Data struct{ Package, From, To string }

// formVersion is raised when the packing itself changes, so that archives made
// before are made again.
const formVersion = "2"

// Key names the image's archive by its recipe. The packages' versions are not
// part of it: asking apt takes seconds at each start. Deleting the archive
// brings newer packages.
func (d Debian) Key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %q %q %q %q %q %q", formVersion, d.Tags, d.Packages, d.Links, d.Data, d.Commands, d.Env, d.Cmd))
	return d.Name + "-" + hex.EncodeToString(sum[:])[:12]
}

// All returns the images made from Debian packages.
func All() []Debian { return []Debian{python(), node()} }

// The catalogue's historic names get the interpreters that Debian has today.
const (
	historicPython     = "docker.io/sharedcloud/web-crawling-python36:latest"
	historicTensorflow = "docker.io/sharedcloud/tensorflow-gpu-python36:latest"
	historicNode       = "docker.io/sharedcloud/standard-node8:latest"
)

func python() Debian {
	return Debian{
		Name:     "python",
		Tags:     []string{"docker.io/sharedcloud/python:latest", historicPython, historicTensorflow},
		Packages: []string{"python3", "python3-numpy", "busybox-static"},
		Links: [][2]string{
			{"python3", "usr/bin/python"},
			// Debian chooses among several BLAS and LAPACK by links that its
			// installer makes.
			{"blas/libblas.so.3", "usr/lib/*/libblas.so.3"},
			{"lapack/liblapack.so.3", "usr/lib/*/liblapack.so.3"},
		},
		// The UCI handwritten digits, 1,797 rows of 64 pixels and a label: what
		// the demo trains on.
		Data: []Data{{
			Package: "python3-sklearn",
			From:    "usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz",
			To:      "usr/share/datasets/digits.csv.gz",
		}},
		Commands: [][]string{
			busyboxLinks,
			// Compiled here, since the pods may not write beside the sources:
			// without it each start would compile numpy anew, over a second of
			// work. The sources never change, so nothing is compared at import.
			{"/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/usr/lib/python3*"},
		},
		Drop: dropPython,
		Env:  []string{"LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"},
		Cmd:  []string{"python3"},
	}
}

func node() Debian {
	return Debian{
		Name:     "node",
		Tags:     []string{"docker.io/sharedcloud/node:latest", historicNode},
		Packages: []string{"nodejs", "busybox-static"},
		Commands: [][]string{busyboxLinks},
		Drop:     dropAlways,
		Env:      []string{"LANG=C.UTF-8"},
		Cmd:      []string{"node"},
	}
}

// busyboxLinks gives the image a shell and the usual small tools.
var busyboxLinks = []string{"/usr/bin/busybox", "--install", "-s", "/usr/bin"}

// installOnly are packages that others need only while they are installed.
var installOnly = []string{
	"dpkg", "tar", "perl-base", "debconf", "readline-common", "media-types", "gcc-12-base", "gcc-14-base",
	"libtirpc-common", "python3-pkg-resources",
}

// dropAlways leaves out what no program reads at run time.
func dropAlways(p string) bool {
	for _, dir := range []string{
		"usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/lintian/", "usr/share/info/",
		"usr/share/bug/", "usr/share/applications/", "usr/share/pixmaps/", "usr/share/bash-completion/",
		"usr/include/", "var/",
	} {
		if strings.HasPrefix(p+"/", dir) {
			return true
		}
	}
	return false
}

func dropPython(p string) bool {
	if dropAlways(p) {
		return true
	}
	in := "/" + p + "/"
	for _, dir := range []string{"/tests/", "/__pycache__/", "/pydoc_data/", "/ensurepip/", "/lib2to3/", "/idlelib/"} {
		if strings.Contains(in, dir) {
			return true
		}
	}
	return strings.HasPrefix(p, "usr/share/python3/") || path.Base(p) == "py3compile" || path.Base(p) == "py3clean"
}
