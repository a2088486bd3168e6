package controllers

import (
	"fmt"
	"slices"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/runtimes"
)

// finding is what a pass found out about an object: how it stands, and why, in a sentence.
type finding struct {
	standing standing
	reason   string
	message  string
}

func imageMissing(function *v1alpha1.Function, catalogue string) finding {
	return finding{standingProgressing, v1alpha1.ReasonImageMissing, fmt.Sprintf(
		"There is no FunctionImage %q in the namespace %s nor in the catalogue %s: create it, or set spec.image to one that exists (kubectl get functionimages -A).",
		function.Spec.Image, function.Namespace, catalogue)}
}

func imageNotDecodable(image *v1alpha1.FunctionImage) finding {
	return finding{standingStalled, v1alpha1.ReasonImageMissing, fmt.Sprintf(
		"The stored FunctionImage %s/%s cannot be decoded: %s. Correct or delete it, or set spec.image to another one.",
		image.Namespace, image.Name, trimStop(v1alpha1.DecodeError(image)))}
}

func configMapMissing(namespace string, from v1alpha1.CodeSource) finding {
	field := "configMapKeyRef"
	if from.ConfigMapRef != nil {
		field = "configMapRef"
	}
	return finding{standingProgressing, v1alpha1.ReasonConfigMapMissing, fmt.Sprintf(
		"There is no ConfigMap %q in the namespace %s: create it, or correct spec.codeFrom.%s.name.", from.ConfigMapName(), namespace, field)}
}

func handlerMissing(namespace, name, handlerFile string) finding {
	return finding{standingProgressing, v1alpha1.ReasonConfigMapKeyMissing, fmt.Sprintf(
		"The ConfigMap %q in the namespace %s has no key %q, the file that defines handler(event): add it, or name another ConfigMap in spec.codeFrom.configMapRef.name.",
		name, namespace, handlerFile)}
}

func configMapKeyMissing(namespace, name, key string) finding {
	return finding{standingProgressing, v1alpha1.ReasonConfigMapKeyMissing, fmt.Sprintf(
		"The ConfigMap %q in the namespace %s has no key %q: add it, or correct spec.codeFrom.configMapKeyRef.key.", name, namespace, key)}
}

func codeEmpty(name, key string) finding {
	return finding{standingStalled, v1alpha1.ReasonInvalid, fmt.Sprintf(
		"The key %q of the ConfigMap %q is empty: it must hold a module that defines handler(event).", key, name)}
}

func codeTooLarge(size int) finding {
	return finding{standingStalled, v1alpha1.ReasonCodeTooLarge, fmt.Sprintf(
		"The code with its runner takes %d bytes, and a ConfigMap holds %d: make the files smaller, or put what is large into the image.", size, configMapLimit)}
}

func revisionNameTaken(name string) finding {
	return finding{standingStalled, v1alpha1.ReasonRevisionNameTaken, fmt.Sprintf(
		"The ConfigMap %q has the name that this function's revision needs and is something else: delete or rename it.", name)}
}

// runtimeFinding checks that the function's code and the image's interpreter are of one language. It returns nil where
// they are, and then the runtime.
func runtimeFinding(function *v1alpha1.Function, image *v1alpha1.FunctionImage, lookup RuntimeLookup) (runtimes.Runtime, *finding) {
	runtime, known := lookup(function.Spec.Runtime)
	if !known {
		return runtime, &finding{standingStalled, v1alpha1.ReasonRuntimeUnknown, fmt.Sprintf(
			"spec.runtime %q is not a runtime that this operator knows: use one such as python311.", function.Spec.Runtime)}
	}
	provided, known := lookup(image.Spec.Runtime)
	if !known {
		return runtime, &finding{standingStalled, v1alpha1.ReasonRuntimeUnknown, fmt.Sprintf(
			"The FunctionImage %s/%s has the runtime %q, which this operator does not know: correct its spec.runtime, or choose another image.",
			image.Namespace, image.Name, image.Spec.Runtime)}
	}
	if runtime.Language != provided.Language {
		return runtime, &finding{standingStalled, v1alpha1.ReasonRuntimeMismatch, fmt.Sprintf(
			"spec.runtime is %s and the FunctionImage %s/%s is for %s: choose an image for %s, or correct spec.runtime.",
			function.Spec.Runtime, image.Namespace, image.Name, image.Spec.Runtime, runtime.Language)}
	}
	return runtime, nil
}

// podFinding checks what the schema cannot: that the pod settings fit together. It returns nil where they do.
func podFinding(pod *v1alpha1.PodSettings, gpuResources ...string) *finding {
	if pod == nil {
		return nil
	}
	invalid := func(format string, args ...any) *finding {
		return &finding{standingStalled, v1alpha1.ReasonInvalid, fmt.Sprintf(format, args...)}
	}
	if wrong := namesFinding(pod); wrong != nil {
		return wrong
	}
	volumes := map[string]bool{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = true
	}
	for _, mount := range pod.VolumeMounts {
		if !volumes[mount.Name] {
			return invalid("spec.pod.volumeMounts mounts %q at %s, and spec.pod.volumes has no volume of that name: add it.", mount.Name, mount.MountPath)
		}
	}
	if pod.Resources == nil {
		return nil
	}
	for name := range pod.Resources.Limits {
		if slices.Contains(gpuResources, string(name)) {
			return invalid("spec.pod.resources.limits names %s: use spec.gpus instead.", name)
		}
	}
	for name, request := range pod.Resources.Requests {
		if slices.Contains(gpuResources, string(name)) {
			return invalid("spec.pod.resources.requests names %s: use spec.gpus instead.", name)
		}
		if limit, limited := pod.Resources.Limits[name]; limited && request.Cmp(limit) > 0 {
			return invalid("spec.pod.resources.requests.%s is %s, more than the limit %s: lower it or raise the limit.", name, request.String(), limit.String())
		}
	}
	return nil
}
