package work

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"k8s.io/apimachinery/pkg/types"
)

// Errors of the interfaces below and of Exchange. They may be wrapped.
var (
	// ErrNoRun: the run does not exist (any more). 404; the worker stops.
	ErrNoRun = errors.New("the run does not exist any more")
	// ErrNotDecodable: the stored run does not match its type. 503; the worker keeps its inputs and repeats the call until the run is
	// corrected or deleted.
	ErrNotDecodable = errors.New("the stored FunctionRun cannot be decoded: correct it or delete it (kubectl get functionrun shows the cause)")
	// ErrUnauthenticated: the token is missing, expired or not issued by the cluster. 401; the worker reads it again.
	ErrUnauthenticated = errors.New("the token is invalid")
	// ErrForbidden: the token is valid, but not for the exchange of this run. 403.
	ErrForbidden = errors.New("the token is not valid for this run")
	// ErrInputs: the inputs of the run are permanently unavailable. The exchange ends the run.
	ErrInputs = errors.New("the inputs cannot be read")
	// ErrSequence: a later call of the same pod was answered before. 409; the worker exits.
	ErrSequence = errors.New("a later call of this pod was answered before: another supervisor uses its identity")
	// ErrPodEnded: the pod has ended according to Kubernetes. 409; a worker that still runs exits with 1, so that its Job creates another:
	// an exit with 0 would mark its completion index as done.
	ErrPodEnded = errors.New("this pod has ended according to Kubernetes: it gets no more inputs")
)

// Run is what the exchange knows of a FunctionRun, from its spec, its pinned revision and its status.
type Run struct {
	UID             types.UID
	Namespace, Name string
	// Total is n, the number of inputs.
	Total int
	// Workers is w, the number of the Job's completions. It may change during the run.
	Workers int
	// Retries is the number of further attempts that an input gets after an exception.
	Retries int
	// BatchSize is the maximum number of inputs per call of the handler; 0 and 1 mean one.
	BatchSize int
	// RetryDelaySeconds is the delay before the first retry of an input; it doubles with each further one.
	RetryDelaySeconds int
	// NonRetryable are types of exceptions after which an input is not retried.
	NonRetryable []string
	// MaxFailures is how many inputs may fail or time out before the run is ended; nil means all.
	MaxFailures *int
	// TimeoutSeconds is the time limit of one input.
	TimeoutSeconds int
	// GPUs is the number of GPUs of each worker.
	GPUs int
	// JobUID is the UID of the run's current Job.
	JobUID types.UID
	// Ending is the reason of the condition Ending while it is True, otherwise "".
	Ending string
	// EndingMessage is the message of the condition Ending.
	EndingMessage string
	// Suspended: the run must have no workers; their inputs are returned.
	Suspended bool
	// Finished: the run is Complete or Failed.
	Finished bool
}

// Runs finds runs in a cache.
type Runs interface {
	// Run returns the run of that name, or ErrNoRun. A run without a pinned revision has no workers: it may be returned with Total 0 or
	// as ErrNoRun.
	Run(ctx context.Context, namespace, name string) (Run, error)
}

// Input is one input. Exactly one field is set.
type Input struct {
	// JSON is the text of a JSON array.
	JSON json.RawMessage
	// Literal is the text of a Python tuple.
	Literal string
}

// Inputs reads the inputs of runs.
type Inputs interface {
	// Inputs returns the inputs from first to last, both included, in order. ErrInputs: they are permanently unavailable.
	Inputs(ctx context.Context, run Run, first, last int) ([]Input, error)
}

// PodExitState is whether and why a worker's container ended.
type PodExitState int

const (
	// PodExitUnknown: not known now, because the Kubernetes API is unavailable.
	PodExitUnknown PodExitState = iota
	// PodExitRunning: the pod exists and its container has not ended (or not started).
	PodExitRunning
	// PodExitDisrupted: Kubernetes terminated the pod: deleted, preempted, evicted, drained, node lost (the condition DisruptionTarget, or
	// a deletion timestamp). No input is charged.
	PodExitDisrupted
	// PodExitEnded: the container ended by itself, see ExitCode, Reason and Message.
	PodExitEnded
	// PodExitGone: the pod does not exist any more, and it is not known how it ended.
	PodExitGone
)

// PodExit is whether and why a worker's pod ended.
type PodExit struct {
	State PodExitState
	// ExitCode, Reason ("OOMKilled", "Error", "DeadlineExceeded") and Message of the ended container, if State is PodExitEnded.
	ExitCode        int32
	Reason, Message string
	// Terminating: the pod has a deletion timestamp or the condition DisruptionTarget, so that a SIGTERM comes from Kubernetes.
	Terminating bool
}

// PodExits finds out why pods of workers ended.
type PodExits interface {
	// PodExit returns why the pod ended; PodExitGone if another pod (another UID) has its name. It may read from the Kubernetes API: it is
	// called when a worker asks about a SIGTERM, when its completion index came back as another pod, and when its lease expired.
	PodExit(ctx context.Context, namespace, podName string, podUID types.UID) PodExit
	// Ending reports whether Kubernetes is known to be terminating the pod. It only reads a cache, because every call needs it.
	Ending(namespace, podName string, podUID types.UID) bool
}

// Worker is the caller of the exchange: a pod of a run's Job, identified by its token and the pod object.
type Worker struct {
	Namespace, Run string
	// RunUID is the pod's label sharedcloud.io/run-uid. A pod of an earlier run of the same name gets ErrNoRun. Empty: not checked.
	RunUID          types.UID
	PodName, Node   string
	PodUID, JobUID  types.UID
	CompletionIndex int
}

// Authenticator identifies the caller of the exchange of a run.
type Authenticator interface {
	// Worker returns the caller, ErrUnauthenticated or ErrForbidden. After any other error the worker tries again (503).
	Worker(r *http.Request, namespace, run string) (Worker, error)
}
