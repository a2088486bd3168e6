package driver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
)

// machine is what a cluster needs of the machine it runs on.
type machine struct {
	os        string
	uid       int
	root      string // of the checkout
	freeBytes func() (int64, error)
	lookPath  func(name string) error
}

func thisMachine(repo layout.Repo) machine {
	return machine{
		os:   runtime.GOOS,
		uid:  os.Geteuid(),
		root: repo.Root,
		freeBytes: func() (int64, error) {
			var fs syscall.Statfs_t
			if err := syscall.Statfs(repo.Root, &fs); err != nil {
				return 0, err
			}
			return int64(fs.Bavail) * fs.Bsize, nil
		},
		lookPath: func(name string) error {
			_, err := exec.LookPath(name)
			return err
		},
	}
}

// Sizes of what is yet to be made: the first build leaves 6 GB in Go's caches
// and here, a cluster takes one with its images and pods.
const (
	diskForBuild   = 6 << 30
	diskForCluster = 1 << 30
)

// checkBuild reports what a build lacks.
func (m machine) checkBuild(built bool) error {
	if m.os != "linux" {
		return fmt.Errorf("the local cluster runs on Linux only, since a kubelet does: use a Linux machine, or `kubectl apply -k config/default` on any cluster")
	}
	if m.lookPath("go") != nil {
		return errors.New("the go tool isn't on PATH: install Go 1.26 or newer")
	}
	need := int64(diskForCluster)
	if !built {
		need = diskForBuild
	}
	free, err := m.freeBytes()
	if err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("only %.1f GB are free on the disk of %s, and %d GB are needed: free some (`go clean -cache` may help) and run this again", float64(free)/(1<<30), m.root, need>>30)
	}
	return nil
}

// hostTools are the programs used from the machine itself, and the Debian
// packages that have them.
var hostTools = map[string]string{
	"apt-get": "", "dpkg-deb": "", "ip": "iproute2", "nsenter": "util-linux",
}

// checkCluster reports what running a cluster lacks.
func (m machine) checkCluster() error {
	if m.uid != 0 {
		return errors.New("a cluster needs root, since it makes namespaces and mounts: run the same command with sudo, keeping PATH (`sudo env PATH=\"$PATH\" make cluster`)")
	}
	for _, name := range []string{"apt-get", "dpkg-deb", "ip", "nsenter"} {
		if m.lookPath(name) == nil {
			continue
		}
		if pkg := hostTools[name]; pkg != "" {
			return fmt.Errorf("the program %s is missing: run `apt-get install %s`", name, pkg)
		}
		return fmt.Errorf("the program %s is missing: the node and its images are made from Debian packages, so use Debian, or a system made from it", name)
	}
	for _, covered := range []string{"/run/", "/var/lib/", "/var/log/", "/proc/", "/sys/", "/dev/"} {
		if strings.HasPrefix(m.root+"/", covered) {
			return fmt.Errorf("the checkout lies in %s, which a cluster covers by a folder of its own: move it elsewhere, such as below /home", strings.TrimSuffix(covered, "/"))
		}
	}
	return nil
}
