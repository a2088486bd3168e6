package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Bounds of settings. Those of what a Function says are in its schema; a revision is looked at again, since its ConfigMap may
// hold anything.
const (
	maxCommand     = 16
	maxText        = 1024
	maxProducts    = 64
	maxPullSecrets = 16
	maxErrors      = 64
	maxEnv         = 256
	maxVolumes     = 32
	maxMounts      = 64
	maxSelectors   = 64
	maxTolerations = 64
)

// validSettings says why settings may not be rendered: a structure that revisionFor does not write, a value out of bounds, an
// image of a namespace whose images the function may not use, or something that is not on the list of what a user may set of a
// pod. It returns nil where they may.
func (o Options) validSettings(namespace string, revision *corev1.ConfigMap, s Settings) error {
	return errors.Join(
		validFiles(revision, s),
		o.validImage(namespace, s.Image),
		validCommand(s.Command),
		validPolicy(s),
		o.validPod(s),
	)
}

// validFiles: every file of the revision is there, and its path leads nowhere else.
func validFiles(revision *corev1.ConfigMap, s Settings) error {
	if len(s.Files) > mostFiles {
		return fmt.Errorf("it has %d files, more than %d", len(s.Files), mostFiles)
	}
	seen := map[string]bool{revisionKey: true}
	for _, name := range append([]string{s.HandlerFile, s.RunnerFile}, s.Files...) {
		switch _, text := revision.Data[name]; {
		case !fileName.MatchString(name) || name == "." || strings.HasPrefix(name, ".."):
			return fmt.Errorf("%q is no name of a file", cut(name, 64))
		case seen[name]:
			return fmt.Errorf("it names the file %s twice", name)
		case !text && revision.BinaryData[name] == nil:
			return fmt.Errorf("it has no file %s", name)
		}
		seen[name] = true
	}
	return nil
}

func (o Options) validImage(namespace string, image ImageSettings) error {
	switch {
	case image.Namespace != namespace && image.Namespace != o.CatalogueNamespace:
		return fmt.Errorf("its image is of the namespace %q, which is neither its own nor the catalogue's", cut(image.Namespace, 64))
	case len(validation.IsDNS1123Subdomain(image.Name)) > 0:
		return fmt.Errorf("%q is no name of a FunctionImage", cut(image.Name, 64))
	case image.RegistryPath == "" || len(image.RegistryPath) > maxText || strings.ContainsFunc(image.RegistryPath, unprintable):
		return fmt.Errorf("%q is no path of an image", cut(image.RegistryPath, 64))
	case !slices.Contains([]corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}, image.PullPolicy):
		return fmt.Errorf("%q is no policy by which an image is pulled", cut(string(image.PullPolicy), 64))
	}
	return validNames("pull secret", maxPullSecrets, image.PullSecrets)
}

func unprintable(c rune) bool { return c <= ' ' || c == 0x7f }

func validCommand(command []string) error {
	if len(command) == 0 || len(command) > maxCommand {
		return fmt.Errorf("its command has %d words", len(command))
	}
	for _, word := range command {
		if word == "" || len(word) > maxText || strings.ContainsRune(word, 0) {
			return fmt.Errorf("%q is no word of a command", cut(word, 64))
		}
	}
	return nil
}

// validPolicy checks how a function runs; bounded has checked its numbers.
func validPolicy(s Settings) error {
	var errs []error
	if len(s.NonRetryableErrors) > maxErrors || len(s.GPUProducts) > maxProducts {
		errs = append(errs, errors.New("a list of it is too long"))
	}
	for _, product := range s.GPUProducts {
		if len(validation.IsValidLabelValue(product)) > 0 {
			errs = append(errs, fmt.Errorf("%q is no product of a GPU", cut(product, 64)))
		}
	}
	if !strings.Contains(s.GPUResource, "/") || len(validation.IsQualifiedName(s.GPUResource)) > 0 {
		errs = append(errs, fmt.Errorf("%q is no resource of GPUs", cut(s.GPUResource, 64)))
	}
	if s.PriorityClassName != nil {
		errs = append(errs, validNames("priority class", 1, []string{*s.PriorityClassName}))
	}
	return errors.Join(errs...)
}

// validPod checks the part of a pod that a user may set.
func (o Options) validPod(s Settings) error {
	pod := s.Pod
	if pod == nil {
		return nil
	}
	if len(pod.Env) > maxEnv || len(pod.Volumes) > maxVolumes || len(pod.VolumeMounts) > maxMounts ||
		len(pod.NodeSelector) > maxSelectors || len(pod.Tolerations) > maxTolerations {
		return errors.New("a list of its pod is too long")
	}
	for i := range pod.Env {
		if pod.Env[i].Name == "" {
			return errors.New("a variable of its pod has no name")
		}
	}
	for i := range pod.Volumes {
		if err := validVolume(&pod.Volumes[i]); err != nil {
			return err
		}
	}
	if pod.RuntimeClassName != nil {
		if err := validNames("runtime class", 1, []string{*pod.RuntimeClassName}); err != nil {
			return err
		}
	}
	if pod.RunAsUser != nil && *pod.RunAsUser < 0 {
		return fmt.Errorf("%d is no user", *pod.RunAsUser)
	}
	if wrong := podFinding(pod, o.GPUResource, s.GPUResource); wrong != nil {
		return errors.New(wrong.message)
	}
	return nil
}

func validVolume(v *v1alpha1.Volume) error {
	if len(validation.IsDNS1123Label(v.Name)) > 0 {
		return fmt.Errorf("%q is no volume of a function", cut(v.Name, 64))
	}
	kinds := 0
	var names []string
	if v.ConfigMap != nil {
		kinds, names = kinds+1, append(names, v.ConfigMap.Name)
	}
	if v.Secret != nil {
		kinds, names = kinds+1, append(names, v.Secret.Name)
	}
	if v.PersistentVolumeClaim != nil {
		kinds, names = kinds+1, append(names, v.PersistentVolumeClaim.ClaimName)
	}
	if v.EmptyDir != nil {
		kinds++
		if medium := v.EmptyDir.Medium; medium != "" && medium != string(corev1.StorageMediumMemory) {
			return fmt.Errorf("the volume %s has the medium %q", v.Name, cut(medium, 64))
		}
	}
	if kinds != 1 {
		return fmt.Errorf("the volume %s is of %d kinds", v.Name, kinds)
	}
	return validNames("volume", 1, names)
}

func validNames(what string, most int, names []string) error {
	if len(names) > most {
		return fmt.Errorf("it has more than %d of the kind %s", most, what)
	}
	for _, name := range names {
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			return fmt.Errorf("%q is no name of a %s", cut(name, 64), what)
		}
	}
	return nil
}
