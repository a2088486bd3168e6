package controllers

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/runtimes"
)

// mostFiles is how many files may lie beside the handler's: each is named in every Job.
const mostFiles = 64

// source is a function's code: the module, and what lies beside it.
type source struct {
	handler []byte
	beside  map[string][]byte
}

// names are those of the files beside the module, in order; nil for none.
func (s source) names() []string { return slices.Sorted(maps.Keys(s.beside)) }

// inlineSource is the code that a function holds itself.
func inlineSource(function *v1alpha1.Function, runtime runtimes.Runtime) (source, *finding) {
	code := source{handler: []byte(*function.Spec.Code)}
	for name, text := range function.Spec.Files {
		if name == runtime.HandlerFile {
			return source{}, invalidSource("spec.files has %s, which is the name of spec.code itself: give the file another name.", name)
		}
		if code.beside == nil {
			code.beside = map[string][]byte{}
		}
		code.beside[name] = []byte(text)
	}
	return code, badNames("spec.files", code, runtime)
}

// sourceIn is the code that a ConfigMap holds for the function.
func sourceIn(configMap *corev1.ConfigMap, from v1alpha1.CodeSource, runtime runtimes.Runtime) (source, *finding) {
	content := v1alpha1.ConfigMapContent(configMap)
	whole, key := from.ConfigMapRef != nil, runtime.HandlerFile
	if !whole {
		key = from.ConfigMapKeyRef.Key
	}
	handler, found := content[key]
	if !found {
		missing := configMapKeyMissing(configMap.Namespace, configMap.Name, key)
		if whole {
			missing = handlerMissing(configMap.Namespace, configMap.Name, key)
		}
		return source{}, &missing
	}
	if len(handler) == 0 {
		empty := codeEmpty(configMap.Name, key)
		return source{}, &empty
	}
	code := source{handler: handler}
	if !whole {
		return code, nil
	}
	delete(content, key)
	code.beside = content
	return code, badNames(fmt.Sprintf("The ConfigMap %q", configMap.Name), code, runtime)
}

// fileName is what a key of a ConfigMap may be; those of a ConfigMap are that already.
var fileName = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)

// badNames checks what lies beside the module. It returns nil where all of it may.
func badNames(where string, code source, runtime runtimes.Runtime) *finding {
	if len(code.beside) > mostFiles {
		return invalidSource("%s has %d files beside %s, and there may be %d: put those that rarely change into the image.",
			where, len(code.beside), runtime.HandlerFile, mostFiles)
	}
	for _, name := range code.names() {
		switch {
		case name == runtime.RunnerFile || name == revisionKey:
			return invalidSource("%s has %s, a name that is the operator's own: give the file another name.", where, name)
		case !fileName.MatchString(name) || name == "." || strings.HasPrefix(name, ".."):
			return invalidSource("%s has the name %q: names are made of letters, digits, '-', '_' and '.', and there are no subfolders.", where, cut(name, 64))
		}
	}
	return nil
}

func invalidSource(format string, args ...any) *finding {
	return &finding{standingStalled, v1alpha1.ReasonInvalid, fmt.Sprintf(format, args...)}
}
