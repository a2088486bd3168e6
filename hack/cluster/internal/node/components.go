package node

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// Stage is what a program waits for before it starts.
type Stage string

// Stages, in the order in which they come.
const (
	AtOnce     Stage = ""
	EtcdUp     Stage = "etcd"
	APIServing Stage = "kube-apiserver"
)

// Component is a program that runs while the cluster runs.
type Component struct {
	Name  string // of its log too
	Path  string
	Args  []string
	After Stage
}

// Components returns the cluster's programs. The controller manager and the
// scheduler end when the API server doesn't answer, and the kubelet asks only
// now and then: all three start when it does.
func (s Spec) Components() []Component {
	return []Component{
		{Name: "containerd", Path: s.Debian + "/usr/bin/containerd", Args: []string{"--config", s.Path("etc/containerd.toml")}},
		{Name: "etcd", Path: s.Program("etcd"), Args: s.etcd()},
		{Name: "kube-apiserver", Path: s.Program("kube-apiserver"), Args: s.apiServer(), After: EtcdUp},
		{Name: "kubelet", Path: s.Program("kubelet"), Args: s.kubeletArgs(), After: APIServing},
		{Name: "kube-controller-manager", Path: s.Program("kube-controller-manager"), Args: s.controllerManager(), After: APIServing},
		{Name: "kube-scheduler", Path: s.Program("kube-scheduler"), Args: s.scheduler(), After: APIServing},
		{Name: "kube-proxy", Path: s.Program("kube-proxy"), Args: []string{"--config=" + s.Path("etc/kube-proxy.json")}, After: APIServing},
		{Name: "coredns", Path: s.Program("coredns"), Args: []string{"-conf", s.Path("etc/Corefile")}, After: APIServing},
		{Name: "device-plugin", Path: s.Program("nodetool"), Args: []string{"device-plugin", "--gpus", fmt.Sprint(s.GPUs)}},
	}
}

// multiCall are the names under which the multi-call binary is started. A
// process then bears its own name, so `pkill -x kube-apiserver` finds it.
var multiCall = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl", "coredns", "kwok",
}

// Program is where a program of the cluster is.
func (s Spec) Program(name string) string { return s.Path("programs", name) }

// PlacePrograms puts the programs into the cluster's folder, under the names
// they are started by: a running cluster then needs nothing of what a later
// build replaces.
func (s Spec) PlacePrograms() error {
	if err := os.MkdirAll(s.Path("programs"), 0o755); err != nil {
		return err
	}
	for name, from := range map[string]string{"kubernetes": s.Kubernetes, "nodetool": s.Nodetool} {
		if err := place(from, s.Program(name)); err != nil {
			return err
		}
	}
	for _, name := range multiCall {
		if err := remove(s.Program(name)); err != nil {
			return err
		}
		if err := os.Symlink("kubernetes", s.Program(name)); err != nil {
			return err
		}
	}
	return nil
}

// place makes a second name for the file, or a copy on another disk.
func place(from, to string) error {
	if err := remove(to); err != nil {
		return err
	}
	if err := os.Link(from, to); err == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// flags renders flags in a stable order.
func flags(all map[string]string) []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "--"+name+"="+all[name])
	}
	return args
}

// etcd listens in the cluster's own network namespace only, so it needs no
// certificates. It doesn't wait for the disk: what a power cut may take is a
// cluster that is made anew in seconds.
func (s Spec) etcd() []string {
	return flags(map[string]string{
		"name":                        s.NodeName,
		"data-dir":                    s.Path("etcd"),
		"listen-client-urls":          "http://127.0.0.1:2379",
		"advertise-client-urls":       "http://127.0.0.1:2379",
		"listen-peer-urls":            "http://127.0.0.1:2380",
		"initial-advertise-peer-urls": "http://127.0.0.1:2380",
		"initial-cluster":             s.NodeName + "=http://127.0.0.1:2380",
		"unsafe-no-fsync":             "true",
		"quota-backend-bytes":         "4294967296",
		"auto-compaction-mode":        "periodic",
		"auto-compaction-retention":   "10m",
		"log-level":                   "warn",
	})
}

func (s Spec) apiServer() []string {
	return flags(map[string]string{
		"advertise-address":                  IP,
		"secure-port":                        APIPort,
		"etcd-servers":                       "http://127.0.0.1:2379",
		"service-cluster-ip-range":           ServiceCIDR,
		"endpoint-reconciler-type":           "lease",
		"allow-privileged":                   "true",
		"authorization-mode":                 "Node,RBAC",
		"enable-admission-plugins":           "NodeRestriction",
		"client-ca-file":                     s.PKI("ca.crt"),
		"tls-cert-file":                      s.PKI("apiserver.crt"),
		"tls-private-key-file":               s.PKI("apiserver.key"),
		"kubelet-certificate-authority":      s.PKI("ca.crt"),
		"kubelet-client-certificate":         s.PKI("apiserver-kubelet-client.crt"),
		"kubelet-client-key":                 s.PKI("apiserver-kubelet-client.key"),
		"kubelet-preferred-address-types":    "InternalIP",
		"service-account-issuer":             "https://kubernetes.default.svc." + Domain,
		"service-account-key-file":           s.PKI("service-account.pub"),
		"service-account-signing-key-file":   s.PKI("service-account.key"),
		"requestheader-client-ca-file":       s.PKI("front-proxy-ca.crt"),
		"requestheader-allowed-names":        "front-proxy-client",
		"requestheader-username-headers":     "X-Remote-User",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"proxy-client-cert-file":             s.PKI("front-proxy-client.crt"),
		"proxy-client-key-file":              s.PKI("front-proxy-client.key"),
		"enable-aggregator-routing":          "true",
		"cert-dir":                           s.Path("home"),
	})
}

func (s Spec) controllerManager() []string {
	config := s.Path("etc/controller.kubeconfig")
	return flags(map[string]string{
		"kubeconfig":                       config,
		"authentication-kubeconfig":        config,
		"authorization-kubeconfig":         config,
		"bind-address":                     "127.0.0.1",
		"leader-elect":                     "false",
		"use-service-account-credentials":  "true",
		"service-account-private-key-file": s.PKI("service-account.key"),
		"root-ca-file":                     s.PKI("ca.crt"),
		"cluster-signing-cert-file":        s.PKI("ca.crt"),
		"cluster-signing-key-file":         s.PKI("ca.key"),
		"client-ca-file":                   s.PKI("ca.crt"),
		"requestheader-client-ca-file":     s.PKI("front-proxy-ca.crt"),
		"service-cluster-ip-range":         ServiceCIDR,
		"flex-volume-plugin-dir":           s.Path("volume-plugins"),
		"cert-dir":                         s.Path("home"),
	})
}

func (s Spec) scheduler() []string {
	config := s.Path("etc/scheduler.kubeconfig")
	return flags(map[string]string{
		"kubeconfig":                   config,
		"authentication-kubeconfig":    config,
		"authorization-kubeconfig":     config,
		"bind-address":                 "127.0.0.1",
		"leader-elect":                 "false",
		"client-ca-file":               s.PKI("ca.crt"),
		"requestheader-client-ca-file": s.PKI("front-proxy-ca.crt"),
		"cert-dir":                     s.Path("home"),
	})
}

func (s Spec) kubeletArgs() []string {
	return flags(map[string]string{
		"config":            s.Path("etc/kubelet.json"),
		"kubeconfig":        s.Path("etc/kubelet.kubeconfig"),
		"hostname-override": s.NodeName,
		"node-ip":           IP,
		"node-labels":       s.gpuLabels(),
		"cert-dir":          s.Path("home"),
	})
}

// gpuLabels are the labels that GPU feature discovery writes on a node with
// such cards.
func (s Spec) gpuLabels() string {
	if s.GPUs == 0 {
		return ""
	}
	labels := map[string]string{
		"count": fmt.Sprint(s.GPUs), "present": "true", "replicas": "1", "sharing-strategy": "none",
		"product": "NVIDIA-A100-SXM4-40GB", "family": "ampere", "memory": "40960",
		"compute.major": "8", "compute.minor": "0", "machine": "Simulated", "mode": "compute",
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, "nvidia.com/gpu."+name+"="+labels[name])
	}
	all = append(all,
		"nvidia.com/cuda.driver-version.major=550", "nvidia.com/cuda.driver-version.minor=54",
		"nvidia.com/cuda.runtime-version.major=12", "nvidia.com/cuda.runtime-version.minor=4",
		"nvidia.com/mig.capable=true", "nvidia.com/mig.strategy=single")
	return strings.Join(all, ",")
}
