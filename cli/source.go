package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/runtimes"
)

// source is a function's code as it lies on this machine.
type source struct {
	folder, runtime string
	handler         []byte
	// files lie beside the handler.
	files          map[string][]byte
	timeoutSeconds int
	// batchSize is how many inputs one call of the handler gets; 0 is one.
	batchSize int
	env       []string
}

// inputsFile is the folder's own file of inputs.
func (s *source) inputsFile() string {
	for _, ending := range []string{".json", ".ndjson", ".jsonl", ".csv", ".py"} {
		path := filepath.Join(s.folder, "inputs"+ending)
		if exists(path) {
			return path
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// write lays the code out as a worker's container has it.
func (s *source) write(folder string, runtime runtimes.Runtime, token string) error {
	files := map[string][]byte{
		"code/" + runtime.HandlerFile: s.handler, "runner/" + runtime.RunnerFile: []byte(runtime.Runner), "identity/token": []byte(token), "work/.keep": nil,
	}
	for name, text := range s.files {
		files["code/"+name] = text
	}
	for name, text := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
	}
	return os.Remove(filepath.Join(folder, "work", ".keep"))
}

// findSource finds a function's code in a folder or a file. runtime is what was asked for; "" for what is found.
func findSource(path, runtime string) (*source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usageError("there is no code to test: %w", err)
	}
	if info.IsDir() {
		return inFolder(path, runtime)
	}
	switch ending := filepath.Ext(path); ending {
	case ".yaml", ".yml":
		objects, err := objectsIn([]string{path})
		if err != nil {
			return nil, err
		}
		return fromManifest(filepath.Dir(path), objects, runtime)
	case ".py", ".js":
		code, err := os.ReadFile(path)
		if err != nil {
			return nil, usageError("the code cannot be read: %w", err)
		}
		return bare(filepath.Dir(path), code, firstOf(runtime, map[string]string{".py": "python311", ".js": "node20"}[ending])), nil
	}
	return nil, usageError("%s is neither code (.py, .js) nor a manifest (.yaml)", path)
}

func bare(folder string, code []byte, runtime string) *source {
	return &source{folder: folder, runtime: runtime, handler: code, timeoutSeconds: int(v1alpha1.DefaultTimeoutSeconds)}
}

func inFolder(folder, runtime string) (*source, error) {
	manifests, _ := filepath.Glob(filepath.Join(folder, "*.yaml"))
	more, _ := filepath.Glob(filepath.Join(folder, "*.yml"))
	objects, err := objectsIn(append(manifests, more...))
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if isFunction(object) {
			return fromManifest(folder, objects, runtime)
		}
	}
	for _, plain := range []struct{ file, runtime string }{{"handler.py", "python311"}, {"handler.js", "node20"}} {
		if code, err := os.ReadFile(filepath.Join(folder, plain.file)); err == nil {
			return bare(folder, code, firstOf(runtime, plain.runtime)), nil
		}
	}
	return nil, usageError("the folder %s has neither the manifest of a Function nor handler.py or handler.js: `kubectl function init` writes some to start from", folder)
}

func isFunction(object *unstructured.Unstructured) bool {
	return object.GetKind() == "Function" && strings.HasPrefix(object.GetAPIVersion(), v1alpha1.GroupName+"/")
}

// objectsIn reads manifests.
func objectsIn(paths []string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, usageError("the manifest cannot be read: %w", err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			object := map[string]any{}
			err := decoder.Decode(&object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, usageError("%s is no manifest: %w", path, err)
			}
			if len(object) > 0 {
				objects = append(objects, &unstructured.Unstructured{Object: object})
			}
		}
	}
	return objects, nil
}

// fromManifest reads the Function among objects, and its code where it says that it is.
func fromManifest(folder string, objects []*unstructured.Unstructured, runtime string) (*source, error) {
	var function *unstructured.Unstructured
	for _, object := range objects {
		if !isFunction(object) {
			continue
		}
		if function != nil {
			return nil, usageError("there are several Functions (%s and %s): name the file of one", function.GetName(), object.GetName())
		}
		function = object
	}
	if function == nil {
		return nil, usageError("there is no Function among the manifests")
	}
	spec, _, err := unstructured.NestedMap(function.Object, "spec")
	if err != nil || spec == nil {
		return nil, usageError("the Function %s has no spec", function.GetName())
	}
	said, _ := spec["runtime"].(string)
	s := &source{folder: folder, runtime: firstOf(runtime, said), files: map[string][]byte{}, timeoutSeconds: int(v1alpha1.DefaultTimeoutSeconds)}
	found, known := runtimes.Lookup(s.runtime)
	if !known {
		return nil, usageError("the Function's runtime is %q, which there is no runner for; there are %s", s.runtime, strings.Join(runtimes.Known(), ", "))
	}
	for name, into := range map[string]*int{"timeoutSeconds": &s.timeoutSeconds, "batchSize": &s.batchSize} {
		switch value := spec[name].(type) {
		case int64:
			*into = int(value)
		case float64:
			*into = int(value)
		}
	}
	s.env = envOf(spec)
	if code, ok := spec["code"].(string); ok {
		s.handler = []byte(code)
		files, _, _ := unstructured.NestedStringMap(spec, "files")
		for name, text := range files {
			s.files[filepath.Base(name)] = []byte(text)
		}
		return s, nil
	}
	return s, s.fromConfigMap(spec, objects, found.HandlerFile)
}

func envOf(spec map[string]any) []string {
	var env []string
	list, _, _ := unstructured.NestedSlice(spec, "pod", "env")
	for _, entry := range list {
		if one, ok := entry.(map[string]any); ok {
			name, _ := one["name"].(string)
			value, given := one["value"].(string)
			if name != "" && given {
				env = append(env, name+"="+value)
			}
		}
	}
	return env
}

// fromConfigMap finds the code that spec.codeFrom names: in a ConfigMap among the manifests, in what a kustomization makes one
// of, or in the file of the key's name.
func (s *source) fromConfigMap(spec map[string]any, objects []*unstructured.Unstructured, handlerFile string) error {
	name := configMapOf(spec)
	if name == "" {
		return usageError("the Function has neither spec.code nor spec.codeFrom")
	}
	key, _, _ := unstructured.NestedString(spec, "codeFrom", "configMapKeyRef", "key")
	content, err := s.configMap(name, objects)
	if err != nil {
		return err
	}
	if content == nil {
		file := firstOf(key, handlerFile)
		text, err := os.ReadFile(filepath.Join(s.folder, file))
		if err != nil {
			return usageError("the code is in the ConfigMap %s, which neither the manifests nor kustomization.yaml have, and there is no file %s", name, file)
		}
		content = map[string][]byte{file: text}
	}
	text, found := content[firstOf(key, handlerFile)]
	if !found {
		return usageError("the ConfigMap %s has no key %s", name, firstOf(key, handlerFile))
	}
	s.handler = text
	if key == "" { // the whole ConfigMap is the folder
		delete(content, handlerFile)
		s.files = content
	}
	return nil
}

// configMap is the content of a ConfigMap by that name, nil where it is not known.
func (s *source) configMap(name string, objects []*unstructured.Unstructured) (map[string][]byte, error) {
	for _, object := range objects {
		if object.GetKind() == "ConfigMap" && object.GetName() == name {
			data, _, _ := unstructured.NestedStringMap(object.Object, "data")
			content := map[string][]byte{}
			for key, text := range data {
				content[key] = []byte(text)
			}
			return content, nil
		}
	}
	kustomization := filepath.Join(s.folder, "kustomization.yaml")
	if !exists(kustomization) {
		return nil, nil
	}
	made, err := objectsIn([]string{kustomization})
	if err != nil || len(made) == 0 {
		return nil, err
	}
	generators, _, _ := unstructured.NestedSlice(made[0].Object, "configMapGenerator")
	for _, entry := range generators {
		generator, _ := entry.(map[string]any)
		if generator["name"] != name {
			continue
		}
		files, _, _ := unstructured.NestedStringSlice(generator, "files")
		content := map[string][]byte{}
		for _, file := range files {
			key, path, renamed := strings.Cut(file, "=")
			if !renamed {
				key, path = filepath.Base(file), file
			}
			text, err := os.ReadFile(filepath.Join(s.folder, filepath.FromSlash(path)))
			if err != nil {
				return nil, usageError("kustomization.yaml names a file that cannot be read: %w", err)
			}
			content[key] = text
		}
		return content, nil
	}
	return nil, nil
}
