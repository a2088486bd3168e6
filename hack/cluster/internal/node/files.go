package node

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Files renders the configuration files, by path.
func (s Spec) Files() map[string]string {
	return map[string]string{
		s.Path("etc/kubelet.json"):          s.kubelet(),
		s.Path("etc/kube-proxy.json"):       s.kubeProxy(),
		s.Path("etc/containerd.toml"):       s.containerd(),
		s.Path("etc/cni/10-pods.conflist"):  s.cni(),
		s.Path("etc/Corefile"):              s.corefile(),
		s.Path("etc/resolv.conf"):           "nameserver " + DNSIP + "\n",
		s.Path("etc/kubelet.kubeconfig"):    s.inner("kubelet"),
		s.Path("etc/controller.kubeconfig"): s.inner("controller-manager"),
		s.Path("etc/scheduler.kubeconfig"):  s.inner("scheduler"),
		s.Path("etc/proxy.kubeconfig"):      s.inner("proxy"),
		s.Path("etc/coredns.kubeconfig"):    s.inner("coredns"),
		s.Path("etc/admin.kubeconfig"):      s.inner("admin"),
	}
}

// WriteFiles puts the configuration files in place.
func (s Spec) WriteFiles() error {
	for path, text := range s.Files() {
		if err := WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// encode renders JSON, which every reader of YAML takes.
func encode(v any) string {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // maps of strings, numbers and lists always encode
	}
	return string(data) + "\n"
}

type object = map[string]any

// inner is a kubeconfig for a part inside the namespaces; it names its files.
func (s Spec) inner(leaf string) string {
	return kubeconfig(s.Name, "https://"+IP+":"+APIPort,
		object{"certificate-authority": s.PKI("ca.crt")},
		object{"client-certificate": s.PKI(leaf + ".crt"), "client-key": s.PKI(leaf + ".key")})
}

// Kubeconfig is the one for people: it holds its keys itself, so that it can be
// copied, and goes through the loopback port outside.
func (s Spec) Kubeconfig(port int) (string, error) {
	encoded := map[string]string{}
	for _, file := range []string{"ca.crt", "admin.crt", "admin.key"} {
		data, err := os.ReadFile(s.PKI(file))
		if err != nil {
			return "", err
		}
		encoded[file] = base64.StdEncoding.EncodeToString(data)
	}
	return kubeconfig("sharedcloud-"+s.Name, fmt.Sprintf("https://127.0.0.1:%d", port),
		object{"certificate-authority-data": encoded["ca.crt"]},
		object{"client-certificate-data": encoded["admin.crt"], "client-key-data": encoded["admin.key"]}), nil
}

func kubeconfig(name, server string, cluster, user object) string {
	cluster["server"] = server
	return encode(object{
		"apiVersion":      "v1",
		"kind":            "Config",
		"clusters":        []object{{"name": name, "cluster": cluster}},
		"users":           []object{{"name": name, "user": user}},
		"contexts":        []object{{"name": name, "context": object{"cluster": name, "user": name}}},
		"current-context": name,
	})
}

func (s Spec) kubelet() string {
	return encode(object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": object{
			"anonymous": object{"enabled": false},
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": s.PKI("ca.crt")},
		},
		"authorization":            object{"mode": "Webhook"},
		"tlsCertFile":              s.PKI("kubelet-serving.crt"),
		"tlsPrivateKeyFile":        s.PKI("kubelet-serving.key"),
		"clusterDNS":               []string{DNSIP},
		"clusterDomain":            Domain,
		"resolvConf":               s.Path("etc/resolv.conf"),
		"containerRuntimeEndpoint": "unix://" + ContainerdSocket,
		// cgroups: a folder of our own in whatever version the machine has.
		"cgroupDriver":           "cgroupfs",
		"cgroupRoot":             "/" + s.Cgroup(),
		"failCgroupV1":           false,
		"failSwapOn":             false,
		"enforceNodeAllocatable": []string{},
		// Without it the kubelet's disk statistics fail for good.
		"localStorageCapacityIsolation": true,
		// A developer's disk is often nearly full: only a really full one counts.
		"evictionHard": object{
			"memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%",
		},
		// Imported images can't be pulled again, so they are never collected.
		"imageGCHighThresholdPercent": 100,
		"imageGCLowThresholdPercent":  99,
		"makeIPTablesUtilChains":      false,
		"maxPods":                     250,
		// GPUs that register just after the node are seen at the next update,
		// which by default is 10 s later. Unchanged statuses aren't written.
		"nodeStatusUpdateFrequency": "2s",
		"nodeStatusReportFrequency": "5m",
		"oomScoreAdj":               0, // root may not lower it everywhere
		"volumePluginDir":           s.Path("volume-plugins"),
		"healthzBindAddress":        "127.0.0.1",
	})
}

func (s Spec) kubeProxy() string {
	return encode(object{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"mode":               "nftables",
		"clusterCIDR":        PodCIDR,
		"detectLocalMode":    "ClusterCIDR",
		"hostnameOverride":   s.NodeName,
		"bindAddress":        IP,
		"oomScoreAdj":        0,
		"clientConnection":   object{"kubeconfig": s.Path("etc/proxy.kubeconfig")},
		"healthzBindAddress": "127.0.0.1:10256",
		"metricsBindAddress": "127.0.0.1:10249",
		// The limits of connection tracking belong to the whole machine.
		"conntrack": object{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
		"nftables":  object{"minSyncPeriod": "200ms", "syncPeriod": "30s"},
	})
}

// containerd's configuration. crun starts a container with a third less
// processor time than runc. restrict_oom_score_adj is for machines where root
// may not lower the score of a process.
func (s Spec) containerd() string {
	return strings.NewReplacer(
		"@DIR@", s.Dir, "@DEBIAN@", s.Debian, "@PAUSE@", s.PauseImage, "@SOCKET@", ContainerdSocket,
	).Replace(`version = 2
root = "@DIR@/containerd"
state = "/run/containerd"
# opt would make a folder in /opt; the snapshotters beside overlayfs only complain.
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "@SOCKET@"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "@PAUSE@"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "crun"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
  BinaryName = "@DEBIAN@/usr/bin/crun"
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "@DEBIAN@/usr/lib/cni"
  conf_dir = "@DIR@/etc/cni"
`)
}

// cni routes each pod by itself (ptp) instead of bridging them: traffic from pod
// to pod through a Service then comes back the way it went, without help from
// the bridge's netfilter hooks, which not every kernel has.
func (s Spec) cni() string {
	return encode(object{
		"cniVersion": "1.0.0",
		"name":       "pods",
		"plugins": []object{{
			"type": "ptp",
			"ipam": object{
				"type":    "host-local",
				"dataDir": "/var/lib/cni/networks",
				"ranges":  [][]object{{{"subnet": PodCIDR}}},
				"routes":  []object{{"dst": "0.0.0.0/0"}},
			},
		}},
	})
}

// corefile serves the cluster's own names and nothing else: there is no network
// outside. Answers come from memory, so they aren't cached a second time.
func (s Spec) corefile() string {
	return fmt.Sprintf(`.:53 {
    errors
    health 127.0.0.1:8053
    ready 127.0.0.1:8054
    kubernetes %s in-addr.arpa ip6.arpa {
        kubeconfig %s
        pods insecure
        ttl 5
    }
    loadbalance
}
`, Domain, s.Path("etc/coredns.kubeconfig"))
}

//go:embed addons.yaml
var addons string

// Addons are the objects that every cluster has.
func (s Spec) Addons() string {
	return strings.NewReplacer("@NODE@", s.NodeName, "@IP@", IP, "@DNS@", DNSIP, "@STORE@", s.Path("volumes/store")).Replace(addons)
}
