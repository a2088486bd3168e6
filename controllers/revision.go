package controllers

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/runtimes"
)

const (
	// revisionKey is the key of a revision's ConfigMap that holds its settings.
	revisionKey = "revision.json"
	// annotationContent is the whole hash of a revision's content: what is compared where the name alone would be believed.
	annotationContent = "sharedcloud.io/content-sha256"

	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "sharedcloud"

	// The limit of the API server on all keys and values of a ConfigMap.
	configMapLimit = 1 << 20
)

// Settings are everything that shapes a run's pods beside code and runner. They are part of a revision: a change of any
// of them is a new one.
type Settings struct {
	Runtime     string        `json:"runtime"`
	Image       ImageSettings `json:"image"`
	Command     []string      `json:"command"`
	HandlerFile string        `json:"handlerFile"`
	RunnerFile  string        `json:"runnerFile"`
	// Files are the names of what lies beside the handler\'s file, in order.
	Files          []string `json:"files,omitempty"`
	GPUResource    string   `json:"gpuResource"`
	GPUs           int32    `json:"gpus"`
	GPUProducts    []string `json:"gpuProducts,omitempty"`
	Workers        int32    `json:"workers"`
	TimeoutSeconds int32    `json:"timeoutSeconds"`
	Retries        int32    `json:"retries"`

	// Absent where the function says nothing, or the default: a field that is new then makes no new revision of what is old.
	BatchSize             *int32   `json:"batchSize,omitempty"`
	RetryDelaySeconds     *int32   `json:"retryDelaySeconds,omitempty"`
	NonRetryableErrors    []string `json:"nonRetryableErrors,omitempty"`
	MaxFailures           *int32   `json:"maxFailures,omitempty"`
	ActiveDeadlineSeconds *int32   `json:"activeDeadlineSeconds,omitempty"`
	PriorityClassName     *string  `json:"priorityClassName,omitempty"`

	Pod *v1alpha1.PodSettings `json:"pod,omitempty"`
}

// ImageSettings are what a revision takes from a FunctionImage.
type ImageSettings struct {
	Namespace    string            `json:"namespace"`
	Name         string            `json:"name"`
	RegistryPath string            `json:"registryPath"`
	PullPolicy   corev1.PullPolicy `json:"pullPolicy"`
	PullSecrets  []string          `json:"pullSecrets,omitempty"`
}

// settingsFor decides how a function's pods look.
func settingsFor(function *v1alpha1.Function, image *v1alpha1.FunctionImage, runtime runtimes.Runtime, gpuResource string) Settings {
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

		BatchSize:             unlessIs(1, function.Spec.BatchSize),
		RetryDelaySeconds:     unlessIs(v1alpha1.DefaultRetryDelaySeconds, function.Spec.RetryDelaySeconds),
		NonRetryableErrors:    sorted(function.Spec.NonRetryableErrors),
		MaxFailures:           function.Spec.MaxFailures,
		ActiveDeadlineSeconds: function.Spec.ActiveDeadlineSeconds,
		PriorityClassName:     function.Spec.PriorityClassName,

		Pod: function.Spec.Pod,
	}
}

// unlessIs is nil where the value is the usual one, said or not.
func unlessIs(usual int32, value *int32) *int32 {
	if value != nil && *value == usual {
		return nil
	}
	return value
}

// sorted is a copy of a set in order: two that differ in their order alone are the same content. nil for an empty one.
func sorted(set []string) []string {
	return slices.Sorted(slices.Values(set))
}

// revisionFor builds the immutable ConfigMap that says what exactly is executed. Its name and the annotation with its
// hash follow from its content and the function's uid, so the same content is the same object however often it is built.
//
// It has no owner: thousands of runs would outgrow the list of owners, and it must outlive its function while a run needs
// it. The revision controller deletes it.
func revisionFor(function *v1alpha1.Function, code source, runner string, settings Settings) (*corev1.ConfigMap, error) {
	settings.Files = code.names()
	encoded, err := json.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("encoding the settings: %w", err)
	}
	revision := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: function.Namespace,
			Labels: map[string]string{
				v1alpha1.LabelFunction:    function.Name,
				v1alpha1.LabelFunctionUID: string(function.UID),
				labelManagedBy:            managedBy,
			},
		},
		Immutable: ptr.To(true),
		Data: map[string]string{
			settings.RunnerFile: runner,
			revisionKey:         string(encoded),
		},
	}
	put := func(name string, content []byte) {
		// A source file may be in another encoding than UTF-8 and say so in its first line: it is kept byte for byte.
		if utf8.Valid(content) {
			revision.Data[name] = string(content)
			return
		}
		if revision.BinaryData == nil {
			revision.BinaryData = map[string][]byte{}
		}
		revision.BinaryData[name] = content
	}
	put(settings.HandlerFile, code.handler)
	for _, name := range settings.Files {
		put(name, code.beside[name])
	}
	hash := contentHash(string(function.UID), revision)
	revision.Name = revisionName(function.Name, hash)
	revision.Annotations = map[string]string{annotationContent: hash}
	return revision, nil
}

// contentHash is the SHA-256 of the function's uid and every key and value, each preceded by its length.
func contentHash(functionUID string, revision *corev1.ConfigMap) string {
	content := map[string][]byte{}
	for key, value := range revision.Data {
		content[key] = []byte(value)
	}
	for key, value := range revision.BinaryData {
		content[key] = value
	}
	keys := make([]string, 0, len(content))
	for key := range content {
		keys = append(keys, key)
	}
	slices.Sort(keys)

	hash := sha256.New()
	part := func(b []byte) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(b)))
		hash.Write(length[:])
		hash.Write(b)
	}
	part([]byte(functionUID))
	for _, key := range keys {
		part([]byte(key))
		part(content[key])
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// revisionSize is what the API server counts against the limit of a ConfigMap.
func revisionSize(revision *corev1.ConfigMap) int {
	size := 0
	for key, value := range revision.Data {
		size += len(key) + len(value)
	}
	for key, value := range revision.BinaryData {
		size += len(key) + len(value)
	}
	return size
}

// settingsOf reads the settings back out of a revision.
func settingsOf(revision *corev1.ConfigMap) (Settings, error) {
	var settings Settings
	text, found := revision.Data[revisionKey]
	if !found {
		return settings, fmt.Errorf("the ConfigMap %s has no key %s: it is not a revision", revision.Name, revisionKey)
	}
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		return Settings{}, fmt.Errorf("decoding %s of the revision %s: %w", revisionKey, revision.Name, err)
	}
	if err := settings.bounded(); err != nil {
		return Settings{}, fmt.Errorf("%s of the revision %s: %w", revisionKey, revision.Name, err)
	}
	return settings, nil
}
