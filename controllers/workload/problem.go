package workload

import (
	"fmt"

	"github.com/distribution/reference"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
	"sharedcloud.io/function-operator/runtimes"
)

// Problem is why a revision or a Job cannot be built.
type Problem struct {
	// Reason is one of the reasons of conditions.
	Reason string
	// Message is what is wrong and what to do about it.
	Message string
	// Waiting is true when something is missing that is probably still being applied, such as a ConfigMap of the same sync.
	Waiting bool
}

// RuntimeLookup finds a runtime by its name: runtimes.Lookup.
type RuntimeLookup func(runtime string) (runtimes.Runtime, bool)

func invalid(format string, args ...any) *Problem {
	return &Problem{Reason: v1alpha1.ReasonInvalid, Message: fmt.Sprintf(format, args...)}
}

// ImageMissing reports that the image of a function exists neither in its namespace nor in the catalogue.
func ImageMissing(function *v1alpha1.Function, catalogue string) *Problem {
	return &Problem{Reason: v1alpha1.ReasonImageMissing, Waiting: true, Message: fmt.Sprintf(
		"There is no FunctionImage %q in the namespace %s nor in the catalogue %s: create it, or set spec.image to one that exists (kubectl get functionimages -A).",
		function.Spec.Image, function.Namespace, catalogue)}
}

// ImageNotDecodable reports that the stored image of a function does not fit its type.
func ImageNotDecodable(image *v1alpha1.FunctionImage) *Problem {
	return &Problem{Reason: v1alpha1.ReasonImageMissing, Message: fmt.Sprintf(
		"The stored FunctionImage %s/%s cannot be decoded: %s. Correct or delete it, or set spec.image to another one.",
		image.Namespace, image.Name, values.TrimFullStop(v1alpha1.DecodeError(image)))}
}

// ConfigMapMissing reports that the ConfigMap with a function's code does not exist.
func ConfigMapMissing(namespace string, from v1alpha1.CodeSource) *Problem {
	field := "configMapKeyRef"
	if from.ConfigMapRef != nil {
		field = "configMapRef"
	}
	return &Problem{Reason: v1alpha1.ReasonConfigMapMissing, Waiting: true, Message: fmt.Sprintf(
		"There is no ConfigMap %q in the namespace %s: create it, or correct spec.codeFrom.%s.name.", from.ConfigMapName(), namespace, field)}
}

// CodeMissing reports that a function names no code. Admission refuses this; the object may be older.
func CodeMissing() *Problem {
	return invalid("Neither spec.code nor spec.codeFrom is set: set one of them.")
}

func handlerMissing(namespace, name, handlerFile string) *Problem {
	return &Problem{Reason: v1alpha1.ReasonConfigMapKeyMissing, Waiting: true, Message: fmt.Sprintf(
		"The ConfigMap %q in the namespace %s has no key %q, the file that defines handler(event): add it, or name another ConfigMap in spec.codeFrom.configMapRef.name.",
		name, namespace, handlerFile)}
}

func configMapKeyMissing(namespace, name, key string) *Problem {
	return &Problem{Reason: v1alpha1.ReasonConfigMapKeyMissing, Waiting: true, Message: fmt.Sprintf(
		"The ConfigMap %q in the namespace %s has no key %q: add it, or correct spec.codeFrom.configMapKeyRef.key.", name, namespace, key)}
}

func codeEmpty(name, key string) *Problem {
	return invalid("The key %q of the ConfigMap %q is empty: it must hold a module that defines handler(event).", key, name)
}

// CodeTooLarge reports that a revision does not fit into a ConfigMap. It returns nil for one that does.
func CodeTooLarge(size int) *Problem {
	if size <= maxConfigMapBytes {
		return nil
	}
	return &Problem{Reason: v1alpha1.ReasonCodeTooLarge, Message: fmt.Sprintf(
		"The code and its runner take %d bytes, and a ConfigMap holds %d: make the files smaller, or move large ones into the image.", size, maxConfigMapBytes)}
}

// SettingsInvalid reports why a function cannot be executed.
func SettingsInvalid(err error) *Problem {
	return invalid("The function cannot be executed: %s", values.Foreign(err.Error()))
}

// RevisionRefused reports that the API server refused the ConfigMap of a revision.
func RevisionRefused(err error) *Problem {
	return invalid("The revision cannot be stored: %s", values.Foreign(err.Error()))
}

// RevisionNameTaken reports that another ConfigMap has the name of a revision.
func RevisionNameTaken(name string) *Problem {
	return &Problem{Reason: v1alpha1.ReasonRevisionNameTaken, Message: fmt.Sprintf(
		"The ConfigMap %q has the name of this function's revision and is not a revision: delete or rename it.", name)}
}

// MatchRuntime finds the runtime of a function, and checks that the image provides the same language.
func MatchRuntime(function *v1alpha1.Function, image *v1alpha1.FunctionImage, lookup RuntimeLookup) (runtimes.Runtime, *Problem) {
	runtime, known := lookup(function.Spec.Runtime)
	if !known {
		return runtime, runtimeUnknown(function.Spec.Runtime)
	}
	provided, known := lookup(image.Spec.Runtime)
	if !known {
		return runtime, &Problem{Reason: v1alpha1.ReasonRuntimeUnknown, Message: fmt.Sprintf(
			"The FunctionImage %s/%s has the runtime %q, which this operator does not know: correct its spec.runtime, or choose another image.",
			image.Namespace, image.Name, image.Spec.Runtime)}
	}
	if runtime.Language != provided.Language {
		return runtime, &Problem{Reason: v1alpha1.ReasonRuntimeMismatch, Message: fmt.Sprintf(
			"spec.runtime is %s and the FunctionImage %s/%s is for %s: choose an image for %s, or correct spec.runtime.",
			function.Spec.Runtime, image.Namespace, image.Name, image.Spec.Runtime, runtime.Language)}
	}
	return runtime, nil
}

func runtimeUnknown(runtime string) *Problem {
	return &Problem{Reason: v1alpha1.ReasonRuntimeUnknown, Message: fmt.Sprintf(
		"spec.runtime %q is not a runtime that this operator knows: use one such as python311.", runtime)}
}

// CheckImage returns why functions cannot use an image, or nil.
func CheckImage(image *v1alpha1.FunctionImage, lookup RuntimeLookup) *Problem {
	if _, err := reference.ParseNormalizedNamed(image.Spec.RegistryPath); err != nil {
		return invalid("spec.registryPath %q is not an image reference (%v): use one such as docker.io/library/python:3.12.",
			printable.Cut(image.Spec.RegistryPath, 256), err)
	}
	if _, known := lookup(image.Spec.Runtime); !known {
		return runtimeUnknown(image.Spec.Runtime)
	}
	return nil
}

// InputsMissing reports that the ConfigMap with a run's inputs, or its key, does not exist.
func InputsMissing(run *v1alpha1.FunctionRun, configMapExists bool) *Problem {
	ref := run.Spec.ParametersFrom.ConfigMapKeyRef
	message := fmt.Sprintf("There is no ConfigMap %s in the namespace %s: create it, and the run starts.", ref.Name, run.Namespace)
	if configMapExists {
		message = fmt.Sprintf("The ConfigMap %s in the namespace %s has no key %s: add it, and the run starts.", ref.Name, run.Namespace, ref.Key)
	}
	return &Problem{Reason: v1alpha1.ReasonInputsMissing, Waiting: true, Message: message}
}

// InputsNameTaken reports that another ConfigMap has the name of the copy of a run's inputs.
func InputsNameTaken(name string) *Problem {
	return &Problem{Reason: v1alpha1.ReasonInputsMissing, Message: fmt.Sprintf(
		"The inputs must be copied into a ConfigMap %s, and another one of this name exists: delete it, or create the run under another name.", name)}
}

// ImageDiffers reports that the revision of a function was built from another image than the function has now.
func ImageDiffers(function *v1alpha1.Function, image ImageSettings) *Problem {
	return &Problem{Reason: v1alpha1.ReasonFunctionNotReady, Waiting: true, Message: fmt.Sprintf(
		"The Function %s is not ready: its revision %s has the image %s (%s/%s), which differs from the present FunctionImage %s.",
		function.Name, function.Status.Revision.Name, printable.Cut(image.RegistryPath, 256), image.Namespace, image.Name, function.Spec.Image)}
}
