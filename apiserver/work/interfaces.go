package work

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"k8s.io/apimachinery/pkg/types"
)

// Errors that the exchange's neighbours return and that its callers meet. They may be wrapped.
var (
	// ErrNoRun: there is no such run (any more). 404; the worker stops.
	ErrNoRun = errors.New("there is no such run any more")
	// ErrNotDecodable: the stored run does not fit its type. 503; the worker keeps what it has, and asks again until the run
	// is corrected or deleted.
	ErrNotDecodable = errors.New("the stored FunctionRun cannot be decoded: correct it or delete it (kubectl get functionrun says why)")
	// ErrUnauthenticated: the token is missing, expired or not one of the cluster's. 401; the worker reads it again.
	ErrUnauthenticated = errors.New("the token is not valid")
	// ErrForbidden: the token is good, but not for the exchange of this run. 403.
	ErrForbidden = errors.New("the token is not for this run")
	// ErrInputs: the inputs of the run cannot be had, and will not be. The exchange ends the run.
	ErrInputs = errors.New("the inputs cannot be read")
	// ErrSequence: a later call of the same pod was answered before. 409; the worker exits.
	ErrSequence = errors.New("a later call of this pod has been answered: another supervisor speaks for it")
	// ErrPodOver: the pod has ended, by what Kubernetes says. 409; should the worker be alive after all, it exits with 1
	// and its Job makes another: one that exits with 0 would leave the others its share.
	ErrPodEnded = errors.New("this pod is over, by what Kubernetes says: nothing more is handed to it")
)

// Run is what the exchange needs to know of a FunctionRun, from its spec, its pinned revision and its status.
type Run struct {
	UID             types.UID
	Namespace, Name string
	// Total is n, how many inputs the run has.
	Total int
	// Workers is w, the number of the Job's completions. It may change while the run goes on.
	Workers int
	// Retries is how many further attempts an input gets after an exception.
	Retries int
	// BatchSize is how many inputs one call of the handler gets, at most; 0 and 1 are one.
	BatchSize int
	// RetryDelaySeconds is how long an input waits for the first of them; the wait doubles with each further one.
	RetryDelaySeconds int
	// NonRetryable are types of exceptions after which an input gets no further attempt.
	NonRetryable []string
	// MaxFailures is how many inputs may fail or time out before the run is ended; nil: all.
	MaxFailures *int
	// TimeoutSeconds is the time limit of one input.
	TimeoutSeconds int
	// GPUs is how many GPUs each worker has.
	GPUs int
	// JobUID is the uid of the run's present Job.
	JobUID types.UID
	// Ending is the reason of the condition Ending while that is True; "" otherwise.
	Ending string
	// EndingMessage is the message of the condition Ending.
	EndingMessage string
	// Suspended: the run shall have no workers at present; what they hold goes back.
	Suspended bool
	// Finished: the run is Complete or Failed.
	Finished bool
}

// Runs finds runs, from a cache.
type Runs interface {
	// Run returns the run of that name, or ErrNoRun. A run that has no pinned revision yet has no workers either: it may
	// be reported with Total 0 or as ErrNoRun.
	Run(ctx context.Context, namespace, name string) (Run, error)
}

// Input is one input: exactly one of the two is set.
type Input struct {
	// JSON is the text of a JSON array.
	JSON json.RawMessage
	// Literal is the text of a Python tuple.
	Literal string
}

// Inputs reads the inputs of runs.
type Inputs interface {
	// Inputs returns the inputs from first to last, both included, in order; ErrInputs where they are gone for good.
	Inputs(ctx context.Context, run Run, first, last int) ([]Input, error)
}

// PodExitState says whether and why a worker's container ended.
type PodExitState int

const (
	// PodExitUnknown: it is temporarily unknown, because the API does not answer.
	PodExitUnknown PodExitState = iota
	// PodExitRunning: the pod exists and its container has not ended (or has not started).
	PodExitRunning
	// PodExitDisrupted: Kubernetes ended the pod: deleted, preempted, evicted, drained, node lost (the condition
	// DisruptionTarget, or a deletion timestamp). Charges nobody.
	PodExitDisrupted
	// PodExitEnded: the container ended by itself, see ExitCode, Reason and Message.
	PodExitEnded
	// PodExitGone: the pod no longer exists, and how it ended is not known.
	PodExitGone
)

// PodExit is why a worker's pod ended, or that it has not.
type PodExit struct {
	State PodExitState
	// ExitCode, Reason ("OOMKilled", "Error", "DeadlineExceeded") and Message of the ended container; with PodExitEnded.
	ExitCode        int32
	Reason, Message string
	// Terminating: the pod has a deletion timestamp or the condition DisruptionTarget: a SIGTERM is Kubernetes' own.
	Terminating bool
}

// PodExits knows why pods of workers ended.
type PodExits interface {
	// PodExit returns why the pod ended. If another pod has its name (another uid), that is PodExitGone. It may ask the API live: it is called
	// when a worker asks about a SIGTERM, when its completion index came back as another pod and when its lease ran out.
	PodExit(ctx context.Context, namespace, podName string, podUID types.UID) PodExit
	// Ending says whether Kubernetes is known to be ending the pod. It is asked with every call and only looks into a cache.
	Ending(namespace, podName string, podUID types.UID) bool
}

// Worker is the caller of the exchange: a pod of a run's Job, as its token and the pod itself say.
type Worker struct {
	Namespace, Run string
	// RunUID is the pod's label sharedcloud.io/run-uid. A pod of an earlier run of the same name is told that its run
	// does not exist. Empty: not checked.
	RunUID          types.UID
	PodName, Node   string
	PodUID, JobUID  types.UID
	CompletionIndex int
}

// Authenticator tells who calls the exchange of a run.
type Authenticator interface {
	// Worker returns the caller, ErrUnauthenticated or ErrForbidden; any other error means "try again" (503).
	Worker(r *http.Request, namespace, run string) (Worker, error)
}
