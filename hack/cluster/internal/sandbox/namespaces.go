package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sharedcloud.io/function-operator/hack/cluster/internal/node"
)

// sysctls are those of the whole machine that the kubelet sets to these values
// when they differ. Each is covered by a file that already says so: the
// kubelet is content, and the machine keeps its own.
var sysctls = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// furnish makes the new namespaces a machine for Kubernetes.
func furnish(spec node.Spec) error {
	if err := unix.Sethostname([]byte(spec.NodeName)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if err := mounts(spec); err != nil {
		return err
	}
	return network()
}

// mounts covers the paths that are constants in Kubernetes' and containerd's
// code by folders of the cluster's own.
func mounts(spec node.Spec) error {
	// First of all: what is mounted from here on is seen in here only.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	// Names of Services resolve in here too. Where the file is a link into
	// /run, there is nothing to cover, and only people in `cluster exec` miss it.
	if info, err := os.Lstat("/etc/resolv.conf"); err == nil && info.Mode().IsRegular() {
		if err := bind(spec.Path("etc/resolv.conf"), "/etc/resolv.conf"); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/run", "/var/lib"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("mounting %s: %w", dir, err)
		}
	}
	for dir, own := range map[string]string{
		"/var/lib/kubelet": spec.Path("kubelet"),
		"/var/log":         spec.Path("var-log"),
	} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.MkdirAll(own, 0o755)); err != nil {
			return err
		}
		if err := bind(own, dir); err != nil {
			return err
		}
	}
	// Volumes that a pod mounts may be passed on to others.
	if err := unix.Mount("", "/var/lib/kubelet", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing /var/lib/kubelet: %w", err)
	}
	return errors.Join(coverSysctls(), plainCgroups())
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", from, to, err)
	}
	return nil
}

func coverSysctls() error {
	for name, value := range sysctls {
		target := filepath.Join("/proc/sys", name)
		if _, err := os.Stat(target); err != nil {
			continue // this kernel lacks it, and the kubelet will say so
		}
		cover := filepath.Join("/run/sysctl", name)
		if err := node.WriteFile(cover, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := bind(cover, target); err != nil {
			return err
		}
	}
	return nil
}

// plainCgroups hides a version 2 that is mounted beside version 1: crun refuses
// to work with the two.
func plainCgroups() error {
	_, version2, err := hierarchies()
	if err != nil || version2 {
		return err
	}
	err = unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("hiding the unified cgroups: %w", err)
	}
	return nil
}

// network gives the namespace an address and no way out. A bridge without ports
// carries the address, since not every kernel has dummy devices. Everything but
// Services and pods is unreachable, and said to be so at once instead of after
// a time-out. Services need a route although their addresses exist nowhere: a
// connection is looked up before it's turned to an endpoint.
func network() error {
	for _, command := range []string{
		"link set lo up",
		"link add node0 type bridge",
		"address add " + node.IP + "/24 dev node0",
		"link set node0 up",
		"route add " + node.ServiceCIDR + " dev node0",
		"route add unreachable default",
	} {
		out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", command, err, strings.TrimSpace(string(out)))
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}
