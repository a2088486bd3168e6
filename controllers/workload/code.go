package workload

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/runtimes"
)

// Code is a function's code: the handler's module, and the files beside it by their names.
type Code struct {
	Handler []byte
	Files   map[string][]byte
}

// Names are the names of the files beside the handler's, sorted; nil for none.
func (c Code) Names() []string { return slices.Sorted(maps.Keys(c.Files)) }

// InlineCode is the code of a function that holds it in spec.code and spec.files.
func InlineCode(function *v1alpha1.Function, runtime runtimes.Runtime) (Code, *Problem) {
	code := Code{Handler: []byte(*function.Spec.Code)}
	for name, text := range function.Spec.Files {
		if name == runtime.HandlerFile {
			return Code{}, invalid("spec.files has %s, which is the name of spec.code itself: give the file another name.", name)
		}
		if code.Files == nil {
			code.Files = map[string][]byte{}
		}
		code.Files[name] = []byte(text)
	}
	return code, checkFileNames("spec.files", code, runtime)
}

// CodeIn is the code that a ConfigMap holds for a function.
func CodeIn(configMap *corev1.ConfigMap, from v1alpha1.CodeSource, runtime runtimes.Runtime) (Code, *Problem) {
	content := v1alpha1.ConfigMapContent(configMap)
	whole, key := from.ConfigMapRef != nil, runtime.HandlerFile
	if !whole {
		key = from.ConfigMapKeyRef.Key
	}
	handler, found := content[key]
	switch {
	case !found && whole:
		return Code{}, handlerMissing(configMap.Namespace, configMap.Name, key)
	case !found:
		return Code{}, configMapKeyMissing(configMap.Namespace, configMap.Name, key)
	case len(handler) == 0:
		return Code{}, codeEmpty(configMap.Name, key)
	}
	code := Code{Handler: handler}
	if !whole {
		return code, nil
	}
	delete(content, key)
	code.Files = content
	return code, checkFileNames(fmt.Sprintf("The ConfigMap %q", configMap.Name), code, runtime)
}

// fileName is the form of a ConfigMap's key.
var fileName = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)

func validFileName(name string) bool {
	return fileName.MatchString(name) && name != "." && !strings.HasPrefix(name, "..")
}

// checkFileNames checks the files beside the handler's. where names their source.
func checkFileNames(where string, code Code, runtime runtimes.Runtime) *Problem {
	if len(code.Files) > maxFiles {
		return invalid("%s has %d files beside %s, more than the maximum of %d: move files that rarely change into the image.",
			where, len(code.Files), runtime.HandlerFile, maxFiles)
	}
	for _, name := range code.Names() {
		switch {
		case name == runtime.RunnerFile || name == RevisionKey:
			return invalid("%s has %s, a name that is reserved for the operator: give the file another name.", where, name)
		case !validFileName(name):
			return invalid("%s has the name %q: names consist of letters, digits, '-', '_' and '.', and there are no subdirectories.", where, printable.Cut(name, 64))
		}
	}
	return nil
}
