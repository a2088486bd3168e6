package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	baseFunction = "apiVersion: sharedcloud.io/v1alpha1\nkind: Function\nmetadata: {name: shout}\nspec:\n  runtime: python311\n  image: python\n" +
		"  codeFrom: {configMapRef: {name: code}}\n  pod:\n    env: [{name: MARK, value: '!'}]\n"
	baseHandler = "import os\nimport util\ndef handler(event): return util.loud(event[0]) + os.environ['MARK']\n"
)

// samplePath is a kustomization of this repository.
var samplePath = filepath.Join("..", "config", "samples", "files")

// overlays is a base with a hashed ConfigMap, the project's component for names, and overlays over them.
func overlays(t *testing.T) string {
	t.Helper()
	root := written(t, map[string]string{
		"base/kustomization.yaml": "resources: [function.yaml]\ncomponents: [../kustomize]\nconfigMapGenerator:\n- name: code\n  files: [handler.py=main.py, util.py]\n",
		"base/function.yaml":      baseFunction,
		"base/main.py":            baseHandler,
		"base/util.py":            "def loud(text): return text.upper()\n",
		"base/inputs.json":        `[["of the base"]]`,
		"staging/kustomization.yaml": "namePrefix: staging-\nnamespace: staging\nresources: [../base]\npatches:\n- path: patch.yaml\n  target: {kind: Function}\n" +
			"configMapGenerator:\n- name: code\n  behavior: merge\n  files: [util.py]\n",
		"staging/patch.yaml":         "- {op: replace, path: /spec/pod/env/0/value, value: '?'}\n",
		"staging/util.py":            "def loud(text): return text.lower()\n",
		"staging/inputs.json":        `[["Of The Overlay"]]`,
		"inline/kustomization.yaml":  "resources: [../base]\npatches:\n- patch: |\n    apiVersion: sharedcloud.io/v1alpha1\n    kind: Function\n    metadata: {name: shout}\n    spec: {codeFrom: null, code: 'def handler(event): return 7'}\n",
		"pair/kustomization.yaml":    "resources: [../base, other.yaml]\n",
		"pair/other.yaml":            strings.Replace(baseFunction, "name: shout", "name: whisper", 1),
		"nocomponent/fn.yaml":        baseFunction,
		"nocomponent/handler.txt":    "def handler(event): return 1\n",
		"nocomponent/Kustomization":  "resources: [fn.yaml]\nconfigMapGenerator:\n- name: code\n  files: [handler.py=handler.txt]\n",
		"broken/kustomization.yaml":  "resources: [missing.yaml]\n",
		"unlisted/kustomization.yml": "resources: []\n",
		"unlisted/function.yaml":     baseFunction,
	})
	if err := os.CopyFS(filepath.Join(root, "kustomize"), os.DirFS(filepath.Join("..", "config", "kustomize"))); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestFunctionTestBuildsKustomizations(t *testing.T) {
	needs(t, "python3")
	for name, tc := range map[string]struct {
		path   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		"a base with a hashed ConfigMap":                         {"base", nil, ExitOK, `→ "OF THE BASE!"`, ""},
		"an overlay that patches the function and merges a file": {"staging", nil, ExitOK, `→ "of the overlay?"`, ""},
		"an overlay that replaces the code, with the base's inputs": {"inline", nil, ExitOK,
			`["of the base"]  → 7`, ""},
		"the manifest of a function in a base":                 {"base/function.yaml", nil, ExitOK, `→ "OF THE BASE!"`, ""},
		"two functions":                                        {"pair", nil, ExitUsage, "", "there are several Functions (shout and whisper): pass the manifest of one"},
		"a hashed name without the component":                  {"nocomponent", []string{"--params", "[[1]]"}, ExitUsage, "", "needs the component config/kustomize"},
		"a kustomization that does not build":                  {"broken", nil, ExitUsage, "", "cannot build the kustomization in "},
		"a manifest that the kustomization ignores":            {"unlisted", nil, ExitUsage, "", "has neither the manifest of a Function nor handler.py"},
		"a manifest whose kustomization has no code":           {"unlisted/function.yaml", nil, ExitUsage, "", "has its code in the ConfigMap code"},
		"the manifest of one of two functions":                 {"pair/other.yaml", []string{"--params", `[["x"]]`}, ExitOK, `→ "X!"`, ""},
		"the sample, with a variable in a generated ConfigMap": {samplePath, []string{"--params", `[["hi"]]`}, ExitOK, `→ "HI!"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(overlays(t), tc.path)
			if tc.path == samplePath {
				path = samplePath
			}
			command(t, t.Context(), nil, append([]string{"test", path}, tc.args...)...).mustExit(t, tc.code, tc.stdout, tc.stderr)
		})
	}
}

func TestBuiltObjectsAreThoseOfKubectlApply(t *testing.T) {
	root := overlays(t)
	for _, folder := range []string{"base", "staging", "inline", samplePath} {
		path := filepath.Join(root, folder)
		if folder == samplePath {
			path = samplePath
		}
		objects, folders, err := buildKustomization(path)
		if err != nil {
			t.Fatal(err)
		}
		options := krusty.MakeDefaultOptions()
		options.Reorder = krusty.ReorderOptionLegacy
		want, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), path)
		if err != nil {
			t.Fatal(err)
		}
		var got, wanted []map[string]any
		for _, object := range objects {
			got = append(got, object.Object)
		}
		for _, resource := range want.Resources() {
			object, err := resource.Map()
			if err != nil {
				t.Fatal(err)
			}
			wanted = append(wanted, object)
		}
		if diff := cmp.Diff(asJSON(wanted), asJSON(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", folder, diff)
		}
		if folders[0] != path {
			t.Errorf("%s: the first directory is %s", folder, folders[0])
		}
	}
}

func asJSON(objects []map[string]any) []string {
	var texts []string
	for _, object := range objects {
		texts = append(texts, string(mustJSON(object)))
	}
	return texts
}

func TestFilesOfAGeneratorMayBeBinary(t *testing.T) {
	configMap := &unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"a": "text"}, "binaryData": map[string]any{"b": "/wA="}}}
	got, err := contentOf(configMap)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]byte{"a": []byte("text"), "b": {0xff, 0}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	configMap.Object["binaryData"] = map[string]any{"b": "?"}
	if _, err := contentOf(configMap); err == nil || !strings.Contains(err.Error(), "is not valid base64") {
		t.Errorf("got %v", err)
	}
}

// There is no server at the addresses, so that the error would differ if kustomize fetched them.
func TestRemoteResourcesAreRefusedBeforeTheyAreFetched(t *testing.T) {
	const address = "http://127.0.0.1:1/"
	for name, files := range map[string]map[string]string{
		"a resource":                {"kustomization.yaml": "resources: [" + address + "f.yaml]\n"},
		"a repository":              {"kustomization.yaml": "resources: [git@127.0.0.1:org/repo]\n"},
		"a repository of GitHub":    {"kustomization.yaml": "resources: ['github.com/org/repo?ref=v1']\n"},
		"a base of a base":          {"kustomization.yaml": "resources: [base]\n", "base/kustomization.yaml": "resources: ['ssh://git@127.0.0.1:1/org/repo']\n"},
		"a component":               {"kustomization.yaml": "components: [" + address + "org/repo]\n"},
		"a file of a generator":     {"kustomization.yaml": "configMapGenerator:\n- name: c\n  files: ['handler.py=" + address + "handler.py']\n"},
		"the variables of one":      {"kustomization.yaml": "secretGenerator:\n- name: c\n  envs: [" + address + "env]\n"},
		"a patch":                   {"kustomization.yaml": "patches:\n- path: " + address + "patch.yaml\n"},
		"a replacement":             {"kustomization.yaml": "replacements:\n- path: " + address + "r.yaml\n"},
		"a schema":                  {"kustomization.yaml": "openapi: {path: '" + address + "schema.json'}\n"},
		"a configuration":           {"kustomization.yaml": "configurations: [" + address + "c.yaml]\n"},
		"an inline transformer":     {"kustomization.yaml": "transformers:\n- |-\n  apiVersion: builtin\n  kind: PatchTransformer\n  metadata: {name: p}\n  path: " + address + "p.yaml\n"},
		"a transformer in a file":   {"kustomization.yaml": "transformers: [t.yaml]\n", "t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: p}\npath: " + address + "p.yaml\n"},
		"a generator in a file":     {"kustomization.yaml": "generators: [g.yaml]\n", "g.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: p}\nfiles: [" + address + "h.py]\n"},
		"a kustomization by a file": {"kustomization.yml": "resources: [" + address + "f.yaml]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", t.TempDir()) // there is no git
			_, _, err := buildKustomization(written(t, files))
			if err == nil || !strings.Contains(err.Error(), "names the remote resource ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLocalNamesThatResembleAddressesAreNotRefused(t *testing.T) {
	folder := written(t, map[string]string{
		"kustomization.yaml": "resources: [team@example.com/f.yaml]\ncommonAnnotations: {path: 'https://example.com/docs'}\n" +
			"configMapGenerator:\n- name: c\n  literals: ['files=https://example.com']\n  options: {annotations: {path: 'https://example.com'}}\n" +
			"patches:\n- patch: |\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: m}\n    data: {path: 'https://example.com', resources: 'https://example.com'}\n",
		"team@example.com/f.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {files: 'https://example.com'}\n",
	})
	objects, _, err := buildKustomization(folder)
	if err != nil || len(objects) != 2 {
		t.Errorf("got %d objects, %v", len(objects), err)
	}
}
