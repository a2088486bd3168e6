package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Input is one input: a list of JSON values, which the handler gets as event.
//
// +kubebuilder:validation:MaxItems=1000000
type Input []apiextensionsv1.JSON

// FunctionRunSpec is one call of a function over n inputs. All but suspend, cancel, workers, ttlSecondsAfterFinished and
// resultsTTLSecondsAfterFinished is immutable: what a run executes never changes under it.
//
// The rules for parameters are the ValidatingAdmissionPolicy functionrun-parameters: CEL in a schema cannot see lists
// whose items have no type.
//
// +kubebuilder:validation:XValidation:rule="self.functionRef == oldSelf.functionRef",message="spec.functionRef is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.parametersLiteral) == has(oldSelf.parametersLiteral) && (!has(self.parametersLiteral) || self.parametersLiteral == oldSelf.parametersLiteral)",message="spec.parametersLiteral is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.parametersFrom) == has(oldSelf.parametersFrom) && (!has(self.parametersFrom) || self.parametersFrom == oldSelf.parametersFrom)",message="spec.parametersFrom is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.gpus) == has(oldSelf.gpus) && (!has(self.gpus) || self.gpus == oldSelf.gpus)",message="spec.gpus is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.gpuProducts) == has(oldSelf.gpuProducts) && (!has(self.gpuProducts) || self.gpuProducts == oldSelf.gpuProducts)",message="spec.gpuProducts is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.timeoutSeconds) == has(oldSelf.timeoutSeconds) && (!has(self.timeoutSeconds) || self.timeoutSeconds == oldSelf.timeoutSeconds)",message="spec.timeoutSeconds is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.batchSize) == has(oldSelf.batchSize) && (!has(self.batchSize) || self.batchSize == oldSelf.batchSize)",message="spec.batchSize is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.retries) == has(oldSelf.retries) && (!has(self.retries) || self.retries == oldSelf.retries)",message="spec.retries is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.retryDelaySeconds) == has(oldSelf.retryDelaySeconds) && (!has(self.retryDelaySeconds) || self.retryDelaySeconds == oldSelf.retryDelaySeconds)",message="spec.retryDelaySeconds is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.nonRetryableErrors) == has(oldSelf.nonRetryableErrors) && (!has(self.nonRetryableErrors) || self.nonRetryableErrors == oldSelf.nonRetryableErrors)",message="spec.nonRetryableErrors is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.maxFailures) == has(oldSelf.maxFailures) && (!has(self.maxFailures) || self.maxFailures == oldSelf.maxFailures)",message="spec.maxFailures is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.activeDeadlineSeconds) == has(oldSelf.activeDeadlineSeconds) && (!has(self.activeDeadlineSeconds) || self.activeDeadlineSeconds == oldSelf.activeDeadlineSeconds)",message="spec.activeDeadlineSeconds is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.priorityClassName) == has(oldSelf.priorityClassName) && (!has(self.priorityClassName) || self.priorityClassName == oldSelf.priorityClassName)",message="spec.priorityClassName is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="has(self.gpuResource) == has(oldSelf.gpuResource) && (!has(self.gpuResource) || self.gpuResource == oldSelf.gpuResource)",message="spec.gpuResource is immutable: make a new FunctionRun"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",message="spec.cancel cannot be taken back: make a new FunctionRun"
type FunctionRunSpec struct {
	// functionRef names the Function, in the run's namespace. The run pins the Function's revision when it starts.
	// +required
	FunctionRef FunctionReference `json:"functionRef,omitzero"`

	// parameters is a list of inputs, each a list of JSON values. Exactly one of parameters, parametersLiteral and
	// parametersFrom is set.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000000
	Parameters []Input `json:"parameters,omitempty"`

	// parametersLiteral is the text of a Python tuple of tuples, kept as written: "((1, 2), (3, 4))". It is the only form
	// that keeps tuples, bytes and integers of any size what they are.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1400000
	ParametersLiteral *string `json:"parametersLiteral,omitempty"`

	// parametersFrom names where the inputs are kept, for more of them than an object can hold.
	// +optional
	ParametersFrom *ParametersSource `json:"parametersFrom,omitempty"`

	RunPolicy `json:",inline"`

	// suspend asks for no workers until it is false again. What has an outcome keeps it.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// cancel ends the run: what has no outcome yet becomes Cancelled. It cannot be taken back.
	// +optional
	Cancel bool `json:"cancel,omitempty"`
}

// ParametersFormat is how inputs are written as a text.
//
// +kubebuilder:validation:Enum=JSON;NDJSON;CSV;Python
type ParametersFormat string

// The formats of a text with inputs.
const (
	// FormatJSON is one array of inputs. An element that is not an array is an input of one value.
	FormatJSON ParametersFormat = "JSON"
	// FormatNDJSON is one input a line.
	FormatNDJSON ParametersFormat = "NDJSON"
	// FormatCSV is one input a row, of strings.
	FormatCSV ParametersFormat = "CSV"
	// FormatPython is a Python tuple of tuples.
	FormatPython ParametersFormat = "Python"
)

// ParametersSource names where a run's inputs are kept.
//
// +kubebuilder:validation:ExactlyOneOf=configMapKeyRef;upload
type ParametersSource struct {
	// configMapKeyRef is a key of a ConfigMap in the run's namespace. What it holds when the run is pinned is copied: a
	// later change of it changes nothing.
	// +optional
	ConfigMapKeyRef *ConfigMapKeyRef `json:"configMapKeyRef,omitempty"`

	// format is how the text under configMapKeyRef is to be read. By default the end of the key says so (.json, .ndjson,
	// .jsonl, .csv, .py); a key without any is Python where the text begins with "(", else JSON.
	// +optional
	Format ParametersFormat `json:"format,omitempty"`

	// upload is what functions/run of subresources.sharedcloud.io has stored in this namespace.
	// +optional
	Upload *UploadReference `json:"upload,omitempty"`
}

// UploadReference names inputs that the outcome store holds.
type UploadReference struct {
	// digest of the inputs: "sha256:" and 64 hexadecimal digits. It opens nothing in another namespace.
	// +required
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`

	// count is how many inputs the upload has.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000000
	Count int32 `json:"count,omitempty"`
}

// FunctionReference names a Function of the same namespace.
type FunctionReference struct {
	// name of the Function.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
}

// FunctionRunStatus is what became of the run. Results are not here: the subresource functionruns/results of
// subresources.sharedcloud.io has them.
type FunctionRunStatus struct {
	// observedGeneration is the generation of spec that this status speaks of; -1 before the first.
	// +optional
	// +default=-1
	// +kubebuilder:validation:Minimum=-1
	// +kubebuilder:validation:Maximum=9007199254740991
	ObservedGeneration int64 `json:"observedGeneration"`

	// conditions are Ready, Reconciling and Stalled for tools; Complete, Failed, Finished, Suspended and Ending for people.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// revision is what this run executes, pinned before its Job is made.
	// +optional
	Revision *PinnedRevision `json:"revision,omitempty"`

	// job is the latest Job of the run.
	// +optional
	Job *JobReference `json:"job,omitempty"`

	// workers is how many workers the run's Job has: the smaller of inputs and spec.workers as it is now.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Workers int32 `json:"workers,omitempty"`

	// imageDigest is the digest of the image that the workers run, as the first pod reported it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	ImageDigest string `json:"imageDigest,omitempty"`

	// startTime is when the first Job was made.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// completionTime is when the run became Complete or Failed.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// progress is the API server's report from the outcome store; nobody else writes it.
	// +optional
	Progress *RunProgress `json:"progress,omitempty"`
}

// PinnedRevision is what a run executes and how, decided once.
type PinnedRevision struct {
	// name of the immutable ConfigMap that holds code, runner and settings.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// digest of the ConfigMap's content and the Function's uid: "sha256:" and 64 hexadecimal digits. A ConfigMap of that name with
	// another content is not executed. A run that was pinned before there was a digest has none.
	// +optional
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`

	// functionUID is the uid of the Function that it was made from.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	FunctionUID types.UID `json:"functionUID"`

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

	// inputs is the immutable ConfigMap, the run's own, that holds the copy of what spec.parametersFrom.configMapKeyRef held;
	// empty where the inputs are elsewhere.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	InputsConfigMap string `json:"inputsConfigMap,omitempty"`

	// inputsDigest of the content of the ConfigMap that inputs names and the run's uid: "sha256:" and 64 hexadecimal digits. A
	// ConfigMap of that name with another content is not read.
	// +optional
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	InputsDigest string `json:"inputsDigest,omitempty"`

	// inputCount is how many inputs the run has.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	InputCount int32 `json:"inputCount"`

	// workers is the number of workers that the run started with: the smaller of inputs and the workers asked for then.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Workers int32 `json:"workers"`

	// gpus is how many GPUs each worker gets.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=64
	GPUs int32 `json:"gpus"`

	// gpuProducts are the GPU products of which a worker's node must have one; empty: any node will do.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	GPUProducts []string `json:"gpuProducts,omitempty"`

	// timeoutSeconds is the time limit of one input.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// batchSize is how many inputs one call of the handler gets, at most; absent for one.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	BatchSize int32 `json:"batchSize,omitempty"`

	// retries is how many further attempts an input gets after an exception.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Retries int32 `json:"retries"`

	// retryDelaySeconds is how long an input that raised waits before its second attempt; the wait doubles with each further
	// one. What is pinned without it waits for 1 second.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=300
	RetryDelaySeconds *int32 `json:"retryDelaySeconds,omitempty"`

	// nonRetryableErrors are types of exceptions after which an input gets no further attempt.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	NonRetryableErrors []string `json:"nonRetryableErrors,omitempty"`

	// maxFailures is how many inputs may fail or time out before the run is ended; absent: all of them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	MaxFailures *int32 `json:"maxFailures,omitempty"`

	// activeDeadlineSeconds is the time limit of the whole run; absent: it has none.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	ActiveDeadlineSeconds *int32 `json:"activeDeadlineSeconds,omitempty"`

	// ttlSecondsAfterFinished is what the Function says of it; the run's own counts before that.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`

	// resultsTTLSecondsAfterFinished is what the Function says of it; the run's own counts before that.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	ResultsTTLSecondsAfterFinished *int32 `json:"resultsTTLSecondsAfterFinished,omitempty"`

	// priorityClassName of the workers' pods.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// gpuResource is the extended resource that gpus counts; empty: the one of the revision.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	GPUResource string `json:"gpuResource,omitempty"`
}

// JobReference names a run's Job.
type JobReference struct {
	// name of the Job.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// number of the Job among the run's, from 1. A Job deleted by hand or by a suspension is followed by the next.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	Number int32 `json:"number,omitempty"`

	// uid of the Job; empty until it was seen to exist, which tells "not made yet" from "deleted".
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	UID types.UID `json:"uid,omitempty"`
}

// RunProgress is derived from the outcome store: total = pending + running + succeeded + failed + timedOut + cancelled.
type RunProgress struct {
	// total is n, how many inputs the run has.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Total int32 `json:"total"`

	// pending inputs wait to be executed.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Pending int32 `json:"pending"`

	// running inputs are executed at this moment.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Running int32 `json:"running"`

	// succeeded inputs have an answer.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Succeeded int32 `json:"succeeded"`

	// failed inputs raised, or their process died.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Failed int32 `json:"failed"`

	// timedOut inputs outlived their time limit.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	TimedOut int32 `json:"timedOut"`

	// cancelled inputs had no outcome when the run was ended.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	Cancelled int32 `json:"cancelled"`

	// failedIndexes lists the indexes that did not succeed, compressed: "0-3,7". Cut at 4 KiB, with "…" as the mark.
	// +optional
	// +kubebuilder:validation:MaxLength=4200
	FailedIndexes string `json:"failedIndexes,omitempty"`

	// gpuSeconds is the time that workers held GPUs, times their number, from their first call to their last.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	GPUSeconds int64 `json:"gpuSeconds,omitempty"`

	// workers is how many workers hold a lease at this moment.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Workers int32 `json:"workers,omitempty"`

	// message says what is wrong at this moment, if anything is: a module that cannot be loaded, workers that die.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`

	// closed says that every index has its outcome, and nothing but resultsDeleted changes any more.
	// +optional
	Closed bool `json:"closed,omitempty"`

	// reason says why the run was closed where the exchange ended it before every input was executed: ModuleNotLoaded, WorkersDied,
	// MaxFailuresExceeded, or the reason of the Ending condition.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`

	// resultsDeleted says that what the inputs returned, raised and printed was deleted at the end of
	// resultsTTLSecondsAfterFinished.
	// +optional
	ResultsDeleted bool `json:"resultsDeleted,omitempty"`
}

// FunctionRun is one call of a function over n inputs.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=fnrun,categories=sharedcloud
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must be no more than 63 characters: it becomes a label"
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

	// spec is what is called, and with what.
	// +required
	Spec FunctionRunSpec `json:"spec,omitzero"`

	// status is what became of the run.
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
