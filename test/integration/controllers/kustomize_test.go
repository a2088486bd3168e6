package controllers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// kustomized are the objects that kubectl builds from a directory with a kustomization, by kind.
func kustomized(ctx SpecContext, folder string) map[string]*unstructured.Unstructured {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "kustomize", folder)
	cmd.Stderr = GinkgoWriter
	out, err := cmd.Output()
	Expect(err).NotTo(HaveOccurred())
	objects, err := decodeObjects(out)
	Expect(err).NotTo(HaveOccurred())
	kinds := map[string]*unstructured.Unstructured{}
	for _, object := range objects {
		kinds[object.GetKind()] = object
	}
	return kinds
}

// text is the string at a path; a number in it is a position in a list.
func text(object *unstructured.Unstructured, path string) string {
	GinkgoHelper()
	var value any = object.Object
	for _, step := range strings.Split(path, ".") {
		switch at := value.(type) {
		case map[string]any:
			value = at[step]
		case []any:
			value = at[0]
		}
	}
	found, ok := value.(string)
	Expect(ok).To(BeTrue(), "%s of the %s is %v", path, object.GetKind(), value)
	return found
}

var _ = Describe("kustomize", func() {
	It("changes names wherever a Function, an image or a run uses them", func(ctx SpecContext) {
		component, err := filepath.Abs(filepath.Join("..", "..", "..", "config", "kustomize"))
		Expect(err).NotTo(HaveOccurred())
		folder, err := filepath.EvalSymlinks(GinkgoT().TempDir())
		Expect(err).NotTo(HaveOccurred())
		component, err = filepath.Rel(folder, component)
		Expect(err).NotTo(HaveOccurred())
		for name, content := range map[string]string{
			"kustomization.yaml": `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namePrefix: my-
components: [` + component + `]
resources: [objects.yaml]
configMapGenerator:
- {name: code, literals: ["handler.py=x"]}
secretGenerator:
- {name: keys, literals: [a=b]}
`,
			"objects.yaml": `
apiVersion: sharedcloud.io/v1alpha1
kind: Function
metadata: {name: f}
spec:
  image: image
  priorityClassName: soon
  codeFrom: {configMapKeyRef: {name: code, key: handler.py}}
  pod:
    env:
    - {name: A, valueFrom: {configMapKeyRef: {name: code, key: a}, secretKeyRef: {name: keys, key: a}}}
    volumes:
    - {name: v, configMap: {name: code}, secret: {name: keys}, persistentVolumeClaim: {claimName: models}}
---
apiVersion: sharedcloud.io/v1alpha1
kind: FunctionRun
metadata: {name: r}
spec:
  functionRef: {name: f}
  priorityClassName: soon
  parametersFrom: {configMapKeyRef: {name: code, key: inputs}}
---
apiVersion: sharedcloud.io/v1alpha1
kind: FunctionImage
metadata: {name: image}
spec: {imagePullSecrets: [keys]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: models}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: soon}
`,
		} {
			Expect(os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600)).To(Succeed())
		}
		got := kustomized(ctx, folder)
		code, keys := got["ConfigMap"].GetName(), got["Secret"].GetName()
		Expect(code).To(MatchRegexp("^my-code-[a-z0-9]{10}$"))
		Expect(keys).To(MatchRegexp("^my-keys-[a-z0-9]{10}$"))
		for _, use := range []struct{ kind, path, name string }{
			{"Function", "spec.codeFrom.configMapKeyRef.name", code},
			{"Function", "spec.pod.env.0.valueFrom.configMapKeyRef.name", code},
			{"Function", "spec.pod.volumes.0.configMap.name", code},
			{"Function", "spec.pod.env.0.valueFrom.secretKeyRef.name", keys},
			{"Function", "spec.pod.volumes.0.secret.name", keys},
			{"Function", "spec.pod.volumes.0.persistentVolumeClaim.claimName", "my-models"},
			{"Function", "spec.image", "my-image"},
			{"Function", "spec.priorityClassName", "my-soon"},
			{"FunctionRun", "spec.functionRef.name", "my-f"},
			{"FunctionRun", "spec.parametersFrom.configMapKeyRef.name", code},
			{"FunctionRun", "spec.priorityClassName", "my-soon"},
			{"FunctionImage", "spec.imagePullSecrets.0", keys},
		} {
			Expect(text(got[use.kind], use.path)).To(Equal(use.name), "%s of the %s", use.path, use.kind)
		}
	}, SpecTimeout(90*time.Second))

	It("builds config/samples/files into a function that becomes ready, and a run of it", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		cmd := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "kustomize", filepath.Join("..", "..", "..", "config", "samples", "files"))
		out, err := cmd.Output()
		Expect(err).NotTo(HaveOccurred())
		objects, err := decodeObjects(out)
		Expect(err).NotTo(HaveOccurred())
		for _, object := range objects {
			object.SetNamespace(namespace)
			Expect(k8s.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("spec"))).To(Succeed())
		}
		function := builders.Function(namespace, "demo-shout")
		waitCondition(ctx, function, v1alpha1.ConditionReady)
		Expect(function.Spec.CodeFrom.ConfigMapRef.Name).To(MatchRegexp("^demo-shout-code-[a-z0-9]{10}$"))
		Expect(revisionsOf(ctx, Default, function)[0].Data).To(SatisfyAll(HaveKey("handler.py"), HaveKey("util.py")))
		waitJob(ctx, newRun(namespace, "demo-shout-once", "demo-shout", 0))
	}, SpecTimeout(90*time.Second))
})
