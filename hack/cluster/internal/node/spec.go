// Package node describes the cluster's one machine: its addresses, the
// configuration files of its parts, the command lines they start with, and the
// objects that every cluster has. All of it is a pure function of a Spec, which
// the driver writes to the cluster's folder and nodetool reads.
//
//	spec.go        the Spec and its constants
//	state.go       what a running cluster says of itself, and whether it runs
//	files.go       configuration files
//	components.go  programs and their arguments
//	addons.yaml    objects applied to each cluster
package node

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Each cluster has a network namespace of its own, so all use the same addresses.
const (
	IP          = "10.80.0.1"
	APIPort     = "6443"
	ServiceCIDR = "10.96.0.0/16"
	APIService  = "10.96.0.1" // the Service "kubernetes": the range's first address
	DNSIP       = "10.96.0.10"
	RESTIP      = "10.96.0.80" // the operator's REST API has this fixed address
	RESTPort    = "443"
	PodCIDR     = "10.244.0.0/16"
	Domain      = "cluster.local"

	GPUResource       = "nvidia.com/gpu"
	SharedGPUResource = "nvidia.com/gpu.shared"
	MIGResource       = "nvidia.com/mig-1g.5gb"

	ContainerdSocket = "/run/containerd/containerd.sock"
)

// Spec is a cluster as it's to be.
type Spec struct {
	Name       string `json:"name"`
	NodeName   string `json:"nodeName"`
	Dir        string `json:"dir"`        // the cluster's own folder
	Kubernetes string `json:"kubernetes"` // the multi-call binary
	Nodetool   string `json:"nodetool"`
	Debian     string `json:"debian"`     // root of the node's unpacked Debian packages
	LibraryDir string `json:"libraryDir"` // of the shared libraries in it
	GPUs       int    `json:"gpus"`
	PauseImage string `json:"pauseImage"`
}

// Devices are what the node's device plugin offers, by the name of the resource:
// so many whole GPUs, and beside them one that four share in turns and two parts
// of another. Without whole ones there are none.
func Devices(gpus int) map[string][]string {
	if gpus == 0 {
		return nil
	}
	devices := map[string][]string{
		SharedGPUResource: {"GPU-shared::0", "GPU-shared::1", "GPU-shared::2", "GPU-shared::3"},
		MIGResource:       {"MIG-0", "MIG-1"},
	}
	for i := range gpus {
		devices[GPUResource] = append(devices[GPUResource], fmt.Sprintf("GPU-%d", i))
	}
	return devices
}

// SpecFile is where the Spec lies in a cluster's folder.
const SpecFile = "node.json"

// Read reads the Spec of the cluster in dir.
func Read(dir string) (Spec, error) {
	var s Spec
	data, err := os.ReadFile(filepath.Join(dir, SpecFile))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("reading %s: %w", SpecFile, err)
	}
	return s, nil
}

// Write stores the Spec in its cluster's folder.
func (s Spec) Write() error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(s.Path(SpecFile), data, 0o644)
}

// Path joins elements to the cluster's folder.
func (s Spec) Path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

// PKI is the path of a key or certificate.
func (s Spec) PKI(file string) string { return s.Path("pki", file) }

// Cgroup is the name of the cluster's folder in each cgroup hierarchy. It holds
// the process's checkout too: two checkouts may each have a "default".
func (s Spec) Cgroup() string { return CgroupName(s.Dir) }

// CgroupName names the cgroups of the cluster in dir.
func CgroupName(dir string) string {
	return fmt.Sprintf("sharedcloud-%s-%08x", filepath.Base(dir), fnv32(dir))
}

func fnv32(s string) uint32 {
	h := uint32(2166136261)
	for _, b := range []byte(s) {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}

// SearchPath is PATH for everything that runs in the cluster's namespaces.
func (s Spec) SearchPath() string {
	return fmt.Sprintf("%s/usr/sbin:%s/usr/bin:%s:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		s.Debian, s.Debian, s.Path("programs"))
}

// Environment is that of everything in the namespaces. The Debian programs find
// their shared libraries where they were unpacked; containers don't inherit it.
func (s Spec) Environment() []string {
	return []string{
		"PATH=" + s.SearchPath(),
		"LD_LIBRARY_PATH=" + s.LibraryDir,
		"HOME=" + s.Path("home"),
		"TMPDIR=/tmp",
		"CONTAINERD_NAMESPACE=k8s.io",
	}
}

// WriteFile replaces a file in one step.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", data, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
