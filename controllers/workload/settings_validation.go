package workload

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Bounds of settings. The schema bounds what a Function sets; settings that are read back from a revision are checked again,
// because its ConfigMap may hold anything.
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
	// maxFiles bounds the files beside the handler's: every Job names each of them.
	maxFiles = 64
)

// ValidateSettings returns why no pod may be built from settings that were read back from a revision: a structure that
// RevisionFor does not write, a value out of bounds, an image of a namespace whose images the function may not use, or something
// that a user may not set of a pod.
func (o Options) ValidateSettings(namespace string, revision *corev1.ConfigMap, s Settings) error {
	return errors.Join(
		validateFiles(revision, s),
		o.validateImage(namespace, s.Image),
		validateCommand(s.Command),
		validatePolicy(s),
		o.validatePod(s),
	)
}

// checkBounds checks the numbers of settings. What does not fit the types, quantities included, is refused when it is decoded.
func (s *Settings) checkBounds() error {
	for _, field := range []struct {
		name            string
		value, min, max int64
	}{
		{"gpus", int64(s.GPUs), 0, int64(v1alpha1.MaxGPUs)},
		{"workers", int64(s.Workers), 1, int64(v1alpha1.MaxWorkers)},
		{"timeoutSeconds", int64(s.TimeoutSeconds), 1, int64(v1alpha1.MaxTimeoutSeconds)},
		{"retries", int64(s.Retries), 0, int64(v1alpha1.MaxRetries)},
		{"batchSize", int64(ptr.Deref(s.BatchSize, 1)), 1, int64(v1alpha1.MaxBatchSize)},
		{"retryDelaySeconds", int64(ptr.Deref(s.RetryDelaySeconds, 0)), 0, int64(v1alpha1.MaxRetryDelaySeconds)},
		{"maxFailures", int64(ptr.Deref(s.MaxFailures, 0)), 0, math.MaxInt32},
		{"activeDeadlineSeconds", int64(ptr.Deref(s.ActiveDeadlineSeconds, 1)), 1, math.MaxInt32},
		{"files", int64(len(s.Files)), 0, maxFiles},
		{"command", int64(len(s.Command)), 0, maxFiles},
		{"podVersion", int64(s.PodVersion), 0, int64(podVersion)},
	} {
		if field.value < field.min || field.value > field.max {
			return fmt.Errorf("%s is %d and must be between %d and %d", field.name, field.value, field.min, field.max)
		}
	}
	return nil
}

// validateFiles checks that the revision has every file, once, under a name that stays in its directory.
func validateFiles(revision *corev1.ConfigMap, s Settings) error {
	if len(s.Files) > maxFiles {
		return fmt.Errorf("it has %d files, more than %d", len(s.Files), maxFiles)
	}
	seen := map[string]bool{RevisionKey: true}
	for _, name := range append([]string{s.HandlerFile, s.RunnerFile}, s.Files...) {
		switch _, text := revision.Data[name]; {
		case !validFileName(name):
			return fmt.Errorf("%q is not a valid file name", printable.Cut(name, 64))
		case seen[name]:
			return fmt.Errorf("it names the file %s twice", name)
		case !text && revision.BinaryData[name] == nil:
			return fmt.Errorf("it has no file %s", name)
		}
		seen[name] = true
	}
	return nil
}

func (o Options) validateImage(namespace string, image ImageSettings) error {
	switch {
	case image.Namespace != namespace && image.Namespace != o.CatalogueNamespace:
		return fmt.Errorf("its image is in the namespace %q, which is neither its own nor the catalogue's", printable.Cut(image.Namespace, 64))
	case len(validation.IsDNS1123Subdomain(image.Name)) > 0:
		return fmt.Errorf("%q is not a valid name of a FunctionImage", printable.Cut(image.Name, 64))
	case image.RegistryPath == "" || len(image.RegistryPath) > maxText || strings.ContainsFunc(image.RegistryPath, unprintable):
		return fmt.Errorf("%q is not a valid registry path", printable.Cut(image.RegistryPath, 64))
	case !slices.Contains([]corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}, image.PullPolicy):
		return fmt.Errorf("%q is not a valid pull policy", printable.Cut(string(image.PullPolicy), 64))
	}
	return validateNames("pull secret", maxPullSecrets, image.PullSecrets)
}

func unprintable(c rune) bool { return c <= ' ' || c == 0x7f }

func validateCommand(command []string) error {
	if len(command) == 0 || len(command) > maxCommand {
		return fmt.Errorf("its command has %d words", len(command))
	}
	for _, word := range command {
		if word == "" || len(word) > maxText || strings.ContainsRune(word, 0) {
			return fmt.Errorf("%q is not a valid word of a command", printable.Cut(word, 64))
		}
	}
	return nil
}

// validatePolicy checks how a function runs, except for the numbers: see checkBounds.
func validatePolicy(s Settings) error {
	var errs []error
	if len(s.NonRetryableErrors) > maxErrors || len(s.GPUProducts) > maxProducts {
		errs = append(errs, errors.New("its list of errors or of GPU products is too long"))
	}
	for _, product := range s.GPUProducts {
		if len(validation.IsValidLabelValue(product)) > 0 {
			errs = append(errs, fmt.Errorf("%q is not a valid GPU product", printable.Cut(product, 64)))
		}
	}
	if !strings.Contains(s.GPUResource, "/") || len(validation.IsQualifiedName(s.GPUResource)) > 0 {
		errs = append(errs, fmt.Errorf("%q is not a valid resource of GPUs", printable.Cut(s.GPUResource, 64)))
	}
	if s.PriorityClassName != nil {
		errs = append(errs, validateNames("priority class", 1, []string{*s.PriorityClassName}))
	}
	return errors.Join(errs...)
}

// validatePod checks the part of a pod that a user may set.
func (o Options) validatePod(s Settings) error {
	pod := s.Pod
	if pod == nil {
		return nil
	}
	if len(pod.Env) > maxEnv || len(pod.Volumes) > maxVolumes || len(pod.VolumeMounts) > maxMounts ||
		len(pod.NodeSelector) > maxSelectors || len(pod.Tolerations) > maxTolerations {
		return errors.New("a list of its pod settings is too long")
	}
	for i := range pod.Env {
		if pod.Env[i].Name == "" {
			return errors.New("a variable of its pod settings has no name")
		}
	}
	for i := range pod.Volumes {
		if err := validateVolume(&pod.Volumes[i]); err != nil {
			return err
		}
	}
	if pod.RuntimeClassName != nil {
		if err := validateNames("runtime class", 1, []string{*pod.RuntimeClassName}); err != nil {
			return err
		}
	}
	if pod.RunAsUser != nil && *pod.RunAsUser < 0 {
		return fmt.Errorf("%d is not a valid user id", *pod.RunAsUser)
	}
	if problem := CheckPod(pod, o.GPUResource, s.GPUResource); problem != nil {
		return errors.New(problem.Message)
	}
	return nil
}

func validateVolume(v *v1alpha1.Volume) error {
	if len(validation.IsDNS1123Label(v.Name)) > 0 {
		return fmt.Errorf("%q is not a valid name of a volume", printable.Cut(v.Name, 64))
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
			return fmt.Errorf("the volume %s has the unknown medium %q", v.Name, printable.Cut(medium, 64))
		}
	}
	if kinds != 1 {
		return fmt.Errorf("the volume %s has %d sources instead of one", v.Name, kinds)
	}
	return validateNames("volume source", 1, names)
}

func validateNames(kind string, maxCount int, names []string) error {
	if len(names) > maxCount {
		return fmt.Errorf("it has more than %d of the kind %s", maxCount, kind)
	}
	for _, name := range names {
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			return fmt.Errorf("%q is not a valid name of a %s", printable.Cut(name, 64), kind)
		}
	}
	return nil
}
