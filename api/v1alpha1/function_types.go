package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FunctionSpec is the desired state of a Function: its code, the resources it needs and how it runs.
//
// +kubebuilder:validation:XValidation:rule="has(self.code) != has(self.codeFrom)",message="exactly one of spec.code and spec.codeFrom must be set: put the source text into spec.code, or reference a ConfigMap key in spec.codeFrom.configMapKeyRef"
// +kubebuilder:validation:XValidation:rule="!has(self.files) || has(self.code)",message="spec.files requires spec.code: if the code is in a ConfigMap, put the files into that ConfigMap and reference it in spec.codeFrom.configMapRef"
type FunctionSpec struct {
	// name is the display name. It is free text and need not be unique. Defaults to metadata.name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name,omitempty"`

	// runtime is the language and version that run the code, such as python27, python36, python311, node8 or node20.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z]+[0-9]+$`
	Runtime string `json:"runtime,omitempty"`

	// image is the name of a FunctionImage in this namespace or in the catalogue's namespace. If both have one of this
	// name, the one in this namespace is used.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="spec.image must be the name of a FunctionImage (lowercase letters, digits and '-'), not an image reference"
	Image string `json:"image,omitempty"`

	// code is the complete source text of the module. It must define handler(event). Set exactly one of code and
	// codeFrom.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=921600
	Code *string `json:"code,omitempty"`

	// files are additional files, by name, that are mounted in the same directory as code: modules that the code
	// imports, or data that it reads. A name must be a valid ConfigMap key, so there are no subdirectories. The names
	// handler.py and handler.js are reserved for code; runner.py, runner.js and revision.json are reserved for the
	// operator.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=64
	Files map[string]FileText `json:"files,omitempty"`

	// codeFrom references the ConfigMap that holds the source text, so that a Git repository can hold it as a regular
	// source file. Set exactly one of code and codeFrom.
	// +optional
	CodeFrom *CodeSource `json:"codeFrom,omitempty"`

	RunPolicy `json:",inline"`

	// pod holds the settings of the workers' pods that you may change.
	// +optional
	Pod *PodSettings `json:"pod,omitempty"`

	// revisionHistoryLimit is the number of revisions before the current one that are kept for a rollback. Defaults to
	// 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`
}

// FileText is the content of one of a Function's files.
//
// +kubebuilder:validation:MaxLength=921600
type FileText string

// CodeSource references the source text of a module. A change of the referenced ConfigMap creates a new revision.
//
// +kubebuilder:validation:ExactlyOneOf=configMapKeyRef;configMapRef
type CodeSource struct {
	// configMapKeyRef selects a key of a ConfigMap in the Function's namespace. Its value is the module.
	// +optional
	ConfigMapKeyRef *ConfigMapKeyRef `json:"configMapKeyRef,omitempty"`

	// configMapRef references a ConfigMap in the Function's namespace. Each key becomes a file in the directory of the
	// module. The key handler.py (handler.js for Node) is the module; it can import the others. A key cannot contain a
	// slash, so there are no subdirectories.
	// +optional
	ConfigMapRef *ConfigMapRef `json:"configMapRef,omitempty"`
}

// ConfigMapName returns the name of the referenced ConfigMap, whichever field references it.
func (s *CodeSource) ConfigMapName() string {
	switch {
	case s.ConfigMapRef != nil:
		return s.ConfigMapRef.Name
	case s.ConfigMapKeyRef != nil:
		return s.ConfigMapKeyRef.Name
	}
	return ""
}

// ConfigMapRef references a ConfigMap in the same namespace.
type ConfigMapRef struct {
	// name is the name of the ConfigMap.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// ConfigMapKeyRef selects a key of a ConfigMap in the same namespace.
type ConfigMapKeyRef struct {
	// name is the name of the ConfigMap.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key is the key of the ConfigMap whose value is used.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// RunPolicy configures how a Function runs. A field that a FunctionRun sets takes precedence over the same field of its
// Function.
type RunPolicy struct {
	// gpus is the number of GPUs of each worker. Defaults to 1 if the image requires a GPU, else to 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=64
	GPUs *int32 `json:"gpus,omitempty"`

	// gpuProducts restricts the workers to nodes with one of these GPU products, as the node label
	// nvidia.com/gpu.product names them. If empty, a FunctionRun uses the list of its Function; if that is empty too,
	// any node is allowed.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	GPUProducts []string `json:"gpuProducts,omitempty"`

	// workers is the maximum number of pods that execute inputs of a run at the same time. A run never has more workers
	// than inputs. Defaults to 8. The value of a FunctionRun can be changed while it runs.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Workers *int32 `json:"workers,omitempty"`

	// timeoutSeconds is the time limit of one input, in seconds. An input that exceeds it is stopped and gets the status
	// TimedOut. Defaults to 1800.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// batchSize is the maximum number of inputs that one call of the handler receives. If it is greater than 1, the
	// handler is called as handler(events) with a list of inputs, must return a list with one result per input in the
	// same order, and timeoutSeconds applies to the call. Defaults to 1, which calls handler(event).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	BatchSize *int32 `json:"batchSize,omitempty"`

	// retries is the number of additional attempts of an input after an exception. Defaults to 0. Attempts after the
	// crash of a worker's process are counted separately and have a small fixed limit.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Retries *int32 `json:"retries,omitempty"`

	// retryDelaySeconds is the delay before the second attempt of an input that raised an exception, in seconds. The
	// delay doubles with each further attempt, up to 300 seconds. 0 retries immediately. Defaults to 1. An input whose
	// process died is always retried immediately.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=300
	RetryDelaySeconds *int32 `json:"retryDelaySeconds,omitempty"`

	// nonRetryableErrors lists exception types that are not retried, regardless of retries. Each is the class name
	// without its module, as in the field error.type of an outcome, such as ValueError. If empty, a FunctionRun uses the
	// list of its Function.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	NonRetryableErrors []string `json:"nonRetryableErrors,omitempty"`

	// maxFailures is the number of inputs that may fail or time out before the run is ended. 0 ends the run with the
	// first of them. Inputs without an outcome then get the status Cancelled. If not set, all inputs are executed.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	MaxFailures *int32 `json:"maxFailures,omitempty"`

	// activeDeadlineSeconds is the time limit of the run, in seconds, from the start of its first Job. Inputs without an
	// outcome then get the status Cancelled. As with a Job, the time in which the run is suspended does not count, and
	// resuming the run restarts the limit. If not set, the run has no time limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=315360000
	ActiveDeadlineSeconds *int32 `json:"activeDeadlineSeconds,omitempty"`

	// priorityClassName is the PriorityClass of the workers' pods. The administrator must allow it with the manager's
	// flag --allowed-priority-classes. If not set, the cluster's default applies.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.priorityClassName must be the name of a PriorityClass (kubectl get priorityclasses)"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system-')",message="priority classes that begin with system- are reserved for system pods: choose another one, or omit spec.priorityClassName"
	PriorityClassName *string `json:"priorityClassName,omitempty"`

	// gpuResource is the extended resource that gpus counts, as the device plugin names it: nvidia.com/mig-1g.10gb,
	// nvidia.com/gpu.shared or amd.com/gpu. Defaults to the resource that the operator is configured with, which is
	// nvidia.com/gpu unless the administrator changes it.
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$') && !self.contains('kubernetes.io/')",message="spec.gpuResource must be an extended resource that includes the domain of its device plugin, such as nvidia.com/mig-1g.10gb"
	GPUResource *string `json:"gpuResource,omitempty"`

	// ttlSecondsAfterFinished is the number of seconds after which a finished run is deleted together with its outcomes.
	// If not set, finished runs are kept.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=315360000
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`

	// resultsTTLSecondsAfterFinished is the number of seconds after which the results of a finished run are deleted:
	// what its inputs returned, raised and printed. The run itself and the status, times and worker of each input are
	// kept. If not set, results are kept until the run is deleted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=315360000
	ResultsTTLSecondsAfterFinished *int32 `json:"resultsTTLSecondsAfterFinished,omitempty"`
}

// PodSettings are the settings of the workers' pods that users may change. It is an explicit list of allowed settings
// and not a PodSpec.
//
// +kubebuilder:validation:XValidation:rule="!has(self.sharedMemory) || !has(self.volumeMounts) || !self.volumeMounts.exists(m, m.mountPath.matches('^/([.]?/)*dev/([.]?/)*shm(/[.]?)*$'))",message="spec.pod.sharedMemory cannot be combined with a volume that spec.pod.volumeMounts mounts at /dev/shm: remove one of the two"
type PodSettings struct {
	// env lists additional environment variables of the handler. Names that begin with SHAREDCLOUD_ are reserved.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:XValidation:rule="self.all(e, !e.name.startsWith('SHAREDCLOUD_'))",message="spec.pod.env: names that begin with SHAREDCLOUD_ are reserved: choose another name"
	Env []EnvVar `json:"env,omitempty"`

	// volumes lists the volumes that volumeMounts can reference.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Volumes []Volume `json:"volumes,omitempty"`

	// volumeMounts lists the paths at which volumes are mounted for the handler.
	// +optional
	// +listType=map
	// +listMapKey=mountPath
	// +kubebuilder:validation:MaxItems=64
	VolumeMounts []VolumeMount `json:"volumeMounts,omitempty"`

	// nodeSelector lists labels that a node must have to run the workers.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	NodeSelector map[string]LabelValue `json:"nodeSelector,omitempty"`

	// tolerations allow the pods on nodes with matching taints. The administrator must allow tolerations of the
	// cluster's own taints (node-role.kubernetes.io/…) and tolerations without a key with the manager's flag
	// --allowed-tolerations.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []Toleration `json:"tolerations,omitempty"`

	// resources are the compute resources of the container, except GPUs, which spec.gpus sets. If CPU or memory is not
	// set, workers request the values of the manager's flags --default-cpu-request and --default-memory-request.
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// sharedMemory is the size of /dev/shm, such as 2Gi, in which processes exchange data: the workers of a DataLoader of
	// PyTorch, for example. It is a volume in memory, and what is stored in it counts towards the memory limit, which it
	// must not exceed. 0 leaves the /dev/shm of the container runtime, which usually has 64 MiB. If not set, workers with
	// GPUs get half of their memory limit or, without a limit, the value of the manager's flag
	// --default-memory-volume-size (1 GiB); workers without GPUs get the /dev/shm of the container runtime. It cannot be
	// combined with a volume of your own at /dev/shm.
	// +optional
	// +kubebuilder:validation:XValidation:rule="string(self).matches('^[+]?[0-9.]{1,28}([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$') && (quantity(string(self)).compareTo(quantity('0')) == 0 || quantity(string(self)).compareTo(quantity('1Mi')) >= 0 && quantity(string(self)).compareTo(quantity('1Pi')) <= 0)",message="spec.pod.sharedMemory must be 0, which leaves the /dev/shm of the container runtime, or between 1Mi and 1Pi, such as 2Gi"
	SharedMemory *Quantity `json:"sharedMemory,omitempty"`

	// runtimeClassName is the RuntimeClass of the pods. The administrator must allow it with the manager's flag
	// --allowed-runtime-classes.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	RuntimeClassName *string `json:"runtimeClassName,omitempty"`

	// runAsUser is the numeric user ID that the handler runs as. Defaults to 65532. 0 is root: the administrator must
	// allow it with the manager's flag --allow-root, and the Pod Security level of the namespace can still reject it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	RunAsUser *int64 `json:"runAsUser,omitempty"`
}

// LabelValue is the value of a label.
//
// +kubebuilder:validation:MaxLength=63
type LabelValue string

// ResourceList maps resource names to quantities.
type ResourceList map[corev1.ResourceName]Quantity

// Resources are the requests and limits of the container.
type Resources struct {
	// requests are the resources that the scheduler reserves for the container.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Requests ResourceList `json:"requests,omitempty"`

	// limits are the maximum resources that the container may use.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Limits ResourceList `json:"limits,omitempty"`
}

// Volume is a volume of one of the supported types. None of them gives access to the node's file system.
//
// +kubebuilder:validation:ExactlyOneOf=configMap;secret;emptyDir;persistentVolumeClaim
type Volume struct {
	// name identifies the volume in volumeMounts.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('sharedcloud-')",message="volume names that begin with sharedcloud- are reserved: choose another name"
	Name string `json:"name,omitempty"`

	// configMap is a ConfigMap in the same namespace. Each of its keys becomes a file.
	// +optional
	ConfigMap *NamedSource `json:"configMap,omitempty"`

	// secret is a Secret in the same namespace. Each of its keys becomes a file.
	// +optional
	Secret *NamedSource `json:"secret,omitempty"`

	// emptyDir is a temporary directory that is deleted together with the pod.
	// +optional
	EmptyDir *EmptyDir `json:"emptyDir,omitempty"`

	// persistentVolumeClaim is a PersistentVolumeClaim in the same namespace.
	// +optional
	PersistentVolumeClaim *ClaimSource `json:"persistentVolumeClaim,omitempty"`
}

// NamedSource references an object in the same namespace.
type NamedSource struct {
	// name is the name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// ClaimSource references a PersistentVolumeClaim in the same namespace.
type ClaimSource struct {
	// claimName is the name of the claim.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClaimName string `json:"claimName,omitempty"`

	// readOnly mounts the claim read-only. Defaults to false.
	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`
}

// EmptyDir is a temporary directory.
type EmptyDir struct {
	// medium is the storage medium: "" for the node's disk, or Memory. Defaults to "".
	// +optional
	// +kubebuilder:validation:Enum="";Memory
	// +kubebuilder:validation:MaxLength=16
	Medium string `json:"medium,omitempty"`

	// sizeLimitMiB is the maximum size in MiB. Defaults to the manager's flag --default-memory-volume-size (1 GiB) for
	// the medium Memory, and to --default-disk-volume-size (no limit) otherwise.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1073741824
	SizeLimitMiB *int64 `json:"sizeLimitMiB,omitempty"`
}

// VolumeMount mounts a volume into the container.
type VolumeMount struct {
	// name is the name of a volume in volumes.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// mountPath is an absolute path in the container. It must be outside /sharedcloud, /proc, /sys, /dev (except
	// /dev/shm) and /var/run/secrets.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[^:[:cntrl:]]*$')",message="mountPath must be an absolute path without ':'"
	// +kubebuilder:validation:XValidation:rule="!self.matches('/[.][.](/|$)')",message="mountPath must not contain '..': use the resolved path"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^/([.]?/)*([.]?$|(sharedcloud|proc|sys)(/|$)|(var/([.]?/)*)?run/([.]?/)*secrets(/|$))') && (!self.matches('^/([.]?/)*dev(/|$)') || self.matches('^/([.]?/)*dev/([.]?/)*shm(/|$)'))",message="mountPath must not be / and must be outside /sharedcloud (reserved), /proc, /sys, /dev (except /dev/shm) and /var/run/secrets: choose another path, such as /data"
	MountPath string `json:"mountPath,omitempty"`

	// subPath is a relative path in the volume that is mounted in place of its root.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.matches('^/|(^|/)[.][.](/|$)')",message="subPath must be relative and must not contain '..'"
	SubPath string `json:"subPath,omitempty"`

	// readOnly mounts the volume read-only. Defaults to false.
	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`
}

// FunctionStatus is the observed state of a Function.
type FunctionStatus struct {
	// observedGeneration is the generation of the spec that this status describes. It is -1 until the controller has
	// processed the Function.
	// +optional
	// +default=-1
	// +kubebuilder:validation:Minimum=-1
	// +kubebuilder:validation:Maximum=9007199254740991
	ObservedGeneration int64 `json:"observedGeneration"`

	// conditions are the current conditions of the Function: Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// revision is the revision that a new run executes.
	// +optional
	Revision *FunctionRevision `json:"revision,omitempty"`
}

// FunctionRevision identifies exactly what a run executes.
type FunctionRevision struct {
	// name is the name of the immutable ConfigMap that holds the code, the runner and the settings.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// digest is the SHA-256 of the ConfigMap's content and the Function's UID: "sha256:" and 64 hexadecimal digits. A
	// ConfigMap of the same name with different content is not executed.
	// +optional
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`

	// number is the revision's ordinal among the Function's revisions, starting at 1, in the order in which they became
	// current. A revision that becomes current again after a rollback gets a new number.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	Number int64 `json:"number,omitempty"`

	// generation is the generation of the Function that the revision was created from.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=9007199254740991
	Generation int64 `json:"generation,omitempty"`

	// registryPath is the OCI reference of the image.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	RegistryPath string `json:"registryPath,omitempty"`
}

// Function is code with a runtime and an image that runs over many inputs in parallel.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=fn,categories=sharedcloud
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must be no more than 63 characters, because it is used as a label value"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Runtime",type=string,JSONPath=`.spec.runtime`
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.image`
// +kubebuilder:printcolumn:name="Revision",type=integer,JSONPath=`.status.revision.number`
// +kubebuilder:printcolumn:name="Name",type=string,JSONPath=`.spec.name`,priority=1
// +kubebuilder:printcolumn:name="Revision Name",type=string,JSONPath=`.status.revision.name`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Function struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the desired state of the Function.
	// +required
	Spec FunctionSpec `json:"spec,omitzero"`

	// status is the observed state of the Function.
	// +optional
	// +default={"observedGeneration": -1}
	Status FunctionStatus `json:"status,omitzero"`
}

// FunctionList is a list of Functions.
//
// +kubebuilder:object:root=true
type FunctionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Function `json:"items"`
}
