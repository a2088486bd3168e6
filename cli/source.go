package cli

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/runtimes"
)

// source is the code of a function on this machine.
type source struct {
	// folders are where the inputs may be.
	folders []string
	runtime string
	handler []byte
	// files are the files beside the handler.
	files          map[string][]byte
	timeoutSeconds int
	// batchSize is the number of inputs of one call of the handler; 0 means one.
	batchSize int
	env       []string
}

// inputsFile is the file of inputs beside the code, or "" if there is none.
func (s *source) inputsFile() string {
	for _, folder := range s.folders {
		for _, extension := range []string{".json", ".ndjson", ".jsonl", ".csv", ".py"} {
			path := filepath.Join(folder, "inputs"+extension)
			if exists(path) {
				return path
			}
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// write writes the code with the layout of a worker's container.
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

// findSource finds the code of a function in a directory or a file. runtime overrides the Function's, unless it is empty.
func findSource(path, runtime string) (*source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usageError("there is no code to test: %w", err)
	}
	if info.IsDir() {
		return inFolder(path, runtime)
	}
	switch extension := filepath.Ext(path); extension {
	case ".yaml", ".yml":
		return inManifest(path, runtime)
	case ".py", ".js":
		code, err := os.ReadFile(path)
		if err != nil {
			return nil, usageError("cannot read the code: %w", err)
		}
		return codeAlone(filepath.Dir(path), code, firstOf(runtime, map[string]string{".py": "python311", ".js": "node20"}[extension])), nil
	}
	return nil, usageError("%s is neither code (.py, .js) nor a manifest (.yaml)", path)
}

// codeAlone is code without a manifest.
func codeAlone(folder string, code []byte, runtime string) *source {
	return &source{folders: []string{folder}, runtime: runtime, handler: code, timeoutSeconds: int(v1alpha1.DefaultTimeoutSeconds)}
}

// inFolder finds the code in a directory: in its kustomization, or else in its manifests, or else in its handler file.
func inFolder(folder, runtime string) (*source, error) {
	var objects []*unstructured.Unstructured
	var err error
	folders := []string{folder}
	if kustomizationIn(folder) != "" {
		objects, folders, err = buildKustomization(folder)
	} else {
		manifests, _ := filepath.Glob(filepath.Join(folder, "*.yaml"))
		more, _ := filepath.Glob(filepath.Join(folder, "*.yml"))
		objects, err = objectsIn(append(manifests, more...))
	}
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(objects, isFunction) {
		return fromObjects(folders, objects, "", runtime)
	}
	for _, plain := range []struct{ file, runtime string }{{"handler.py", "python311"}, {"handler.js", "node20"}} {
		if code, err := os.ReadFile(filepath.Join(folder, plain.file)); err == nil {
			return codeAlone(folder, code, firstOf(runtime, plain.runtime)), nil
		}
	}
	return nil, usageError("the directory %s has neither the manifest of a Function nor handler.py or handler.js: `kubectl function init` creates them", folder)
}

// inManifest finds the code of the Function in a manifest. If a ConfigMap has the code that the manifest does not have, it builds the
// kustomization in the directory, and uses the Function of that name in it, or the only one.
func inManifest(path, runtime string) (*source, error) {
	folder := filepath.Dir(path)
	objects, err := objectsIn([]string{path})
	if err != nil {
		return nil, err
	}
	function, err := functionIn(objects, "")
	if err != nil {
		return nil, usageError("%w", err)
	}
	spec, _, _ := unstructured.NestedMap(function.Object, "spec")
	name := configMapOf(spec)
	if name == "" || configMapIn(objects, function.GetNamespace(), name) != nil || kustomizationIn(folder) == "" {
		return fromObjects([]string{folder}, objects, "", runtime)
	}
	built, folders, err := buildKustomization(folder)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(built, isFunction) {
		// The kustomization has the ConfigMap without the Function.
		built = append(built, objects...)
	}
	return fromObjects(folders, built, function.GetName(), runtime)
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
			return nil, usageError("cannot read the manifest: %w", err)
		}
		some, err := decodeManifest(path, text)
		if err != nil {
			return nil, err
		}
		objects = append(objects, some...)
	}
	return objects, nil
}

func decodeManifest(path string, text []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := map[string]any{}
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, usageError("%s is not a valid manifest: %w", path, err)
		}
		if len(object) > 0 {
			objects = append(objects, &unstructured.Unstructured{Object: object})
		}
	}
}

// fromObjects reads the Function of that name, or the only one, and its code.
func fromObjects(folders []string, objects []*unstructured.Unstructured, name, runtime string) (*source, error) {
	function, err := functionIn(objects, name)
	if err != nil {
		return nil, usageError("%w", err)
	}
	spec, _, err := unstructured.NestedMap(function.Object, "spec")
	if err != nil || spec == nil {
		return nil, usageError("the Function %s has no spec", function.GetName())
	}
	ofFunction, _ := spec["runtime"].(string)
	s := &source{folders: folders, runtime: firstOf(runtime, ofFunction), files: map[string][]byte{}, timeoutSeconds: int(v1alpha1.DefaultTimeoutSeconds)}
	found, known := runtimes.Lookup(s.runtime)
	if !known {
		return nil, usageError("the Function's runtime is %q; it must be one of %s", s.runtime, strings.Join(runtimes.Known(), ", "))
	}
	for name, into := range map[string]*int{"timeoutSeconds": &s.timeoutSeconds, "batchSize": &s.batchSize} {
		switch value := spec[name].(type) {
		case int64:
			*into = int(value)
		case float64:
			*into = int(value)
		}
	}
	if s.env, err = envOf(function, spec, objects); err != nil {
		return nil, err
	}
	if code, ok := spec["code"].(string); ok {
		s.handler = []byte(code)
		files, _, _ := unstructured.NestedStringMap(spec, "files")
		for name, text := range files {
			s.files[filepath.Base(name)] = []byte(text)
		}
		return s, nil
	}
	return s, s.fromConfigMap(function, spec, objects, found.HandlerFile)
}

// envOf is the environment variables of the Function that have a value, or a value in a ConfigMap among the objects.
func envOf(function *unstructured.Unstructured, spec map[string]any, objects []*unstructured.Unstructured) ([]string, error) {
	var env []string
	list, _, _ := unstructured.NestedSlice(spec, "pod", "env")
	for _, entry := range list {
		variable, _ := entry.(map[string]any)
		name, _ := variable["name"].(string)
		value, set := variable["value"].(string)
		from, _, _ := unstructured.NestedString(variable, "valueFrom", "configMapKeyRef", "name")
		if configMap := configMapIn(objects, function.GetNamespace(), from); from != "" && configMap != nil {
			content, err := contentOf(configMap)
			if err != nil {
				return nil, err
			}
			key, _, _ := unstructured.NestedString(variable, "valueFrom", "configMapKeyRef", "key")
			text, found := content[key]
			value, set = string(text), found
		}
		if name != "" && set {
			env = append(env, name+"="+value)
		}
	}
	return env, nil
}

// fromConfigMap reads the code that spec.codeFrom names: from a ConfigMap among the objects, or else from the file with the name of
// the key.
func (s *source) fromConfigMap(function *unstructured.Unstructured, spec map[string]any, objects []*unstructured.Unstructured, handlerFile string) error {
	name := configMapOf(spec)
	if name == "" {
		return usageError("the Function has neither spec.code nor spec.codeFrom")
	}
	key, _, _ := unstructured.NestedString(spec, "codeFrom", "configMapKeyRef", "key")
	var content map[string][]byte
	if configMap := configMapIn(objects, function.GetNamespace(), name); configMap != nil {
		var err error
		if content, err = contentOf(configMap); err != nil {
			return err
		}
	} else {
		file := firstOf(key, handlerFile)
		text, err := os.ReadFile(filepath.Join(s.folders[0], file))
		if err != nil {
			return usageError("the Function %s has its code in the ConfigMap %s, which is not among the manifests, and there is no file %s (a kustomization that adds a hash to the name needs the component config/kustomize)", function.GetName(), name, file)
		}
		content = map[string][]byte{file: text}
	}
	text, found := content[firstOf(key, handlerFile)]
	if !found {
		return usageError("the ConfigMap %s has no key %s", name, firstOf(key, handlerFile))
	}
	s.handler = text
	if key == "" { // all keys of the ConfigMap are files
		delete(content, handlerFile)
		s.files = content
	}
	return nil
}

// configMapIn finds a ConfigMap among objects. It returns nil if there is none.
func configMapIn(objects []*unstructured.Unstructured, namespace, name string) *unstructured.Unstructured {
	for _, object := range objects {
		if object.GetKind() == "ConfigMap" && object.GetName() == name && object.GetNamespace() == namespace {
			return object
		}
	}
	return nil
}

// contentOf is the data and the binaryData of a ConfigMap.
func contentOf(configMap *unstructured.Unstructured) (map[string][]byte, error) {
	content := map[string][]byte{}
	data, _, _ := unstructured.NestedStringMap(configMap.Object, "data")
	for key, text := range data {
		content[key] = []byte(text)
	}
	binary, _, _ := unstructured.NestedStringMap(configMap.Object, "binaryData")
	for key, text := range binary {
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, usageError("the key %s of the ConfigMap %s is not valid base64: %w", key, configMap.GetName(), err)
		}
		content[key] = decoded
	}
	return content, nil
}
