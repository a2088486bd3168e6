package v1alpha1

// Labels and annotations that the operator reads or writes.
const (
	// LabelUUID is the identity that REST clients have written down, where it differs from metadata.uid. It is given when an object
	// is made; of several that claim one in a namespace, the first that was made has it.
	LabelUUID = "sharedcloud.io/uuid"
	// AnnotationCreated is when an object was made, µs since 1970, where its creationTimestamp is too coarse or is that of
	// a restored cluster.
	AnnotationCreated = "sharedcloud.io/created"
	// AnnotationTenants of a namespace says whose it is for callers of REST that no namespace follows from otherwise:
	// "user:alice, group:vision".
	AnnotationTenants = "sharedcloud.io/tenants"
	// AnnotationUploadsQuota and AnnotationResultsQuota of a namespace say how much it may have in the outcome store: "20Gi", or
	// "unlimited". Without them the API server's flags do.
	AnnotationUploadsQuota = "sharedcloud.io/uploads-quota"
	AnnotationResultsQuota = "sharedcloud.io/results-quota"
	// AnnotationRequestedBy is who asked for what REST last did to an object.
	AnnotationRequestedBy = "sharedcloud.io/requested-by"
	// AnnotationRequestHash is a hash of the body that made an object by REST with an Idempotency-Key.
	AnnotationRequestHash = "sharedcloud.io/request-hash"
	// AnnotationBidPrice and AnnotationBaseGPU are what a run was given by REST: the price as it was written, and the
	// product of the weakest GPU that will do.
	AnnotationBidPrice = "sharedcloud.io/bid-price"
	AnnotationBaseGPU  = "sharedcloud.io/base-gpu"
	// LabelRun is the name of the FunctionRun that a Job or a pod belongs to.
	LabelRun = "sharedcloud.io/run"
	// LabelRunUID is the uid of the FunctionRun that a Job or a pod belongs to.
	LabelRunUID = "sharedcloud.io/run-uid"
	// LabelFunction is the name of the Function that a revision, a Job or a pod was made from.
	LabelFunction = "sharedcloud.io/function"
	// LabelFunctionUID is the uid of the Function that a revision was made from. A ConfigMap with this label is a revision.
	LabelFunctionUID = "sharedcloud.io/function-uid"
	// LabelInputs marks the ConfigMap with the copy of a run's inputs; its value is the run's uid.
	LabelInputs = "sharedcloud.io/inputs-of"
	// LabelRerunOf is the name of the FunctionRun whose unsuccessful inputs a run takes again.
	LabelRerunOf = "sharedcloud.io/rerun-of"
	// AnnotationRerunOf is the uid of the FunctionRun whose unsuccessful inputs a run takes again, AnnotationRerunIndexes
	// their indexes there, in the order of this run's: "3,17-20"; cut at 4 KiB with "…" as the mark.
	AnnotationRerunOf      = "sharedcloud.io/rerun-of-uid"
	AnnotationRerunIndexes = "sharedcloud.io/rerun-indexes"
	// AnnotationRevisionNumber of a revision says the how manieth of its Function it is, from 1: the greatest is the one that
	// became the present one last.
	AnnotationRevisionNumber = "sharedcloud.io/revision-number"
	// AnnotationRevisionGeneration of a revision is the generation of the Function when it last became the present one;
	// AnnotationRevisionCurrentSince is when that was, RFC 3339.
	AnnotationRevisionGeneration   = "sharedcloud.io/function-generation"
	AnnotationRevisionCurrentSince = "sharedcloud.io/current-since"
	// LabelTrust marks the ConfigMap, one in each namespace that has runs, with the certificate authority of the exchange.
	LabelTrust = "sharedcloud.io/trust"
	// LabelQueue is Kueue's: the name of the queue that admits a Job, on the FunctionRun or on the Job itself.
	LabelQueue = "kueue.x-k8s.io/queue-name"
	// DefaultGPUProductLabel is the label of a node that says what GPUs it has, as NVIDIA's GPU feature discovery sets it.
	DefaultGPUProductLabel = "nvidia.com/gpu.product"
	// AnnotationInputCount is set by the caches on the copies they keep, never on stored objects: the number of inputs of a
	// run whose inputs the cache has dropped.
	AnnotationInputCount = "cache.sharedcloud.io/input-count"
	// AnnotationUpdated is set by the caches on the copies they keep, never on stored objects: when somebody last wrote the
	// object, its status apart, µs since 1970.
	AnnotationUpdated = "cache.sharedcloud.io/updated"
	// AnnotationParametersError is set by the caches on the copies they keep, never on stored objects: why the inputs of
	// a run cannot be read.
	AnnotationParametersError = "cache.sharedcloud.io/parameters-error"
	// AnnotationDecodeError is set by decoding on the copy in memory, never on stored objects: why the content of the object
	// cannot be decoded. A copy that has it has metadata and nothing else; see DecodeError.
	AnnotationDecodeError = "cache.sharedcloud.io/decode-error"
)

// Names that the components share.
const (
	// TrustConfigMap is the ConfigMap, one in each namespace that has runs, whose key ca.crt vouches for the exchange.
	TrustConfigMap = "sharedcloud-ca"
	// TrustKey is the key of TrustConfigMap that holds the certificates, PEM.
	TrustKey = "ca.crt"
	// InputsKey and InputsFormatKey are the keys of the ConfigMap with the copy of a run's inputs: the text, and its format.
	InputsKey       = "inputs"
	InputsFormatKey = "format"
	// ExchangeAudience is the audience of the token that a worker shows to the exchange.
	ExchangeAudience = "exchange.sharedcloud.io"
	// FieldManagerController is the field manager of what the controllers write.
	FieldManagerController = "sharedcloud-controller"
	// FieldManagerIdentity is the field manager of the condition UUIDUnique.
	FieldManagerIdentity = "sharedcloud-identity"
	// FieldManagerAPIServer is the field manager of what the API server reports on a run's status.
	FieldManagerAPIServer = "sharedcloud-apiserver"
	// FieldManagerREST is the field manager of what REST writes.
	FieldManagerREST = "sharedcloud-rest"
	// FieldManagerSubresources is the field manager of runs that the subresources make.
	FieldManagerSubresources = "sharedcloud-subresources"
)

// Types of conditions.
const (
	// ConditionReady: the object is usable (Function, FunctionImage) or complete (FunctionRun). On every kind, for kstatus.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the controllers or the workers are at it. For kstatus.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when nothing goes on without somebody's help. For kstatus.
	ConditionStalled = "Stalled"
	// ConditionComplete: every input of the run succeeded.
	ConditionComplete = "Complete"
	// ConditionFailed: the run is over and not every input succeeded.
	ConditionFailed = "Failed"
	// ConditionFinished: the run is over, well or not.
	ConditionFinished = "Finished"
	// ConditionSuspended: the run has no workers because spec.suspend asks so.
	ConditionSuspended = "Suspended"
	// ConditionEnding: the controller asks the API server to close the run; the reason says why. The API server then
	// hands out nothing more, gives every missing index an outcome and reports status.progress.closed.
	ConditionEnding = "Ending"
	// ConditionUUIDUnique is False on an object whose label sharedcloud.io/uuid is the identity of another, and absent on others.
	ConditionUUIDUnique = "UUIDUnique"
)

// Reasons of conditions on a Function or a FunctionImage.
const (
	ReasonReady               = "Ready"
	ReasonImageMissing        = "ImageMissing"
	ReasonConfigMapMissing    = "ConfigMapMissing"
	ReasonConfigMapKeyMissing = "ConfigMapKeyMissing"
	ReasonCodeTooLarge        = "CodeTooLarge"
	ReasonRuntimeUnknown      = "RuntimeUnknown"
	ReasonRuntimeMismatch     = "RuntimeMismatch"
	ReasonRevisionNameTaken   = "RevisionNameTaken"
	ReasonInvalid             = "Invalid"
	// ReasonNotDecodable, on every kind: the stored object does not fit the type. Nothing is done for it until it is
	// corrected or deleted.
	ReasonNotDecodable = "NotDecodable"
	// ReasonNotAllowed: something that only an administrator may allow (a priority class, a runtime class, root). On a
	// FunctionRun, too.
	ReasonNotAllowed = "NotAllowed"
	// ReasonReferencesUnchecked: a Secret, a ConfigMap or a claim is named, and the policies that check whether the writer may
	// get it are not in force. On a FunctionRun, too.
	ReasonReferencesUnchecked = "ReferencesUnchecked"
	// ReasonDuplicateUUID: an object made before has the same label sharedcloud.io/uuid. Of UUIDUnique, on any kind.
	ReasonDuplicateUUID = "DuplicateUUID"
)

// Reasons of conditions on a FunctionRun.
const (
	// ReasonFunctionMissing: waiting for the Function to be made.
	ReasonFunctionMissing = "FunctionMissing"
	// ReasonFunctionNotReady: waiting for the Function's Ready condition.
	ReasonFunctionNotReady = "FunctionNotReady"
	// ReasonParametersInvalid: the inputs cannot be read as inputs; a new run is needed.
	ReasonParametersInvalid = "ParametersInvalid"
	// ReasonPinned: the revision is pinned; the Job comes next.
	ReasonPinned = "Pinned"
	// ReasonJobNameTaken: a Job of the name that the run needs exists and is not the run's.
	ReasonJobNameTaken = "JobNameTaken"
	// ReasonJobRefused: the cluster refused the Job (quota, policy).
	ReasonJobRefused = "JobRefused"
	// ReasonStarting: the Job exists; no worker has taken an input yet.
	ReasonStarting = "Starting"
	// ReasonRunning: workers are at it.
	ReasonRunning = "Running"
	// ReasonPodsUnschedulable: no node has room for the workers' pods.
	ReasonPodsUnschedulable = "PodsUnschedulable"
	// ReasonImageUnavailable: a node cannot pull the image.
	ReasonImageUnavailable = "ImageUnavailable"
	// ReasonContainerCannotStart: a worker's container cannot be created or started.
	ReasonContainerCannotStart = "ContainerCannotStart"
	// ReasonModuleNotLoaded: the user's module cannot be loaded.
	ReasonModuleNotLoaded = "ModuleNotLoaded"
	// ReasonWorkersDied: workers died again and again without one outcome.
	ReasonWorkersDied = "WorkersDied"
	// ReasonInputsMissing: what spec.parametersFrom names is not there.
	ReasonInputsMissing = "InputsMissing"
	// ReasonInputsUnavailable: the inputs that the run was pinned with are gone.
	ReasonInputsUnavailable = "InputsUnavailable"
	// ReasonMaxFailuresExceeded: more inputs failed or timed out than spec.maxFailures allows.
	ReasonMaxFailuresExceeded = "MaxFailuresExceeded"
	// ReasonDeadlineExceeded: the run took longer than spec.activeDeadlineSeconds.
	ReasonDeadlineExceeded = "DeadlineExceeded"
	// ReasonSuspended: spec.suspend is set.
	ReasonSuspended = "Suspended"
	// ReasonJobFailed: the Job ended before every input had an outcome.
	ReasonJobFailed = "JobFailed"
	// ReasonCancelled: spec.cancel was set.
	ReasonCancelled = "Cancelled"
	// ReasonSucceeded: every input succeeded.
	ReasonSucceeded = "Succeeded"
	// ReasonInputsFailed: the run is over and some inputs did not succeed.
	ReasonInputsFailed = "InputsFailed"
	// ReasonNotFinished: the value of conditions that wait for the end.
	ReasonNotFinished = "NotFinished"
	// ReasonNotSuspended: spec.suspend is not set.
	ReasonNotSuspended = "NotSuspended"
	// ReasonRevisionMissing: the revision that the run pinned is gone, and inputs may have been executed with it.
	ReasonRevisionMissing = "RevisionMissing"
	// ReasonRevisionChanged: what has the name of the revision that the run pinned has another content, or is none.
	ReasonRevisionChanged = "RevisionChanged"
	// ReasonNotEnding: nothing asks for an end.
	ReasonNotEnding = "NotEnding"
)

// Statuses of an outcome.
const (
	OutcomeSucceeded = "Succeeded"
	OutcomeFailed    = "Failed"
	OutcomeTimedOut  = "TimedOut"
	OutcomeCancelled = "Cancelled"
)

// Defaults of how a function runs, used where neither the run nor the Function says otherwise.
const (
	DefaultWorkers        int32 = 8
	DefaultTimeoutSeconds int32 = 1800
	DefaultRetries        int32 = 0
	DefaultHistoryLimit   int32 = 10
	// DefaultRetryDelaySeconds is before the second attempt; MaxRetryDelaySeconds is the most that doubling comes to.
	DefaultRetryDelaySeconds int32 = 1
	MaxRetryDelaySeconds     int32 = 300
)
