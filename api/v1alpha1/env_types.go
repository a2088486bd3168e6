package v1alpha1

import corev1 "k8s.io/api/core/v1"

// The types in this file have the names, fields and JSON of the corresponding types of the core API, and a limit on every
// string and number.

// EnvVar is an environment variable of the handler.
type EnvVar struct {
	// name is the name of the variable. It may consist of any printable ASCII characters except '='.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Name string `json:"name,omitempty"`

	// value is the value of the variable. References $(VAR_NAME) are expanded using the previously defined variables of
	// the container and the service environment variables. $$(VAR_NAME) becomes the text $(VAR_NAME). Defaults to "".
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	Value string `json:"value,omitempty"`

	// valueFrom is a source of the value. Cannot be used if value is not empty.
	// +optional
	ValueFrom *EnvVarSource `json:"valueFrom,omitempty"`
}

// EnvVarSource is the source of a variable's value. Set exactly one of its fields.
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
	// containerName is the name of the container. It is optional: the handler's container is named worker.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ContainerName string `json:"containerName,omitempty"`

	// resource is the resource to select.
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
	// name is the name of the ConfigMap.
	// +optional
	// +default=""
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key is the key to select.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`

	// optional allows the ConfigMap or its key to be missing. Defaults to false.
	// +optional
	Optional *bool `json:"optional,omitempty"`
}

// SecretKeySelector selects a key of a Secret.
//
// +structType=atomic
type SecretKeySelector struct {
	// name is the name of the Secret.
	// +optional
	// +default=""
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key is the key to select.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`

	// optional allows the Secret or its key to be missing. Defaults to false.
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

	// path is the path of the file within the volume. It must be relative and must not contain or begin with '..'.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path,omitempty"`

	// key is the key within the env file.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`

	// optional allows the file or its key to be missing. The variable is then not set. Defaults to false.
	// +optional
	// +default=false
	Optional *bool `json:"optional,omitempty"`
}

// Toleration allows a pod on nodes with a matching taint.
type Toleration struct {
	// key is the taint key that the toleration applies to. Empty matches all keys; the operator must then be Exists.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	Key string `json:"key,omitempty"`

	// operator is the relation of key to value: Exists, Equal, Lt or Gt. Defaults to Equal.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=63
	Operator corev1.TolerationOperator `json:"operator,omitempty"`

	// value is the taint value that the toleration matches. Leave it empty if the operator is Exists.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Value string `json:"value,omitempty"`

	// effect is the taint effect to match: NoSchedule, PreferNoSchedule or NoExecute. Empty matches all effects.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=63
	Effect corev1.TaintEffect `json:"effect,omitempty"`

	// tolerationSeconds is the time, in seconds, for which a toleration of the effect NoExecute tolerates the taint. If
	// not set, it tolerates the taint forever. Zero and negative values evict the pod immediately.
	// +optional
	// +kubebuilder:validation:Minimum=-2147483648
	// +kubebuilder:validation:Maximum=2147483647
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}
