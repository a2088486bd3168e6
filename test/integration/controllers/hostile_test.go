package controllers

import (
	"encoding/json"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

func mountedAt(path string) func(*v1alpha1.Function) {
	return func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{
			Volumes:      []v1alpha1.Volume{{Name: "v", EmptyDir: &v1alpha1.EmptyDir{}}},
			VolumeMounts: []v1alpha1.VolumeMount{{Name: "v", MountPath: path}},
		}
	}
}

var _ = DescribeTable("A volume cannot be mounted at", func(ctx SpecContext, path string) {
	refused(ctx, builders.Function("", "", mountedAt(path)), "mountPath must")
},
	//security:attack tenant | a volume is mounted over the operator's files by a path that is not cleaned | refused: paths are compared when they are cleaned
	Entry("the operator's files by '..'", "/a/../sharedcloud"),
	Entry("the operator's files by '//'", "//sharedcloud"),
	Entry("the operator's files by '/.'", "/sharedcloud/."),
	Entry("the operator's files by '/./'", "/./sharedcloud/code"),
	Entry("the operator's files with a '/' at the end", "/sharedcloud/"),
	Entry("below the operator's files", "/sharedcloud//identity"),
	Entry("the root", "//"),
	Entry("the root by '.'", "/."),
	Entry("the kernel's files", "/proc"),
	Entry("below the kernel's files", "/proc/./self"),
	Entry("devices", "/dev/"),
	Entry("a device", "/dev/null"),
	Entry("a path that begins like shared memory", "/dev/shmx"),
	Entry("the kernel's settings", "//sys//kernel"),
	Entry("tokens", "/var/run/secrets/kubernetes.io/serviceaccount"),
	Entry("tokens by the other name", "/run//secrets"),
	Entry("a relative path", "sharedcloud"),
	Entry("two paths", "/a:/b"),
)

var _ = DescribeTable("A volume can be mounted at", func(ctx SpecContext, path string) {
	function := builders.Function("default", "mounts", mountedAt(path))
	Expect(k8s.Create(ctx, function, client.DryRunAll)).To(Succeed())
},
	Entry("a directory", "/data"), Entry("a directory with a '/' at the end", "/data/"), Entry("shared memory", "/dev/shm"),
	Entry("a directory whose name begins like the operator's", "/sharedcloud-data"), Entry("a directory whose name begins like the kernel's", "/process"),
	Entry("a hidden directory", "/home/.cache"), Entry("a name with two dots", "/data/a..b"),
)

var _ = DescribeTable("A Function is refused, too,", func(ctx SpecContext, change func(*v1alpha1.Function), words ...string) {
	refused(ctx, builders.Function("", "", change), words...)
},
	//security:attack tenant | a priority class of the cluster's own pods | refused at admission, always
	Entry("with a priority class of the cluster", func(f *v1alpha1.Function) { f.Spec.PriorityClassName = ptr.To("system-node-critical") },
		"priority classes that begin with system- are reserved for system pods"),
	//security:attack tenant | a sub path that leaves its volume | refused at admission
	Entry("with a sub path that leaves the volume", func(f *v1alpha1.Function) {
		mountedAt("/data")(f)
		f.Spec.Pod.VolumeMounts[0].SubPath = "a/../../b"
	}, "subPath must be relative"),
	//security:attack tenant | 10,000 environment variables | refused at admission
	Entry("with ten thousand variables", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{}
		for i := range 10_000 {
			f.Spec.Pod.Env = append(f.Spec.Pod.Env, v1alpha1.EnvVar{Name: fmt.Sprintf("A%d", i)})
		}
	}, "spec.pod.env", "256"),
)

var _ = DescribeTable("A FunctionRun is refused, too,", func(ctx SpecContext, change func(*v1alpha1.FunctionRun), words ...string) {
	refused(ctx, newRun("", "", "f", 1, change), words...)
},
	//security:attack tenant | a run takes a priority class of the cluster's own pods | refused at admission, always
	Entry("with a priority class of the cluster", func(r *v1alpha1.FunctionRun) { r.Spec.PriorityClassName = ptr.To("system-cluster-critical") },
		"priority classes that begin with system- are reserved for system pods"),
)

var _ = DescribeTable("A FunctionImage has no path such as", func(ctx SpecContext, path string) {
	refused(ctx, builders.Image("", "", func(i *v1alpha1.FunctionImage) { i.Spec.RegistryPath = path }), "spec.registryPath")
},
	//security:attack tenant | an image is a file, an address of a cloud's metadata, or has a newline | refused at admission; the operator itself never contacts a registry
	Entry("a file", "file:///etc/passwd"),
	Entry("an address with a scheme", "http://169.254.169.254/"),
	Entry("another scheme", "https://registry.example/image"),
	Entry("a cloud's metadata", "169.254.169.254/latest/meta-data"),
	Entry("a link-local address", "[fe80::1]:5000/image"),
	Entry("a newline at the end", "registry.example/image\n"),
	Entry("a newline in the middle", "registry.example/image\nother"),
	Entry("nothing", ""),
	Entry("a user and a password", "user:password@registry.example/image"),
	Entry("a parent directory", "registry.example/../image"),
	Entry("a flag", "--privileged"),
	Entry("an expansion", "registry.example/$(TOKEN)"),
	Entry("upper case", "registry.example/Image"),
	Entry("a text of a megabyte", strings.Repeat("a", 1<<20)),
)

var _ = DescribeTable("A FunctionImage may have the path", func(ctx SpecContext, path string) {
	Expect(k8s.Create(ctx, builders.Image("default", "paths", func(i *v1alpha1.FunctionImage) { i.Spec.RegistryPath = path }), client.DryRunAll)).To(Succeed())
},
	Entry("of one word", "python"), Entry("of a registry", "registry.example/image"), Entry("with a port", "localhost:5000/team/image:3.13-slim"),
	Entry("with a digest", "docker.io/sharedcloud/tensorflow-gpu-python36:latest@sha256:"+strings.Repeat("0a", 32)),
	Entry("at an IPv6 address", "[2001:db8::1]:5000/a/b__c.d-e/f"), Entry("of the historic catalogue", "sharedcloud/standard-node8:latest"),
)

// Fields of a pod that a Function must not set are not in the allow-list: they are refused when fields are validated strictly, and dropped
// otherwise.
var _ = DescribeTable("A Function cannot ask for", func(ctx SpecContext, value any, path ...string) {
	function := builders.Function("default", "hostile", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{{Name: "v", EmptyDir: &v1alpha1.EmptyDir{}}}, Env: []v1alpha1.EnvVar{{Name: "A"}}}
	})
	function.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Function"))
	raw, err := json.Marshal(function)
	Expect(err).NotTo(HaveOccurred())
	object := &unstructured.Unstructured{}
	Expect(json.Unmarshal(raw, object)).To(Succeed())
	unstructured.RemoveNestedField(object.Object, "status")
	pod := object.Object["spec"].(map[string]any)["pod"].(map[string]any)
	into := pod
	if list, ok := pod[path[0]].([]any); ok {
		into, path = list[0].(map[string]any), path[1:]
	}
	Expect(unstructured.SetNestedField(into, value, path...)).To(Succeed())
	Expect(k8s.Create(ctx, object.DeepCopy(), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))).To(MatchError(ContainSubstring("unknown field")))
	Expect(k8s.Create(ctx, object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationIgnore))).To(Succeed())
	stored := object.Object["spec"].(map[string]any)["pod"].(map[string]any)
	if list, ok := stored["volumes"].([]any); ok && len(path) > 0 {
		_, kept := list[0].(map[string]any)[path[0]]
		Expect(kept).To(BeFalse())
	}
	_, kept := stored[path[0]]
	Expect(kept).To(BeFalse(), "%s is stored", path[0])
},
	//security:attack tenant | fields of a pod that reach the node: host namespaces, host paths, privileges, service accounts | unknown fields: refused, or dropped when fields are not validated
	Entry("the host's network", true, "hostNetwork"),
	Entry("the host's processes", true, "hostPID"),
	Entry("the host's IPC", true, "hostIPC"),
	Entry("the host's ports", "x", "hostPort"),
	Entry("privileges", map[string]any{"privileged": true}, "securityContext"),
	Entry("a service account", "default", "serviceAccountName"),
	Entry("a service account by the deprecated name", "default", "serviceAccount"),
	Entry("a token", true, "automountServiceAccountToken"),
	Entry("pull secrets", "keys", "imagePullSecrets"),
	Entry("a node", "node", "nodeName"),
	Entry("another scheduler", "other", "schedulerName"),
	Entry("a shared process namespace", true, "shareProcessNamespace"),
	Entry("further containers", "x", "containers"),
	Entry("ephemeral containers", "x", "ephemeralContainers"),
	Entry("arguments of a megabyte", strings.Repeat("x", 1<<20), "args"),
	Entry("a command", "sh", "command"),
	Entry("devices", "x", "volumeDevices"),
	Entry("resource claims", "x", "resourceClaims"),
	Entry("a path of the host", map[string]any{"path": "/"}, "volumes", "hostPath"),
	Entry("a volume of a driver", map[string]any{"driver": "x"}, "volumes", "csi"),
	Entry("a projected token", map[string]any{"sources": "x"}, "volumes", "projected"),
	Entry("a volume over the network", map[string]any{"server": "x"}, "volumes", "nfs"),
	Entry("an ephemeral claim", map[string]any{"x": "y"}, "volumes", "ephemeral"),
	Entry("another namespace's Secret", "kube-system", "volumes", "namespace"),
)
