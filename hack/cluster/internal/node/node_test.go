package node

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"sharedcloud.io/function-operator/hack/cluster/internal/certs"
)

func spec(dir string) Spec {
	return Spec{
		Name: "default", NodeName: "default-node", Dir: dir,
		Kubernetes: "/b/kubernetes", Nodetool: "/b/nodetool",
		Debian: "/d/node", LibraryDir: "/d/node/usr/lib/x", GPUs: 8, PauseImage: "docker.io/x/pause:local",
	}
}

func TestSpecIsReadAsItWasWritten(t *testing.T) {
	want := spec(t.TempDir())
	if err := want.Write(); err != nil {
		t.Fatal(err)
	}
	got, err := Read(want.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

func TestFilesAreComplete(t *testing.T) {
	for path, text := range spec("/c/default").Files() {
		if strings.Contains(text, "@") && !strings.Contains(text, "@example") {
			t.Errorf("%s has a placeholder left:\n%s", path, text)
		}
		switch filepath.Ext(path) {
		case ".json", ".kubeconfig", ".conflist":
			if !json.Valid([]byte(text)) {
				t.Errorf("%s is not JSON:\n%s", path, text)
			}
		}
	}
}

func TestAddonsAreObjects(t *testing.T) {
	var kinds []string
	for _, document := range strings.Split(spec("/c/default").Addons(), "\n---\n") {
		var object struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if strings.Contains(document, "@") {
			t.Errorf("a placeholder is left in\n%s", document)
		}
		kinds = append(kinds, object.Kind+"/"+object.Metadata.Name)
	}
	want := []string{
		"ClusterRole/system:coredns", "ClusterRoleBinding/system:coredns", "Service/kube-dns",
		"EndpointSlice/kube-dns-node", "StorageClass/local-static", "PersistentVolume/sharedcloud-store",
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("addons (-want +got):\n%s", diff)
	}
}

func TestComponentsStartWhenWhatTheyNeedIsThere(t *testing.T) {
	stages := map[string]Stage{}
	arguments := map[string][]string{}
	for _, c := range spec("/c/default").Components() {
		stages[c.Name], arguments[c.Name] = c.After, c.Args
		if strings.HasPrefix(c.Name, "kube") && c.Path != "/c/default/programs/"+c.Name {
			t.Errorf("%s starts as %s: it could not be found by its name", c.Name, c.Path)
		}
	}
	want := map[string]Stage{
		"containerd": AtOnce, "etcd": AtOnce, "device-plugin": AtOnce, "kube-apiserver": EtcdUp,
		"kubelet": APIServing, "kube-controller-manager": APIServing, "kube-scheduler": APIServing,
		"kube-proxy": APIServing, "coredns": APIServing,
	}
	if diff := cmp.Diff(want, stages); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	for _, flag := range []string{
		"--enable-aggregator-routing=true", "--requestheader-allowed-names=front-proxy-client", "--authorization-mode=Node,RBAC",
	} {
		if !slices.Contains(arguments["kube-apiserver"], flag) {
			t.Errorf("kube-apiserver lacks %s", flag)
		}
	}
	if !slices.IsSorted(arguments["kube-apiserver"]) {
		t.Error("flags are in no order: two starts would differ")
	}
}

func TestLabelsOfGPUs(t *testing.T) {
	s := spec("/c/default")
	labels := s.gpuLabels()
	for _, label := range []string{"nvidia.com/gpu.product=NVIDIA-A100-SXM4-40GB", "nvidia.com/gpu.count=8", "nvidia.com/gpu.memory=40960"} {
		if !slices.Contains(strings.Split(labels, ","), label) {
			t.Errorf("%s is not in %s", label, labels)
		}
	}
	if s.GPUs = 0; s.gpuLabels() != "" {
		t.Error("a node without GPUs has labels of them")
	}
}

func TestDevices(t *testing.T) {
	devices := Devices(8)
	for resource, want := range map[string]int{GPUResource: 8, SharedGPUResource: 4, MIGResource: 2} {
		if got := len(devices[resource]); got != want {
			t.Errorf("%d × %s, want %d", got, resource, want)
		}
	}
	if devices := Devices(0); len(devices) > 0 {
		t.Errorf("a node without GPUs offers %v", devices)
	}
}

func TestTwoCheckoutsHaveCgroupsOfTheirOwn(t *testing.T) {
	a, b := CgroupName("/a/.cluster/default"), CgroupName("/b/.cluster/default")
	if a == b || !strings.HasPrefix(a, "sharedcloud-default-") {
		t.Errorf("%s and %s", a, b)
	}
}

func TestKubeconfigHoldsItsKeys(t *testing.T) {
	s := spec(t.TempDir())
	if err := certs.Make(s.Path("pki"), certs.Leaves(s.NodeName, IP, APIService), time.Now()); err != nil {
		t.Fatal(err)
	}
	text, err := s.Kubeconfig(1234)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, s.Dir) || !strings.Contains(text, `"https://127.0.0.1:1234"`) {
		t.Errorf("it can't be copied, or leads elsewhere:\n%s", text)
	}
}

func TestRunningIsTheLockNotTheNumber(t *testing.T) {
	dir := t.TempDir()
	if err := WriteState(dir, State{Pid: os.Getpid(), InitPid: os.Getpid()}); err != nil {
		t.Fatal(err)
	}
	if _, running, err := Running(dir); running || err != nil {
		t.Fatalf("running without a lock: %t, %v", running, err)
	}
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if state, running, err := Running(dir); !running || err != nil || state.InitPid != os.Getpid() {
		t.Errorf("not running with a lock: %+v, %v", state, err)
	}
	if _, err := Lock(dir); err == nil {
		t.Error("locked twice")
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if _, running, _ := Running(dir); running {
		t.Error("running after the lock is gone")
	}
}

func TestProgramsStayWhenTheirBuildGoes(t *testing.T) {
	s := spec(t.TempDir())
	s.Kubernetes, s.Nodetool = filepath.Join(t.TempDir(), "k"), filepath.Join(t.TempDir(), "n")
	for _, path := range []string{s.Kubernetes, s.Nodetool} {
		if err := os.WriteFile(path, []byte(path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // a second start puts them anew
		if err := s.PlacePrograms(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(s.Kubernetes); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.Program("kubelet"))
	if err != nil || string(data) != s.Kubernetes {
		t.Errorf("kubelet is %q, %v", data, err)
	}
}
