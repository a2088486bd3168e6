package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FunctionSpec is what a person writes: the code, what it needs, and how it runs.
//
// +kubebuilder:validation:XValidation:rule="has(self.code) != has(self.codeFrom)",message="exactly one of spec.code and spec.codeFrom must be set: put the text into spec.code, or name a ConfigMap's key in spec.codeFrom.configMapKeyRef"
// +kubebuilder:validation:XValidation:rule="!has(self.files) || has(self.code)",message="spec.files goes with spec.code: files beside code that is in a ConfigMap belong into that ConfigMap, which spec.codeFrom.configMapRef names"
type FunctionSpec struct {
	// name is the display name: free text that need not be unique. Defaults to metadata.name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name,omitempty"`

	// runtime says which language and version runs the code: python27, python36, python311, node8, node20 and so on.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z]+[0-9]+$`
	Runtime string `json:"runtime,omitempty"`

	// image is the name of a FunctionImage in this namespace or in the catalogue's; the nearer one wins.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="spec.image must be the name of a FunctionImage (lower case letters, digits and '-'), not the path of an image in a registry"
	Image string `json:"image,omitempty"`

	// code is the whole text of the module. It must define handler(event). Exactly one of code and codeFrom is set.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=921600
	Code *string `json:"code,omitempty"`

	// files are further files beside code, by their names: modules that it imports, data that it reads. They lie in the same
	// folder. Names are those that keys of a ConfigMap may have, so there are no subfolders; handler.py (handler.js) is
	// code's own, runner.py (runner.js) and revision.json are the operator's.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=64
	Files map[string]FileText `json:"files,omitempty"`

	// codeFrom names where the text of the module is kept, so that a Git repository can hold a real source file.
	// +optional
	CodeFrom *CodeSource `json:"codeFrom,omitempty"`

	RunPolicy `json:",inline"`

	// pod is the part of the workers' pods that a user may set.
	// +optional
	Pod *PodSettings `json:"pod,omitempty"`

	// revisionHistoryLimit is how many revisions before the current one are kept to go back to. Default 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`
}

// FileText is the text of one of a Function's files.
//
// +kubebuilder:validation:MaxLength=921600
type FileText string

// CodeSource names where the text of a module is kept. A change of it makes a new revision.
//
// +kubebuilder:validation:ExactlyOneOf=configMapKeyRef;configMapRef
type CodeSource struct {
	// configMapKeyRef is a key of a ConfigMap in the Function's namespace: the module alone.
	// +optional
	ConfigMapKeyRef *ConfigMapKeyRef `json:"configMapKeyRef,omitempty"`

	// configMapRef is a ConfigMap in the Function's namespace, all of whose keys become files in the folder of the module:
	// handler.py (handler.js for Node) is the module, which imports the others. Keys have no slashes, so there are no subfolders.
	// +optional
	ConfigMapRef *ConfigMapRef `json:"configMapRef,omitempty"`
}

// ConfigMapName is the ConfigMap that is named in either way.
func (s *CodeSource) ConfigMapName() string {
	switch {
	case s.ConfigMapRef != nil:
		return s.ConfigMapRef.Name
	case s.ConfigMapKeyRef != nil:
		return s.ConfigMapKeyRef.Name
	}
	return ""
}

// ConfigMapRef names a ConfigMap of the same namespace.
type ConfigMapRef struct {
	// name of the ConfigMap.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// ConfigMapKeyRef names a key of a ConfigMap in the same namespace.
type ConfigMapKeyRef struct {
	// name of the ConfigMap.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key of the ConfigMap that holds the text.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// RunPolicy is how a function runs. A FunctionRun may say otherwise for itself.
type RunPolicy struct {
	// gpus is how many GPUs each worker gets. Default 1 where the image requires a GPU, else 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=64
	GPUs *int32 `json:"gpus,omitempty"`

	// gpuProducts are GPU products as nodes name them in the label nvidia.com/gpu.product: a worker's node must have one of
	// them. Empty: what the Function says, and any node where that says nothing either.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	GPUProducts []string `json:"gpuProducts,omitempty"`

	// workers is the most pods that work at a run at the same time; there are never more than inputs. Default 8. That of a
	// FunctionRun may be changed while it runs.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Workers *int32 `json:"workers,omitempty"`

	// timeoutSeconds is the time limit of one input in seconds; one that takes longer is ended and TimedOut. Default 1800.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// batchSize is how many inputs one call of the handler gets, at most: above 1 it is called as handler(events) with a list
	// of inputs, and returns a list with one result for each, in their order. timeoutSeconds is then for a call. Default 1:
	// handler(event).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	BatchSize *int32 `json:"batchSize,omitempty"`

	// retries is how many further attempts an input gets after an exception. Default 0. A crash of the process has a small
	// budget of its own.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Retries *int32 `json:"retries,omitempty"`

	// retryDelaySeconds is how long an input that raised waits before its second attempt. The wait doubles with each further
	// one, up to 300 seconds. Default 1; 0 is at once. An input whose process died is tried again at once in any case.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=300
	RetryDelaySeconds *int32 `json:"retryDelaySeconds,omitempty"`

	// nonRetryableErrors are types of exceptions after which an input gets no further attempt, whatever retries says: the
	// name of the class alone, as the outcome's error.type has it (ValueError). Empty: what the Function says.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	NonRetryableErrors []string `json:"nonRetryableErrors,omitempty"`

	// maxFailures ends the run when more inputs than this have failed or timed out: 0 ends it with the first. What has no
	// outcome then becomes Cancelled. By default a run goes on to its last input.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	MaxFailures *int32 `json:"maxFailures,omitempty"`

	// activeDeadlineSeconds is the time limit of the whole run, from the start of its first Job; what has no outcome then
	// becomes Cancelled. As with a Job, the time while the run is suspended does not count, and a run that is resumed has the
	// whole of it again. By default there is none.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=315360000
	ActiveDeadlineSeconds *int32 `json:"activeDeadlineSeconds,omitempty"`

	// priorityClassName of the workers' pods: a PriorityClass that the administrator allows (the manager's flag
	// --allowed-priority-classes).
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.priorityClassName must be the name of a PriorityClass (kubectl get priorityclasses)"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system-')",message="priority classes that begin with system- are for the cluster's own pods: choose another one, or leave spec.priorityClassName out"
	PriorityClassName *string `json:"priorityClassName,omitempty"`

	// gpuResource is the extended resource that gpus counts, as device plugins name it: nvidia.com/mig-1g.10gb,
	// nvidia.com/gpu.shared, amd.com/gpu. Default: what the operator was started with, nvidia.com/gpu.
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$') && !self.contains('kubernetes.io/')",message="spec.gpuResource must be an extended resource with the domain of its device plugin, such as nvidia.com/mig-1g.10gb"
	GPUResource *string `json:"gpuResource,omitempty"`

	// ttlSecondsAfterFinished is how many seconds after its end a run is deleted, its outcomes with it. By default a
	// finished run stays.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=315360000
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`

	// resultsTTLSecondsAfterFinished is how many seconds after its end the results of a run are deleted: what its inputs
	// returned, raised and printed. The run stays, and so do the status, the times and the worker of each input. By default
	// results stay as long as their run.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=315360000
	ResultsTTLSecondsAfterFinished *int32 `json:"resultsTTLSecondsAfterFinished,omitempty"`
}

// PodSettings is the part of the workers' pods that a user may set: a list of what is allowed, never a PodSpec.
type PodSettings struct {
	// env is added to the environment of the handler. Names that begin with SHAREDCLOUD_ are the operator's.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:XValidation:rule="self.all(e, !e.name.startsWith('SHAREDCLOUD_'))",message="spec.pod.env: names that begin with SHAREDCLOUD_ are the operator's own: choose another name"
	Env []EnvVar `json:"env,omitempty"`

	// volumes that volumeMounts may name.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Volumes []Volume `json:"volumes,omitempty"`

	// volumeMounts says where the volumes are seen by the handler.
	// +optional
	// +listType=map
	// +listMapKey=mountPath
	// +kubebuilder:validation:MaxItems=64
	VolumeMounts []VolumeMount `json:"volumeMounts,omitempty"`

	// nodeSelector holds labels that a node must have.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	NodeSelector map[string]LabelValue `json:"nodeSelector,omitempty"`

	// tolerations let the pods onto nodes with these taints. Tolerations of the cluster's own taints (node-role.kubernetes.io/…), and
	// those without a key, must be allowed by the administrator (the manager's flag --allowed-tolerations).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []Toleration `json:"tolerations,omitempty"`

	// resources of the container, GPUs apart (spec.gpus). Where they say nothing of CPU and memory, workers request what the
	// manager's flags --default-cpu-request and --default-memory-request say.
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// runtimeClassName of the pods: a RuntimeClass that the administrator allows (the manager's flag --allowed-runtime-classes).
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	RuntimeClassName *string `json:"runtimeClassName,omitempty"`

	// runAsUser is the numeric user that the handler runs as. Default 65532. 0 is root, which the
	// administrator must allow (the manager's flag --allow-root), and which a namespace may refuse.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	RunAsUser *int64 `json:"runAsUser,omitempty"`
}

// LabelValue is the value of a label.
//
// +kubebuilder:validation:MaxLength=63
type LabelValue string

// ResourceList are amounts of resources by the resources' names.
type ResourceList map[corev1.ResourceName]Quantity

// Resources are requests and limits of the container.
type Resources struct {
	// requests is what a node must have free.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Requests ResourceList `json:"requests,omitempty"`

	// limits is what the container may use at most.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Limits ResourceList `json:"limits,omitempty"`
}

// Volume is a volume of a kind that opens nothing of the node.
//
// +kubebuilder:validation:ExactlyOneOf=configMap;secret;emptyDir;persistentVolumeClaim
type Volume struct {
	// name that volumeMounts use.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('sharedcloud-')",message="names of volumes that begin with sharedcloud- are the operator's own: choose another name"
	Name string `json:"name,omitempty"`

	// configMap whose keys become files.
	// +optional
	ConfigMap *NamedSource `json:"configMap,omitempty"`

	// secret whose keys become files.
	// +optional
	Secret *NamedSource `json:"secret,omitempty"`

	// emptyDir is scratch space that lives as long as the pod.
	// +optional
	EmptyDir *EmptyDir `json:"emptyDir,omitempty"`

	// persistentVolumeClaim is a claim in the same namespace.
	// +optional
	PersistentVolumeClaim *ClaimSource `json:"persistentVolumeClaim,omitempty"`
}

// NamedSource names an object of the same namespace.
type NamedSource struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// ClaimSource names a PersistentVolumeClaim of the same namespace.
type ClaimSource struct {
	// claimName is the name of the claim.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClaimName string `json:"claimName,omitempty"`

	// readOnly mounts it so that nothing can be written.
	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`
}

// EmptyDir is scratch space.
type EmptyDir struct {
	// medium is "" for the node's disk or Memory.
	// +optional
	// +kubebuilder:validation:Enum="";Memory
	// +kubebuilder:validation:MaxLength=16
	Medium string `json:"medium,omitempty"`

	// sizeLimitMiB is the most it may hold, in MiB. Default: what the manager's flags --default-memory-volume-size (1 GiB) and
	// --default-disk-volume-size (none) say.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1073741824
	SizeLimitMiB *int64 `json:"sizeLimitMiB,omitempty"`
}

// VolumeMount says where a volume is seen.
type VolumeMount struct {
	// name of the volume.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// mountPath is an absolute path in the container, outside /sharedcloud, /proc, /sys, /dev (but for /dev/shm) and
	// /var/run/secrets.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[^:[:cntrl:]]*$')",message="mountPath must be absolute and have no ':'"
	// +kubebuilder:validation:XValidation:rule="!self.matches('/[.][.](/|$)')",message="mountPath must not contain '..': write the path that is meant"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^/([.]?/)*([.]?$|(sharedcloud|proc|sys)(/|$)|(var/([.]?/)*)?run/([.]?/)*secrets(/|$))') && (!self.matches('^/([.]?/)*dev(/|$)') || self.matches('^/([.]?/)*dev/([.]?/)*shm(/|$)'))",message="mountPath must be outside /sharedcloud, which is the operator's own, and not /, nor in /proc, /sys, /dev (but for /dev/shm) or /var/run/secrets: choose another path, such as /data"
	MountPath string `json:"mountPath,omitempty"`

	// subPath is a path inside the volume.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.matches('^/|(^|/)[.][.](/|$)')",message="subPath must be relative and must not contain '..'"
	SubPath string `json:"subPath,omitempty"`

	// readOnly mounts it so that nothing can be written.
	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`
}

// FunctionStatus is what the controller found.
type FunctionStatus struct {
	// observedGeneration is the generation of spec that this status speaks of; -1 before the first.
	// +optional
	// +default=-1
	// +kubebuilder:validation:Minimum=-1
	// +kubebuilder:validation:Maximum=9007199254740991
	ObservedGeneration int64 `json:"observedGeneration"`

	// conditions are Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// revision is what a run made now would execute.
	// +optional
	Revision *FunctionRevision `json:"revision,omitempty"`
}

// FunctionRevision names what exactly is executed.
type FunctionRevision struct {
	// name of the immutable ConfigMap that holds code, runner and settings.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// digest of the ConfigMap's content and the Function's uid: "sha256:" and 64 hexadecimal digits. A ConfigMap of that name with
	// another content is not executed.
	// +optional
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`

	// number counts the Function's revisions from 1, in the order in which they became the present one: what a revision has
	// that is gone back to is a new number.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	Number int64 `json:"number,omitempty"`

	// generation of the Function that it was made from.
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

// Function is code with a runtime and an image, to be run over many inputs at once.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=fn,categories=sharedcloud
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must be no more than 63 characters: it becomes a label"
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

	// spec is what a person writes.
	// +required
	Spec FunctionSpec `json:"spec,omitzero"`

	// status is what the controller found.
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
