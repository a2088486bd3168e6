package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Input is one input of a run: a list of JSON values that the handler receives as event.
//
// +kubebuilder:validation:MaxItems=1000000
type Input []apiextensionsv1.JSON

// FunctionRunSpec describes one call of a Function over its inputs. All fields are immutable except suspend, cancel,
// workers, ttlSecondsAfterFinished and resultsTTLSecondsAfterFinished.
//
// The rules for parameters are in the ValidatingAdmissionPolicy functionrun-parameters, because CEL rules in a schema
// cannot access lists whose items have no type.
//
// +kubebuilder:validation:XValidation:rule="self.functionRef == oldSelf.functionRef",message="spec.functionRef is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.parametersLiteral) == has(oldSelf.parametersLiteral) && (!has(self.parametersLiteral) || self.parametersLiteral == oldSelf.parametersLiteral)",message="spec.parametersLiteral is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.parametersFrom) == has(oldSelf.parametersFrom) && (!has(self.parametersFrom) || self.parametersFrom == oldSelf.parametersFrom)",message="spec.parametersFrom is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.gpus) == has(oldSelf.gpus) && (!has(self.gpus) || self.gpus == oldSelf.gpus)",message="spec.gpus is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.gpuProducts) == has(oldSelf.gpuProducts) && (!has(self.gpuProducts) || self.gpuProducts == oldSelf.gpuProducts)",message="spec.gpuProducts is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.timeoutSeconds) == has(oldSelf.timeoutSeconds) && (!has(self.timeoutSeconds) || self.timeoutSeconds == oldSelf.timeoutSeconds)",message="spec.timeoutSeconds is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.batchSize) == has(oldSelf.batchSize) && (!has(self.batchSize) || self.batchSize == oldSelf.batchSize)",message="spec.batchSize is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.retries) == has(oldSelf.retries) && (!has(self.retries) || self.retries == oldSelf.retries)",message="spec.retries is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.retryDelaySeconds) == has(oldSelf.retryDelaySeconds) && (!has(self.retryDelaySeconds) || self.retryDelaySeconds == oldSelf.retryDelaySeconds)",message="spec.retryDelaySeconds is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.nonRetryableErrors) == has(oldSelf.nonRetryableErrors) && (!has(self.nonRetryableErrors) || self.nonRetryableErrors == oldSelf.nonRetryableErrors)",message="spec.nonRetryableErrors is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.maxFailures) == has(oldSelf.maxFailures) && (!has(self.maxFailures) || self.maxFailures == oldSelf.maxFailures)",message="spec.maxFailures is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.activeDeadlineSeconds) == has(oldSelf.activeDeadlineSeconds) && (!has(self.activeDeadlineSeconds) || self.activeDeadlineSeconds == oldSelf.activeDeadlineSeconds)",message="spec.activeDeadlineSeconds is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.priorityClassName) == has(oldSelf.priorityClassName) && (!has(self.priorityClassName) || self.priorityClassName == oldSelf.priorityClassName)",message="spec.priorityClassName is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.gpuResource) == has(oldSelf.gpuResource) && (!has(self.gpuResource) || self.gpuResource == oldSelf.gpuResource)",message="spec.gpuResource is immutable: create a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",message="spec.cancel cannot be changed back to false: create a new FunctionRun"
type FunctionRunSpec struct {
	// functionRef references the Function in the run's namespace. The run pins the Function's current revision when it
	// starts. Immutable.
	// +required
	FunctionRef FunctionReference `json:"functionRef,omitzero"`

	// parameters is a list of inputs. Each input is a list of JSON values. Set exactly one of parameters,
	// parametersLiteral and parametersFrom. Immutable.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000000
	Parameters []Input `json:"parameters,omitempty"`

	// parametersLiteral is the text of a Python tuple of tuples, "((1, 2), (3, 4))"; each inner tuple is one input. It
	// is stored as written and is the only form that preserves tuples, bytes and integers of any size. Set exactly one
	// of parameters, parametersLiteral and parametersFrom. Immutable.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1400000
	ParametersLiteral *string `json:"parametersLiteral,omitempty"`

	// parametersFrom references inputs that are stored outside the run, for more inputs than an object can hold. Set
	// exactly one of parameters, parametersLiteral and parametersFrom. Immutable.
	// +optional
	ParametersFrom *ParametersSource `json:"parametersFrom,omitempty"`

	RunPolicy `json:",inline"`

	// suspend stops the run's workers until it is set to false. Inputs with an outcome keep it. Defaults to false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// cancel ends the run. Inputs without an outcome get the status Cancelled. Once true, it cannot be changed. Defaults
	// to false.
	// +optional
	Cancel bool `json:"cancel,omitempty"`
}

// ParametersFormat is the text format of inputs.
//
// +kubebuilder:validation:Enum=JSON;NDJSON;CSV;Python
type ParametersFormat string

// The formats of a text with inputs.
const (
	// FormatJSON is one JSON array of inputs. An element that is not an array is an input of one value.
	FormatJSON ParametersFormat = "JSON"
	// FormatNDJSON is one JSON value per line; each is an input.
	FormatNDJSON ParametersFormat = "NDJSON"
	// FormatCSV is one input per row; its values are strings.
	FormatCSV ParametersFormat = "CSV"
	// FormatPython is a Python tuple of tuples.
	FormatPython ParametersFormat = "Python"
)

// ParametersSource references the inputs of a run.
//
// +kubebuilder:validation:ExactlyOneOf=configMapKeyRef;upload
type ParametersSource struct {
	// configMapKeyRef selects a key of a ConfigMap in the run's namespace. Its value is copied when the run starts;
	// later changes of the ConfigMap do not affect the run.
	// +optional
	ConfigMapKeyRef *ConfigMapKeyRef `json:"configMapKeyRef,omitempty"`

	// format is the format of the text that configMapKeyRef selects. Defaults to the format of the key's extension:
	// .json, .ndjson, .jsonl, .csv or .py. Without such an extension it defaults to Python if the text begins with "(",
	// else to JSON.
	// +optional
	Format ParametersFormat `json:"format,omitempty"`

	// upload references inputs that were uploaded to this namespace with functions/run of subresources.sharedcloud.io.
	// +optional
	Upload *UploadReference `json:"upload,omitempty"`
}

// UploadReference references inputs in the outcome store.
type UploadReference struct {
	// digest is the digest of the inputs: "sha256:" and 64 hexadecimal digits. It is valid only in the namespace that
	// the inputs were uploaded to.
	// +required
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`

	// count is the number of inputs in the upload.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000000
	Count int32 `json:"count,omitempty"`
}

// FunctionReference references a Function in the same namespace.
type FunctionReference struct {
	// name is the name of the Function.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
}

// FunctionRunStatus is the observed state of a FunctionRun. It does not contain results: read them from the subresource
// functionruns/results of subresources.sharedcloud.io.
type FunctionRunStatus struct {
	// observedGeneration is the generation of the spec that this status describes. It is -1 until the controller has
	// processed the run.
	// +optional
	// +default=-1
	// +kubebuilder:validation:Minimum=-1
	// +kubebuilder:validation:Maximum=9007199254740991
	ObservedGeneration int64 `json:"observedGeneration"`

	// conditions are the current conditions of the run. Ready, Reconciling and Stalled follow the kstatus conventions
	// for tools; Complete, Failed, Finished, Suspended and Ending describe the run's lifecycle.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// revision is what this run executes. It is set before the first Job is created and does not change afterwards.
	// +optional
	Revision *PinnedRevision `json:"revision,omitempty"`

	// job is the latest Job of the run.
	// +optional
	Job *JobReference `json:"job,omitempty"`

	// workers is the number of workers of the run's Job: the smaller of the number of inputs and the current
	// spec.workers.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Workers int32 `json:"workers,omitempty"`

	// imageDigest is the digest of the image that the workers run, as the first pod reported it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	ImageDigest string `json:"imageDigest,omitempty"`

	// startTime is the time at which the first Job was created.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// completionTime is the time at which the run became Complete or Failed.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// progress counts the run's inputs by state. Only the API server writes it, from the outcome store.
	// +optional
	Progress *RunProgress `json:"progress,omitempty"`
}

// PinnedRevision is the revision of a run together with the settings it runs with, determined once when the run starts.
type PinnedRevision struct {
	// name is the name of the immutable ConfigMap that holds the code, the runner and the settings.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// digest is the SHA-256 of the ConfigMap's content and the Function's UID: "sha256:" and 64 hexadecimal digits. A
	// ConfigMap of the same name with different content is not executed. It is absent on runs that were pinned before
	// digests were recorded.
	// +optional
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`

	// functionUID is the UID of the Function that the revision was created from.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	FunctionUID types.UID `json:"functionUID"`

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

	// inputsConfigMap is the name of the immutable ConfigMap that holds the run's copy of the value that
	// spec.parametersFrom.configMapKeyRef selects. It is absent if the inputs come from another source.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	InputsConfigMap string `json:"inputsConfigMap,omitempty"`

	// inputsDigest is the SHA-256 of the content of inputsConfigMap and the run's UID: "sha256:" and 64 hexadecimal
	// digits. A ConfigMap of the same name with different content is not read.
	// +optional
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	InputsDigest string `json:"inputsDigest,omitempty"`

	// inputCount is the number of inputs of the run.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	InputCount int32 `json:"inputCount"`

	// workers is the number of workers that the run started with: the smaller of the number of inputs and the workers
	// requested at that time.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Workers int32 `json:"workers"`

	// gpus is the number of GPUs of each worker.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=64
	GPUs int32 `json:"gpus"`

	// gpuProducts restricts the workers to nodes with one of these GPU products. If empty, any node is allowed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	GPUProducts []string `json:"gpuProducts,omitempty"`

	// timeoutSeconds is the time limit of one input, in seconds.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// batchSize is the maximum number of inputs that one call of the handler receives. Absent means 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	BatchSize int32 `json:"batchSize,omitempty"`

	// retries is the number of additional attempts of an input after an exception.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Retries int32 `json:"retries"`

	// retryDelaySeconds is the delay before the second attempt of an input that raised an exception, in seconds. The
	// delay doubles with each further attempt. Absent means 1.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=300
	RetryDelaySeconds *int32 `json:"retryDelaySeconds,omitempty"`

	// nonRetryableErrors lists exception types that are not retried.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	NonRetryableErrors []string `json:"nonRetryableErrors,omitempty"`

	// maxFailures is the number of inputs that may fail or time out before the run is ended. If absent, all inputs are
	// executed.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	MaxFailures *int32 `json:"maxFailures,omitempty"`

	// activeDeadlineSeconds is the time limit of the run, in seconds. If absent, the run has no time limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	ActiveDeadlineSeconds *int32 `json:"activeDeadlineSeconds,omitempty"`

	// ttlSecondsAfterFinished is the value of the Function. The field of the same name in the run's spec takes
	// precedence.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`

	// resultsTTLSecondsAfterFinished is the value of the Function. The field of the same name in the run's spec takes
	// precedence.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	ResultsTTLSecondsAfterFinished *int32 `json:"resultsTTLSecondsAfterFinished,omitempty"`

	// priorityClassName is the PriorityClass of the workers' pods.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// gpuResource is the extended resource that gpus counts. If empty, the resource in the revision's settings applies.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	GPUResource string `json:"gpuResource,omitempty"`
}

// JobReference references a Job of a run.
type JobReference struct {
	// name is the name of the Job.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// number is the Job's ordinal among the Jobs of the run, starting at 1. A Job that was deleted manually or by a
	// suspension is followed by the next one.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	Number int32 `json:"number,omitempty"`

	// uid is the UID of the Job. It is empty until the controller has observed the Job, which distinguishes a Job that
	// is not created yet from a deleted one.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	UID types.UID `json:"uid,omitempty"`
}

// RunProgress counts the inputs of a run by state, as recorded in the outcome store: total = pending + running +
// succeeded + failed + timedOut + cancelled.
type RunProgress struct {
	// total is the number of inputs of the run.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Total int32 `json:"total"`

	// pending is the number of inputs that wait for execution.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Pending int32 `json:"pending"`

	// running is the number of inputs that are being executed.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Running int32 `json:"running"`

	// succeeded is the number of inputs with a result.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Succeeded int32 `json:"succeeded"`

	// failed is the number of inputs that raised an exception or whose process died.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Failed int32 `json:"failed"`

	// timedOut is the number of inputs that exceeded their time limit.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	TimedOut int32 `json:"timedOut"`

	// cancelled is the number of inputs that had no outcome when the run was ended.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Cancelled int32 `json:"cancelled"`

	// failedIndexes lists the indexes of the inputs that did not succeed, as compressed ranges: "0-3,7". It is truncated
	// to 4 KiB and then ends with "…".
	// +optional
	// +kubebuilder:validation:MaxLength=4200
	FailedIndexes string `json:"failedIndexes,omitempty"`

	// gpuSeconds is the GPU time of the run, in seconds: for each worker, the time from its first to its last call of
	// the work exchange, multiplied by its number of GPUs.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	GPUSeconds int64 `json:"gpuSeconds,omitempty"`

	// workers is the number of workers that currently hold a lease.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Workers int32 `json:"workers,omitempty"`

	// message describes a current problem, such as a module that cannot be loaded or workers that die. It is empty if
	// there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`

	// closed is true once every input has an outcome. Afterwards only resultsDeleted changes.
	// +optional
	Closed bool `json:"closed,omitempty"`

	// reason is set if the run was closed before every input was executed: ModuleNotLoaded, WorkersDied,
	// MaxFailuresExceeded, or the reason of the Ending condition.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`

	// resultsDeleted is true once the results of the run are deleted according to resultsTTLSecondsAfterFinished.
	// +optional
	ResultsDeleted bool `json:"resultsDeleted,omitempty"`
}

// FunctionRun is one call of a Function over a number of inputs.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=fnrun,categories=sharedcloud
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must be no more than 63 characters, because it is used as a label value"
// +kubebuilder:selectablefield:JSONPath=`.spec.functionRef.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Function",type=string,JSONPath=`.spec.functionRef.name`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Total",type=integer,JSONPath=`.status.progress.total`
// +kubebuilder:printcolumn:name="Succeeded",type=integer,JSONPath=`.status.progress.succeeded`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.progress.failed`
// +kubebuilder:printcolumn:name="Workers",type=integer,JSONPath=`.status.workers`,priority=1
// +kubebuilder:printcolumn:name="Running",type=integer,JSONPath=`.status.progress.running`,priority=1
// +kubebuilder:printcolumn:name="Timed Out",type=integer,JSONPath=`.status.progress.timedOut`,priority=1
// +kubebuilder:printcolumn:name="Cancelled",type=integer,JSONPath=`.status.progress.cancelled`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type FunctionRun struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec describes the call: the Function, its inputs and how they are executed.
	// +required
	Spec FunctionRunSpec `json:"spec,omitzero"`

	// status is the observed state of the run.
	// +optional
	// +default={"observedGeneration": -1}
	Status FunctionRunStatus `json:"status,omitzero"`
}

// FunctionRunList is a list of FunctionRuns.
//
// +kubebuilder:object:root=true
type FunctionRunList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []FunctionRun `json:"items"`
}
