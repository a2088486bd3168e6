package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// hierarchies returns where cgroups are mounted: one folder for each controller
// of version 1, or the one of version 2. A version 2 without controllers beside
// version 1 (the hybrid form) isn't among them.
func hierarchies() (dirs []string, version2 bool, err error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = f.Close() }()
	return parseHierarchies(bufio.NewScanner(f))
}

func parseHierarchies(lines *bufio.Scanner) (dirs []string, version2 bool, err error) {
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || !strings.HasPrefix(fields[1], "/sys/fs/cgroup") {
			continue
		}
		switch {
		case fields[2] == "cgroup2" && fields[1] == "/sys/fs/cgroup":
			return []string{fields[1]}, true, nil
		case fields[2] == "cgroup":
			dirs = append(dirs, fields[1])
		}
	}
	if len(dirs) == 0 {
		return nil, false, errors.New("no cgroups are mounted at /sys/fs/cgroup: mount them as your distribution does (in a container: run it privileged)")
	}
	return dirs, false, lines.Err()
}

// makeCgroups makes a folder of the cluster's own in each hierarchy.
func makeCgroups(name string) error {
	dirs, version2, err := hierarchies()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		own := filepath.Join(dir, name)
		if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("making a cgroup: %w", err)
		}
		if version2 {
			if err := delegate(dir, own); err != nil {
				return err
			}
			continue
		}
		// A new cpuset is empty, and nothing can be put into it.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(dir, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(own, file), value, 0o644)
			}
			if err != nil {
				return fmt.Errorf("filling the cpuset: %w", err)
			}
		}
	}
	return nil
}

// delegate turns on, for version 2, the controllers that the kubelet asks for.
func delegate(parent, own string) error {
	for _, dir := range []string{parent, own} {
		for _, controller := range []string{"cpu", "cpuset", "memory", "pids", "io", "hugetlb"} {
			err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
			if err != nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EINVAL) {
				return fmt.Errorf("turning on the cgroup controller %s: %w", controller, err)
			}
		}
	}
	return nil
}

// RemoveCgroups removes what makeCgroups and the kubelet made. Processes that
// were just killed still count for a moment.
func RemoveCgroups(name string) error {
	dirs, _, err := hierarchies()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, dir := range dirs {
		for {
			err := removeTree(filepath.Join(dir, name))
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("a cgroup of the cluster can't be removed: %w", err)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	return nil
}

// removeTree removes cgroups from the leaves up: their files can't be removed
// and go with their folder.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}
