package v1alpha1

import corev1 "k8s.io/api/core/v1"

// The types of this file are those of the core API of the same names, with the same fields and JSON, and with limits on
// every string and number.

// EnvVar is an environment variable of the handler.
type EnvVar struct {
	// name of the variable. May consist of any printable ASCII characters except '='.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Name string `json:"name,omitempty"`

	// value of the variable. References $(VAR_NAME) are expanded using the variables before it in the container and the
	// service environment variables; $$(VAR_NAME) becomes the text $(VAR_NAME). Defaults to "".
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	Value string `json:"value,omitempty"`

	// valueFrom is a source of the value. Cannot be used if value is not empty.
	// +optional
	ValueFrom *EnvVarSource `json:"valueFrom,omitempty"`
}

// EnvVarSource is where the value of a variable comes from. Exactly one of its fields is set.
type EnvVarSource struct {
	// fieldRef selects a field of the pod: metadata.name, metadata.namespace, metadata.labels['<KEY>'],
	// metadata.annotations['<KEY>'], spec.nodeName, spec.serviceAccountName, status.hostIP, status.podIP, status.podIPs.
	// +optional
	FieldRef *ObjectFieldSelector `json:"fieldRef,omitempty"`

	// resourceFieldRef selects a resource of the container: limits.cpu, limits.memory, limits.ephemeral-storage,
	// requests.cpu, requests.memory, requests.ephemeral-storage.
	// +optional
	ResourceFieldRef *ResourceFieldSelector `json:"resourceFieldRef,omitempty"`

	// configMapKeyRef selects a key of a ConfigMap.
	// +optional
	ConfigMapKeyRef *ConfigMapKeySelector `json:"configMapKeyRef,omitempty"`

	// secretKeyRef selects a key of a Secret in the pod's namespace.
	// +optional
	SecretKeyRef *SecretKeySelector `json:"secretKeyRef,omitempty"`

	// fileKeyRef selects a key of the env file. Requires the EnvFiles feature gate to be enabled.
	// +optional
	FileKeyRef *FileKeySelector `json:"fileKeyRef,omitempty"`
}

// ObjectFieldSelector selects a field of the pod.
//
// +structType=atomic
type ObjectFieldSelector struct {
	// apiVersion is the version of the schema that fieldPath is written in terms of. Defaults to "v1".
	// +optional
	// +kubebuilder:validation:MaxLength=63
	APIVersion string `json:"apiVersion,omitempty"`

	// fieldPath is the path of the field.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	FieldPath string `json:"fieldPath,omitempty"`
}

// ResourceFieldSelector selects a resource of the container.
//
// +structType=atomic
type ResourceFieldSelector struct {
	// containerName is optional: the handler's container has the name worker.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ContainerName string `json:"containerName,omitempty"`

	// resource to select.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Resource string `json:"resource,omitempty"`

	// divisor is the unit of the output. Defaults to "1".
	// +optional
	Divisor Quantity `json:"divisor,omitempty"`
}

// ConfigMapKeySelector selects a key of a ConfigMap.
//
// +structType=atomic
type ConfigMapKeySelector struct {
	// name of the ConfigMap.
	// +optional
	// +default=""
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key to select from the ConfigMap's data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`

	// optional says that the ConfigMap or its key may be missing.
	// +optional
	Optional *bool `json:"optional,omitempty"`
}

// SecretKeySelector selects a key of a Secret.
//
// +structType=atomic
type SecretKeySelector struct {
	// name of the Secret.
	// +optional
	// +default=""
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key of the Secret to select from.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`

	// optional says that the Secret or its key may be missing.
	// +optional
	Optional *bool `json:"optional,omitempty"`
}

// FileKeySelector selects a key of an env file.
//
// +structType=atomic
type FileKeySelector struct {
	// volumeName is the name of the volume mount containing the env file.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	VolumeName string `json:"volumeName,omitempty"`

	// path of the file within the volume. Must be relative and may not contain '..' or begin with it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path,omitempty"`

	// key within the env file.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`

	// optional says that the file or its key may be missing: the variable is not set then.
	// +optional
	// +default=false
	Optional *bool `json:"optional,omitempty"`
}

// Toleration lets a pod onto nodes with a taint.
type Toleration struct {
	// key is the taint key that the toleration applies to. Empty means all keys; operator must be Exists then.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	Key string `json:"key,omitempty"`

	// operator is how key and value are compared: Exists, Equal, Lt or Gt. Defaults to Equal.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=63
	Operator corev1.TolerationOperator `json:"operator,omitempty"`

	// value is the taint value that the toleration matches. It should be empty where operator is Exists.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Value string `json:"value,omitempty"`

	// effect is the taint effect to match: NoSchedule, PreferNoSchedule or NoExecute. Empty means all effects.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=63
	Effect corev1.TaintEffect `json:"effect,omitempty"`

	// tolerationSeconds is for how long a toleration of the effect NoExecute tolerates the taint. By default it tolerates
	// the taint forever. Zero and negative values mean that the pod is evicted at once.
	// +optional
	// +kubebuilder:validation:Minimum=-2147483648
	// +kubebuilder:validation:Maximum=2147483647
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}
