package workload

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/runtimes"
)

// Settings are everything beside code and runner that shapes the pods of a run. They are part of a revision: a change of any of
// them makes a new one.
type Settings struct {
	Runtime     string        `json:"runtime"`
	Image       ImageSettings `json:"image"`
	Command     []string      `json:"command"`
	HandlerFile string        `json:"handlerFile"`
	RunnerFile  string        `json:"runnerFile"`
	// Files are the names of the files beside the handler's, sorted.
	Files          []string `json:"files,omitempty"`
	GPUResource    string   `json:"gpuResource"`
	GPUs           int32    `json:"gpus"`
	GPUProducts    []string `json:"gpuProducts,omitempty"`
	Workers        int32    `json:"workers"`
	TimeoutSeconds int32    `json:"timeoutSeconds"`
	Retries        int32    `json:"retries"`

	// These are absent when the function does not set them, or sets the default: a new field must not make new revisions of
	// unchanged functions.
	BatchSize             *int32   `json:"batchSize,omitempty"`
	RetryDelaySeconds     *int32   `json:"retryDelaySeconds,omitempty"`
	NonRetryableErrors    []string `json:"nonRetryableErrors,omitempty"`
	MaxFailures           *int32   `json:"maxFailures,omitempty"`
	ActiveDeadlineSeconds *int32   `json:"activeDeadlineSeconds,omitempty"`
	PriorityClassName     *string  `json:"priorityClassName,omitempty"`

	Pod *v1alpha1.PodSettings `json:"pod,omitempty"`
	// PodVersion states what the operator adds to the pod: see podVersion. A revision of an older operator has an older runner,
	// and keeps the pod that this runner expects.
	PodVersion int32 `json:"podVersion,omitempty"`
}

// ImageSettings are what a revision takes from a FunctionImage.
type ImageSettings struct {
	Namespace    string            `json:"namespace"`
	Name         string            `json:"name"`
	RegistryPath string            `json:"registryPath"`
	PullPolicy   corev1.PullPolicy `json:"pullPolicy"`
	PullSecrets  []string          `json:"pullSecrets,omitempty"`
}

// Matches reports whether the settings were taken from the image in its present state. nil is no image.
func (s ImageSettings) Matches(image *v1alpha1.FunctionImage) bool {
	return image != nil && s.Namespace == image.Namespace && s.Name == image.Name && s.RegistryPath == image.Spec.RegistryPath
}

// References are the Secrets with which the image of a revision is pulled.
func (s ImageSettings) References() []v1alpha1.Reference {
	return (&v1alpha1.FunctionImage{Spec: v1alpha1.FunctionImageSpec{ImagePullSecrets: s.PullSecrets}}).References()
}

// SettingsFor combines a function, its image and its runtime. gpuResource is the default.
func SettingsFor(function *v1alpha1.Function, image *v1alpha1.FunctionImage, runtime runtimes.Runtime, gpuResource string) Settings {
	var gpus int32
	if image.Spec.RequiresGPU {
		gpus = 1
	}
	pullPolicy := image.Spec.ImagePullPolicy
	if pullPolicy == "" {
		pullPolicy = corev1.PullIfNotPresent
	}
	return Settings{
		Runtime: function.Spec.Runtime,
		Image: ImageSettings{
			Namespace:    image.Namespace,
			Name:         image.Name,
			RegistryPath: image.Spec.RegistryPath,
			PullPolicy:   pullPolicy,
			PullSecrets:  image.Spec.ImagePullSecrets,
		},
		Command:        runtime.Command,
		HandlerFile:    runtime.HandlerFile,
		RunnerFile:     runtime.RunnerFile,
		GPUResource:    ptr.Deref(function.Spec.GPUResource, gpuResource),
		GPUs:           ptr.Deref(function.Spec.GPUs, gpus),
		GPUProducts:    sorted(function.Spec.GPUProducts),
		Workers:        ptr.Deref(function.Spec.Workers, v1alpha1.DefaultWorkers),
		TimeoutSeconds: ptr.Deref(function.Spec.TimeoutSeconds, v1alpha1.DefaultTimeoutSeconds),
		Retries:        ptr.Deref(function.Spec.Retries, v1alpha1.DefaultRetries),

		BatchSize:             unlessDefault(function.Spec.BatchSize, 1),
		RetryDelaySeconds:     unlessDefault(function.Spec.RetryDelaySeconds, v1alpha1.DefaultRetryDelaySeconds),
		NonRetryableErrors:    sorted(function.Spec.NonRetryableErrors),
		MaxFailures:           function.Spec.MaxFailures,
		ActiveDeadlineSeconds: function.Spec.ActiveDeadlineSeconds,
		PriorityClassName:     function.Spec.PriorityClassName,

		Pod:        function.Spec.Pod,
		PodVersion: podVersion,
	}
}

// unlessDefault is nil when the value is the default, set or not.
func unlessDefault(value *int32, usual int32) *int32 {
	if value != nil && *value == usual {
		return nil
	}
	return value
}

// sorted is a sorted copy of a set: two sets that differ only in their order are the same content. It is nil for an empty set.
func sorted(set []string) []string {
	return slices.Sorted(slices.Values(set))
}
