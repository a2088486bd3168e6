package cli

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kustomizationIn is the kustomization file of a directory, or "" if it has none.
func kustomizationIn(folder string) string {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if path := filepath.Join(folder, name); exists(path) {
			return path
		}
	}
	return ""
}

// buildKustomization builds a kustomization as `kubectl apply -k` does. It returns the objects, and the directories of all
// kustomizations that are part of it, the directory itself first.
func buildKustomization(folder string) (objects []*unstructured.Unstructured, folders []string, err error) {
	local := &localFiles{FileSystem: filesys.MakeFsOnDisk()}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // the order of kubectl
	built, err := krusty.MakeKustomizer(options).Run(local, folder)
	if local.refused != nil {
		return nil, nil, local.refused
	}
	if err != nil {
		return nil, nil, usageError("cannot build the kustomization in %s: %w", folder, err)
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, nil, usageError("cannot build the kustomization in %s: %w", folder, err)
	}
	objects, err = decodeManifest(folder, text)
	return objects, append([]string{folder}, local.folders...), err
}

// localFiles is the file system of a build. It refuses kustomizations and plugin configurations that name remote resources, before
// kustomize fetches them.
type localFiles struct {
	filesys.FileSystem
	// folders are the directories of the kustomizations that were read.
	folders []string
	refused error
}

// ReadFile implements filesys.FileSystem.
func (l *localFiles) ReadFile(path string) ([]byte, error) {
	content, err := l.FileSystem.ReadFile(path)
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	isKustomization := slices.Contains(konfig.RecognizedKustomizationFileNames(), filepath.Base(path))
	if isKustomization && !slices.Contains(l.folders, folder) {
		l.folders = append(l.folders, folder)
	}
	for _, document := range documentsIn(content) {
		if !isKustomization && document["apiVersion"] != builtinPlugin {
			continue
		}
		if remote := remoteIn(folder, document); remote != "" {
			l.refused = usageError("%s names the remote resource %s: `kubectl function test` reads local files only; copy the resource to this machine and name its path (`kustomize localize` does so), or test the code itself: kubectl function test FILE", path, remote)
			return nil, l.refused
		}
	}
	return content, nil
}

// builtinPlugin is the apiVersion of the configuration of kustomize's own generators and transformers.
const builtinPlugin = "builtin"

// pathFields are the fields of a kustomization and of a plugin configuration whose values are paths or URLs.
var pathFields = []string{"resources", "components", "bases", "crds", "configurations", "generators", "transformers", "validators",
	"patchesStrategicMerge", "files", "envs", "env", "path", "paths", "targetFilePath", "argsFromFile"}

// freeFields are fields whose values have keys that users choose.
var freeFields = []string{"commonLabels", "commonAnnotations", "labels", "annotations", "metadata", "options", "generatorOptions"}

// remoteIn finds a value of a path field that is not on this machine. It returns "" if all values are local.
func remoteIn(folder string, value any) string {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range sortedKeys(value) {
			if slices.Contains(freeFields, name) {
				continue
			}
			if slices.Contains(pathFields, name) {
				if remote := remoteAmong(folder, textsIn(value[name])); remote != "" {
					return remote
				}
			}
			if remote := remoteIn(folder, value[name]); remote != "" {
				return remote
			}
		}
	case []any:
		for _, element := range value {
			if remote := remoteIn(folder, element); remote != "" {
				return remote
			}
		}
	}
	return ""
}

// remoteAmong finds an entry of a path field that is not on this machine. An entry can also be an inline plugin configuration.
func remoteAmong(folder string, entries []string) string {
	for _, entry := range entries {
		if isRemote(folder, entry) {
			return entry
		}
		for _, inline := range documentsIn([]byte(entry)) {
			if remote := remoteIn(folder, inline); remote != "" {
				return remote
			}
		}
	}
	return ""
}

// textsIn are the strings of a value that is a string or a list.
func textsIn(value any) []string {
	if text, ok := value.(string); ok {
		return []string{text}
	}
	var texts []string
	list, _ := value.([]any)
	for _, element := range list {
		if text, ok := element.(string); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

var (
	// generatorKey is the key in an entry KEY=PATH of a generator.
	generatorKey = regexp.MustCompile(`^[-._a-zA-Z0-9]+=`)
	// documentSeparator separates YAML documents.
	documentSeparator = regexp.MustCompile(`(?m)^---\s*$`)
)

// repository matches what kustomize treats as the address of a Git repository.
var repository = regexp.MustCompile(`(?i)^(git::)?([a-z][a-z0-9+.-]*://|[^/\s]+@[^/\s]+[:/]|(www\.)?github\.com[:/])\S+$`)

// isRemote reports whether kustomize would fetch a path, or an entry KEY=PATH of a generator, from elsewhere.
func isRemote(folder, path string) bool {
	if isURL(path) {
		return true
	}
	if key := generatorKey.FindString(path); key != "" && isURL(path[len(key):]) {
		return true
	}
	return repository.MatchString(path) && !exists(filepath.Join(folder, path))
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// documentsIn are the objects in a YAML text. Text that is not YAML has none: kustomize reports its errors itself.
func documentsIn(text []byte) []map[string]any {
	var documents []map[string]any
	for _, part := range documentSeparator.Split(string(text), -1) {
		document := map[string]any{}
		if yaml.Unmarshal([]byte(part), &document) == nil && len(document) > 0 {
			documents = append(documents, document)
		}
	}
	return documents
}

// functionIn finds the Function of a name among objects, or the only one.
func functionIn(objects []*unstructured.Unstructured, name string) (*unstructured.Unstructured, error) {
	var functions []*unstructured.Unstructured
	for _, object := range objects {
		if !isFunction(object) {
			continue
		}
		if name != "" && object.GetName() == name {
			return object, nil
		}
		functions = append(functions, object)
	}
	switch len(functions) {
	case 0:
		return nil, fmt.Errorf("there is no Function among the manifests")
	case 1:
		return functions[0], nil
	}
	return nil, fmt.Errorf("there are several Functions (%s and %s): pass the manifest of one", functions[0].GetName(), functions[1].GetName())
}
