package v1alpha1

// Labels and annotations that the operator reads or writes.
const (
	// LabelUUID is the identity by which REST clients know an object, if it differs from metadata.uid. It is set when an
	// object is created. If several objects of a namespace have the same value, the oldest one owns it.
	LabelUUID = "sharedcloud.io/uuid"
	// AnnotationCreated is the creation time of an object in microseconds since 1970. It is set where creationTimestamp
	// is too coarse or, after a restore of the cluster, wrong.
	AnnotationCreated = "sharedcloud.io/created"
	// AnnotationTenants, on a namespace, lists the REST callers that work in it and whose namespace does not follow from
	// their identity: "user:alice, group:vision".
	AnnotationTenants = "sharedcloud.io/tenants"
	// AnnotationUploadsQuota and AnnotationResultsQuota, on a namespace, limit what it may store in the outcome store:
	// "20Gi", or "unlimited". They default to the API server's flags.
	AnnotationUploadsQuota = "sharedcloud.io/uploads-quota"
	AnnotationResultsQuota = "sharedcloud.io/results-quota"
	// AnnotationRequestedBy is the user whose request last created or changed the object through REST.
	AnnotationRequestedBy = "sharedcloud.io/requested-by"
	// AnnotationRequestHash is a hash of the request body that created the object through REST with an Idempotency-Key.
	AnnotationRequestHash = "sharedcloud.io/request-hash"
	// AnnotationBidPrice and AnnotationBaseGPU are fields of a run that only REST has: the price as written, and the
	// name of the least powerful GPU product that is acceptable.
	AnnotationBidPrice = "sharedcloud.io/bid-price"
	AnnotationBaseGPU  = "sharedcloud.io/base-gpu"
	// LabelRun is the name of the FunctionRun that a Job or a pod belongs to.
	LabelRun = "sharedcloud.io/run"
	// LabelRunUID is the UID of the FunctionRun that a Job or a pod belongs to.
	LabelRunUID = "sharedcloud.io/run-uid"
	// LabelFunction is the name of the Function that a revision, a Job or a pod was created from.
	LabelFunction = "sharedcloud.io/function"
	// LabelFunctionUID is the UID of the Function that a revision was created from. A ConfigMap with this label is a
	// revision.
	LabelFunctionUID = "sharedcloud.io/function-uid"
	// LabelInputs marks the ConfigMap that holds the copy of a run's inputs. Its value is the run's UID.
	LabelInputs = "sharedcloud.io/inputs-of"
	// LabelRerunOf is the name of the FunctionRun whose unsuccessful inputs this run executes again.
	LabelRerunOf = "sharedcloud.io/rerun-of"
	// AnnotationRerunOf is the UID of the FunctionRun whose unsuccessful inputs this run executes again.
	// AnnotationRerunIndexes lists their indexes in that run, in the order of this run's inputs: "3,17-20". It is
	// truncated to 4 KiB and then ends with "…".
	AnnotationRerunOf      = "sharedcloud.io/rerun-of-uid"
	AnnotationRerunIndexes = "sharedcloud.io/rerun-indexes"
	// AnnotationRevisionNumber is a revision's 1-based ordinal among the revisions of its Function. The revision with
	// the greatest number is the one that became current last.
	AnnotationRevisionNumber = "sharedcloud.io/revision-number"
	// AnnotationRevisionGeneration is the generation of the Function at which the revision last became current.
	// AnnotationRevisionCurrentSince is the time at which it did, in RFC 3339 format.
	AnnotationRevisionGeneration   = "sharedcloud.io/function-generation"
	AnnotationRevisionCurrentSince = "sharedcloud.io/current-since"
	// LabelTrust marks the ConfigMap TrustConfigMap, which each namespace with runs has.
	LabelTrust = "sharedcloud.io/trust"
	// LabelQueue is Kueue's label with the name of the queue that admits a Job. It is set on the FunctionRun or on the
	// Job itself.
	LabelQueue = "kueue.x-k8s.io/queue-name"
	// DefaultGPUProductLabel is the node label with the node's GPU product, as NVIDIA GPU Feature Discovery sets it.
	DefaultGPUProductLabel = "nvidia.com/gpu.product"
	// AnnotationInputCount is the number of inputs of a run whose inputs a cache has dropped. Caches set it on their copies;
	// stored objects never have it.
	AnnotationInputCount = "cache.sharedcloud.io/input-count"
	// AnnotationUpdated is the time of the last write to the object except to its status, in microseconds since 1970.
	// Caches set it on their copies; stored objects never have it.
	AnnotationUpdated = "cache.sharedcloud.io/updated"
	// AnnotationParametersError is the reason why a run's inputs cannot be read. Caches set it on their copies; stored
	// objects never have it.
	AnnotationParametersError = "cache.sharedcloud.io/parameters-error"
	// AnnotationDecodeError is the reason why the content of an object cannot be decoded. Decoding sets it on the copy
	// in memory, which then has metadata only; stored objects never have it. See DecodeError.
	AnnotationDecodeError = "cache.sharedcloud.io/decode-error"
)

// Names that several components use.
const (
	// TrustConfigMap is the name of the ConfigMap that holds the certificate authority of the work exchange. Each
	// namespace with runs has one.
	TrustConfigMap = "sharedcloud-ca"
	// TrustKey is the key of TrustConfigMap that holds the certificates in PEM format.
	TrustKey = "ca.crt"
	// InputsKey and InputsFormatKey are the keys of the ConfigMap that holds the copy of a run's inputs: the text and
	// its format.
	InputsKey       = "inputs"
	InputsFormatKey = "format"
	// ExchangeAudience is the audience of the token that workers present to the exchange.
	ExchangeAudience = "exchange.sharedcloud.io"
	// FieldManagerController is the field manager of the controllers.
	FieldManagerController = "sharedcloud-controller"
	// FieldManagerIdentity is the field manager of the condition UUIDUnique.
	FieldManagerIdentity = "sharedcloud-identity"
	// FieldManagerAPIServer is the field manager of the progress that the API server writes to a run's status.
	FieldManagerAPIServer = "sharedcloud-apiserver"
	// FieldManagerREST is the field manager of writes through REST.
	FieldManagerREST = "sharedcloud-rest"
	// FieldManagerSubresources is the field manager of runs that the subresources create.
	FieldManagerSubresources = "sharedcloud-subresources"
)

// Types of conditions.
const (
	// ConditionReady is True if a Function or a FunctionImage can be used, or if a FunctionRun has completed
	// successfully. Every kind has it. Part of the kstatus conventions.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the controllers or the workers are processing the object. Part of the kstatus
	// conventions.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True while progress is blocked until a user or an administrator intervenes. Part of the
	// kstatus conventions.
	ConditionStalled = "Stalled"
	// ConditionComplete is True if every input of the run succeeded.
	ConditionComplete = "Complete"
	// ConditionFailed is True if the run has finished and at least one input did not succeed.
	ConditionFailed = "Failed"
	// ConditionFinished is True if the run has finished, successfully or not.
	ConditionFinished = "Finished"
	// ConditionSuspended is True if the run has no workers because spec.suspend is set.
	ConditionSuspended = "Suspended"
	// ConditionEnding is True when the controller asks the API server to close the run, for the reason in the condition.
	// The API server then stops handing out inputs, gives every input without an outcome one, and reports
	// status.progress.closed.
	ConditionEnding = "Ending"
	// ConditionUUIDUnique is False if another object owns the value of this object's label sharedcloud.io/uuid.
	// Otherwise it is absent.
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
	// ReasonNotDecodable, on every kind: the stored object does not match its type. The operator ignores it until it is
	// corrected or deleted.
	ReasonNotDecodable = "NotDecodable"
	// ReasonNotAllowed: the object uses a setting that an administrator must allow, such as a priority class, a runtime
	// class or root. Also used on a FunctionRun.
	ReasonNotAllowed = "NotAllowed"
	// ReasonReferencesUnchecked: the object references a Secret, a ConfigMap or a claim, and the policies that check
	// whether its author may read the referenced object are not in force. Also used on a FunctionRun.
	ReasonReferencesUnchecked = "ReferencesUnchecked"
	// ReasonDuplicateUUID, of the condition UUIDUnique on any kind: an older object has the same label
	// sharedcloud.io/uuid.
	ReasonDuplicateUUID = "DuplicateUUID"
)

// Reasons of conditions on a FunctionRun.
const (
	// ReasonFunctionMissing: the run waits for its Function to be created.
	ReasonFunctionMissing = "FunctionMissing"
	// ReasonFunctionNotReady: the run waits for its Function to become Ready.
	ReasonFunctionNotReady = "FunctionNotReady"
	// ReasonParametersInvalid: the inputs are invalid. Create a new run to correct them.
	ReasonParametersInvalid = "ParametersInvalid"
	// ReasonPinned: the run has pinned its revision; its Job is created next.
	ReasonPinned = "Pinned"
	// ReasonJobNameTaken: a Job with the name that the run needs exists and does not belong to the run.
	ReasonJobNameTaken = "JobNameTaken"
	// ReasonJobRefused: the cluster rejected the Job, for example because of a quota or a policy.
	ReasonJobRefused = "JobRefused"
	// ReasonStarting: the Job exists, and no worker has received an input yet.
	ReasonStarting = "Starting"
	// ReasonRunning: workers are executing inputs.
	ReasonRunning = "Running"
	// ReasonPodsUnschedulable: no node can run the workers' pods.
	ReasonPodsUnschedulable = "PodsUnschedulable"
	// ReasonImageUnavailable: a node cannot pull the image.
	ReasonImageUnavailable = "ImageUnavailable"
	// ReasonContainerCannotStart: a worker's container cannot be created or started.
	ReasonContainerCannotStart = "ContainerCannotStart"
	// ReasonModuleNotLoaded: the module of the Function cannot be loaded.
	ReasonModuleNotLoaded = "ModuleNotLoaded"
	// ReasonWorkersDied: workers died repeatedly without completing an input.
	ReasonWorkersDied = "WorkersDied"
	// ReasonInputsMissing: the ConfigMap or the upload that spec.parametersFrom references does not exist.
	ReasonInputsMissing = "InputsMissing"
	// ReasonInputsUnavailable: the inputs that the run pinned no longer exist.
	ReasonInputsUnavailable = "InputsUnavailable"
	// ReasonMaxFailuresExceeded: more inputs failed or timed out than spec.maxFailures allows.
	ReasonMaxFailuresExceeded = "MaxFailuresExceeded"
	// ReasonDeadlineExceeded: the run exceeded spec.activeDeadlineSeconds.
	ReasonDeadlineExceeded = "DeadlineExceeded"
	// ReasonSuspended: spec.suspend is true.
	ReasonSuspended = "Suspended"
	// ReasonJobFailed: the Job ended before every input had an outcome.
	ReasonJobFailed = "JobFailed"
	// ReasonCancelled: spec.cancel is true.
	ReasonCancelled = "Cancelled"
	// ReasonSucceeded: every input succeeded.
	ReasonSucceeded = "Succeeded"
	// ReasonInputsFailed: the run has finished and at least one input did not succeed.
	ReasonInputsFailed = "InputsFailed"
	// ReasonNotFinished: the run has not finished yet.
	ReasonNotFinished = "NotFinished"
	// ReasonNotSuspended: spec.suspend is false.
	ReasonNotSuspended = "NotSuspended"
	// ReasonRevisionMissing: the revision that the run pinned no longer exists, and inputs may already have been
	// executed with it.
	ReasonRevisionMissing = "RevisionMissing"
	// ReasonRevisionChanged: the ConfigMap with the name of the pinned revision has different content or is not a
	// revision.
	ReasonRevisionChanged = "RevisionChanged"
	// ReasonNotEnding: the run is not being closed.
	ReasonNotEnding = "NotEnding"
)

// Statuses of an outcome.
const (
	OutcomeSucceeded = "Succeeded"
	OutcomeFailed    = "Failed"
	OutcomeTimedOut  = "TimedOut"
	OutcomeCancelled = "Cancelled"
)

// Defaults of fields of RunPolicy and FunctionSpec that neither the run nor its Function sets.
const (
	DefaultWorkers        int32 = 8
	DefaultTimeoutSeconds int32 = 1800
	DefaultRetries        int32 = 0
	DefaultHistoryLimit   int32 = 10
	// DefaultRetryDelaySeconds is the delay before the second attempt. MaxRetryDelaySeconds limits the delay, which
	// doubles with each attempt.
	DefaultRetryDelaySeconds int32 = 1
	MaxRetryDelaySeconds     int32 = 300
)
