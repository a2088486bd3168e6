package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// surroundingsCode returns what libraries ask their surroundings for when they are imported.
const surroundingsCode = `
import errno, getpass, os, pathlib, pwd, tempfile, time

def touch(path):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path.read_text() == "x"

def code_of(path):
    try:
        touch(path)
    except OSError as e:
        return errno.errorcode[e.errno]
    return ""

def named():
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True

def handler(event):
    home = pathlib.Path.home()
    return {
        "index": event[0],
        "named": named(),
        "user": getpass.getuser(),
        "home": str(home),
        "homeWritable": touch(home / "probe"),
        "cache": touch(os.path.expanduser("~/.cache/huggingface/probe")),
        "xdgCache": touch(os.path.join(os.environ["XDG_CACHE_HOME"], "matplotlib", "probe")),
        "temporary": touch(os.path.join(tempfile.gettempdir(), "probe")),
        "tmp": code_of("/tmp/probe"),
    }
`

// surroundingsOfNode is the same for Node.
const surroundingsOfNode = `
const fs = require('fs'), os = require('os'), path = require('path');

function touch(...parts) {
  const file = path.join(...parts);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, 'x');
  return fs.readFileSync(file, 'utf8') === 'x';
}

function codeOf(call) {
  try { call(); } catch (e) { return e.code || e.name; }
  return '';
}

function handler(event) {
  return {
    index: event[0],
    named: codeOf(() => os.userInfo()) === '',
    user: process.env.USER,
    home: os.homedir(),
    homeWritable: touch(os.homedir(), 'probe'),
    cache: touch(os.homedir(), '.cache', 'huggingface', 'probe'),
    xdgCache: touch(process.env.XDG_CACHE_HOME, 'npm', 'probe'),
    temporary: touch(os.tmpdir(), 'probe'),
    tmp: codeOf(() => touch('/tmp/probe')),
  };
}
`

// surrounded is the result of surroundingsCode and surroundingsOfNode.
type surrounded struct {
	Index                                    int
	User, Home, Tmp                          string
	Named                                    bool
	HomeWritable, Cache, XDGCache, Temporary bool
}

// forNode makes a Function that makeFunction creates one for Node.
func forNode(f *v1alpha1.Function) { f.Spec.Runtime, f.Spec.Image = "node18", "node" }

// readOnlyRoot makes the root file systems of the namespace's pods read-only, as administrators do with a policy engine.
func readOnlyRoot(ctx SpecContext, namespace string) {
	GinkgoHelper()
	name := namespace + "-read-only"
	policy := &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			FailurePolicy:      ptr.To(admissionv1.Fail),
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
				},
			}}},
			Mutations: []admissionv1.Mutation{{
				PatchType: admissionv1.PatchTypeApplyConfiguration,
				ApplyConfiguration: &admissionv1.ApplyConfiguration{Expression: `Object{spec: Object.spec{containers: object.spec.containers.map(c,
					Object.spec.containers{name: c.name, securityContext: Object.spec.containers.securityContext{readOnlyRootFilesystem: true}})}}`},
			}},
		},
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{
			PolicyName: name,
			MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{corev1.LabelMetadataName: namespace},
			}},
		},
	}
	Expect(k8s.Create(ctx, policy)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(k8s.Delete(ctx, policy)).To(Succeed()) }, NodeTimeout(time.Minute))
	Expect(k8s.Create(ctx, binding)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(k8s.Delete(ctx, binding)).To(Succeed()) }, NodeTimeout(time.Minute))

	By("waiting until the policy is in effect")
	probe := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: namespace},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "c"}}}}
	Eventually(func(g Gomega) {
		pod := probe.DeepCopy()
		g.Expect(k8s.Create(ctx, pod, client.DryRunAll)).To(Succeed())
		g.Expect(pod.Spec.Containers[0].SecurityContext).To(HaveField("ReadOnlyRootFilesystem", HaveValue(BeTrue())))
	}).WithContext(ctx).Should(Succeed())
}

// sharedMemoryCode returns the size of /dev/shm in MiB.
const sharedMemoryCode = `
import shutil
def handler(event):
    return shutil.disk_usage("/dev/shm").total >> 20
`

// fillingCode uses 2 MiB of /dev/shm for a moment. Input 3 needs more than there is, and its process dies with what it has stored.
const fillingCode = `
import mmap, os, time

def handler(event):
    name = "/dev/shm/segment-%d-%d" % (event[0], os.getpid())
    size = (200 if event[0] == 3 else 2) << 20
    fd = os.open(name, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.ftruncate(fd, size)
        segment = mmap.mmap(fd, size)
    finally:
        os.close(fd)
    for at in range(0, size, mmap.PAGESIZE):
        segment[at] = 1
    time.sleep(0.1)
    segment.close()
    os.unlink(name)
    return event[0]
`

// keepingCode dies with its first input, and returns for the others whether the file that the first one wrote still exists.
const keepingCode = `
import os
def handler(event):
    if event[0] == 0:
        with open("/dev/shm/kept", "w") as f:
            f.write("kept")
        os._exit(1)
    return os.path.exists("/dev/shm/kept")
`

// withSharedMemory sets the size of /dev/shm.
func withSharedMemory(size string) func(*v1alpha1.Function) {
	return func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{SharedMemory: ptr.To(v1alpha1.MustParseQuantity(size))}
	}
}

var _ = Describe("In an image that does not know the user of the workers", func() {
	DescribeTable("a handler has a home, caches, a user name and a temporary directory", func(ctx SpecContext, code, tmp string, change ...func(*v1alpha1.Function)) {
		needsLocalCluster("an image without a name for the user, and a policy that changes pods")
		namespace := newNamespace(ctx)
		if tmp != "" {
			readOnlyRoot(ctx, namespace)
		}
		function := makeFunction(ctx, namespace, "surroundings", code, change...)
		run := waitComplete(ctx, startRun(ctx, function, builders.Inputs(20, builders.Index), withWorkers(2)), 2*time.Minute)
		for i, o := range results(ctx, run) {
			got := decode[surrounded](o)
			Expect(got.User).NotTo(BeEmpty())
			Expect(got).To(Equal(surrounded{
				Index: i, User: got.User, Home: "/sharedcloud/home", Tmp: tmp, HomeWritable: true, Cache: true, XDGCache: true, Temporary: true,
			}))
		}
	},
		Entry("in Python", SpecTimeout(4*time.Minute), surroundingsCode, ""),
		Entry("in Python with a read-only root file system", SpecTimeout(4*time.Minute), surroundingsCode, "EROFS"),
		Entry("in Node", SpecTimeout(4*time.Minute), surroundingsOfNode, "", forNode),
		Entry("in Node with a read-only root file system", SpecTimeout(4*time.Minute), surroundingsOfNode, "EROFS", forNode),
	)

	It("a home that the function sets is kept", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "own-home", "import os, pathlib\ndef handler(event): return [str(pathlib.Path.home()), os.environ['XDG_CACHE_HOME']]\n",
			func(f *v1alpha1.Function) {
				f.Spec.Pod = &v1alpha1.PodSettings{Env: []v1alpha1.EnvVar{{Name: "HOME", Value: "/tmp"}, {Name: "XDG_CACHE_HOME", Value: "/tmp/caches"}}}
			})
		run := waitComplete(ctx, startRun(ctx, function, builders.Inputs(1, builders.Index)), 2*time.Minute)
		Expect(decode[[]string](results(ctx, run)[0])).To(Equal([]string{"/tmp", "/tmp/caches"}))
	}, SpecTimeout(4*time.Minute))
})

var _ = Describe("The shared memory of a worker", func() {
	DescribeTable("has the size", func(ctx SpecContext, mebibytes, gpus int, change ...func(*v1alpha1.Function)) {
		if gpus > 0 {
			needsLocalCluster("the GPUs that the local node simulates")
		}
		function := makeFunction(ctx, newNamespace(ctx), "shared", sharedMemoryCode, change...)
		run := startRun(ctx, function, builders.Inputs(1, builders.Index), func(run *v1alpha1.FunctionRun) { run.Spec.GPUs = ptr.To(int32(gpus)) })
		Expect(decode[int](results(ctx, waitComplete(ctx, run, 2*time.Minute))[0])).To(Equal(mebibytes))
	},
		Entry("of the container runtime", SpecTimeout(4*time.Minute), 64, 0),
		Entry("that the function sets", SpecTimeout(4*time.Minute), 300, 0, withSharedMemory("300Mi")),
		Entry("of half the memory limit with a GPU", SpecTimeout(4*time.Minute), 256, 1, func(f *v1alpha1.Function) {
			f.Spec.Pod = &v1alpha1.PodSettings{Resources: &v1alpha1.Resources{Limits: v1alpha1.ResourceList{corev1.ResourceMemory: v1alpha1.MustParseQuantity("512Mi")}}}
		}),
		Entry("of a volume in memory with a GPU and without a memory limit", SpecTimeout(4*time.Minute), 1024, 1),
		Entry("of the container runtime with a GPU and sharedMemory 0", SpecTimeout(4*time.Minute), 64, 1, withSharedMemory("0")),
	)

	DescribeTable("is free again after an input that filled it and died", func(ctx SpecContext, change ...func(*v1alpha1.Function)) {
		function := makeFunction(ctx, newNamespace(ctx), "filling", fillingCode, change...)
		run := waitFinished(ctx, startRun(ctx, function, builders.Inputs(60, builders.Index), withWorkers(4)), 4*time.Minute)
		for i, o := range results(ctx, run) {
			if i != 3 {
				Expect(decode[int](o)).To(Equal(i))
				continue
			}
			Expect(o.Status).To(Equal(v1alpha1.OutcomeFailed))
			Expect(o.Error.Message).To(SatisfyAll(ContainSubstring("/dev/shm"), ContainSubstring("spec.pod.sharedMemory")), fmt.Sprintf("%+v", o.Error))
		}
	},
		Entry("that of the container runtime", SpecTimeout(6*time.Minute)),
		Entry("that which the function sets", SpecTimeout(6*time.Minute), withSharedMemory("32Mi")),
	)

	It("keeps its content if it is a volume of the function", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "keeping", keepingCode, func(f *v1alpha1.Function) {
			f.Spec.Pod = &v1alpha1.PodSettings{
				Volumes:      []v1alpha1.Volume{{Name: "shm", EmptyDir: &v1alpha1.EmptyDir{Medium: "Memory", SizeLimitMiB: ptr.To[int64](32)}}},
				VolumeMounts: []v1alpha1.VolumeMount{{Name: "shm", MountPath: "/dev/shm"}},
			}
		})
		run := waitFinished(ctx, startRun(ctx, function, builders.Inputs(20, builders.Index), withWorkers(1)), 2*time.Minute)
		all := results(ctx, run)
		Expect(all[0].Status).To(Equal(v1alpha1.OutcomeFailed))
		Expect(decode[bool](all[19])).To(BeTrue(), "the file that input 0 wrote")
	}, SpecTimeout(4*time.Minute))
})
