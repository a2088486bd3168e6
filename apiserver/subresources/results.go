package subresources

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/outcomes"
)

const (
	// aggregatedTimeout is how long a response through the aggregator may take. kube-apiserver aborts it after 60 s, in the
	// middle of a line: the response ends before that with a complete line, and the client continues from there.
	aggregatedTimeout = 50 * time.Second
	// writeSlack is the additional time for the client to read what was written.
	writeSlack = 5 * time.Second
	// followInterval is how often new outcomes are read for a client that follows.
	followInterval = 250 * time.Millisecond
)

// errTimeLimit ends a response before it is complete.
var errTimeLimit = errors.New("the time limit of the response is reached")

// RunGetter reads a run from the cache, else from the Kubernetes API.
type RunGetter interface {
	Get(ctx context.Context, namespace, name string) (*v1alpha1.FunctionRun, error)
}

// OutcomeReader yields the outcomes of a run in the order of their indexes, see outcomes.Read.
type OutcomeReader interface {
	Read(ctx context.Context, run types.UID, selected outcomes.Selection, limit int, yield func(*outcomes.Outcome) bool) error
}

// Results is the subresource functionruns/results, see docs/results.md.
type Results struct {
	storage
	runs     RunGetter
	outcomes OutcomeReader
	clock    clock.WithTicker
	timeout  time.Duration
	slots    slots
	// ending is done when the server stops: then responses end as at their time limit.
	ending context.Context
}

var (
	_ rest.Storage         = (*Results)(nil)
	_ rest.Connecter       = (*Results)(nil)
	_ rest.StorageMetadata = (*Results)(nil)
)

// NewResults returns the subresource. When ending is done, its responses end as at their time limit.
func NewResults(ending context.Context, runs RunGetter, reader OutcomeReader, clock clock.WithTicker) *Results {
	return &Results{
		storage: storage{kindRun},
		runs:    runs, outcomes: reader, clock: clock, timeout: aggregatedTimeout, slots: newSlots("readings of results"), ending: ending,
	}
}

// ConnectMethods implements rest.Connecter.
func (*Results) ConnectMethods() []string { return []string{http.MethodGet} }

// ProducesMIMETypes implements rest.StorageMetadata.
func (*Results) ProducesMIMETypes(string) []string {
	return []string{contentJSON, contentNDJSON, contentCSV}
}

// ProducesObject implements rest.StorageMetadata.
func (*Results) ProducesObject(string) any { return "" }

// Connect implements rest.Connecter.
func (r *Results) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	namespace := apirequest.NamespaceValue(ctx)
	run, err := findRun(ctx, r.runs, namespace, name)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		values, err := queryOf(request)
		if err != nil {
			responder.Error(err)
			return
		}
		q, err := parseQuery(values, request.Header.Values("Accept"))
		if err != nil {
			responder.Error(apierrors.NewBadRequest(err.Error()))
			return
		}
		leave, err := r.slots.enter(ctx, namespace, q.follow)
		if err != nil {
			responder.Error(err)
			return
		}
		defer leave()
		if err := r.serve(w, request, run, q); err != nil {
			responder.Error(err)
		}
	}), nil
}

// findRun returns a run, or an API error.
func findRun(ctx context.Context, runs RunGetter, namespace, name string) (*v1alpha1.FunctionRun, error) {
	run, err := runs.Get(ctx, namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, apierrors.NewNotFound(v1alpha1.Resource("functionruns"), name)
	case errors.Is(err, core.ErrBusy):
		return nil, apierrors.NewTooManyRequests(err.Error(), 1)
	case err != nil:
		return nil, unavailable("reading the FunctionRun from the Kubernetes API failed", err)
	}
	if err := core.Decodable(run); err != nil {
		return nil, conflict(name, err)
	}
	return run, nil
}

// serve writes the response. It returns an error only before anything was written. After that, it can only abort the
// connection, so that the client does not take a part for the whole.
func (r *Results) serve(w http.ResponseWriter, request *http.Request, run *v1alpha1.FunctionRun, q query) error {
	ctx, cancel := context.WithTimeoutCause(request.Context(), r.timeout, errTimeLimit)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer context.AfterFunc(r.ending, func() { end(errTimeLimit) })()
	defer end(nil)
	// A client that stops reading must not occupy its slot forever.
	_ = http.NewResponseController(w).SetWriteDeadline(r.clock.Now().Add(r.timeout + writeSlack))
	out := newStream(w, q)
	var err error
	if q.follow {
		err = r.follow(ctx, out, run, q)
	} else {
		err = r.read(ctx, out, run, q)
	}
	if err != nil && (errors.Is(context.Cause(ctx), errTimeLimit) || out.started && errors.Is(context.Cause(ctx), identity.ErrRevoked)) {
		err = nil // the response ends here, and the client continues after its last index, if it is still authorized
	}
	switch {
	case out.broken != nil:
		klog.FromContext(request.Context()).V(2).Info("A client of results has disconnected", "run", klog.KObj(run), "reason", out.broken.Error())
		return nil
	case err == nil:
		out.end()
		return nil
	case !out.started:
		return readError(err)
	case request.Context().Err() != nil:
		return nil
	default:
		klog.FromContext(request.Context()).Error(err, "Failed to read outcomes after the response had started", "run", klog.KObj(run))
		panic(http.ErrAbortHandler)
	}
}

// read writes the present outcomes.
func (r *Results) read(ctx context.Context, out *stream, run *v1alpha1.FunctionRun, q query) error {
	left := q.limit
	for _, selected := range q.selected() {
		written := out.written
		if err := r.outcomes.Read(ctx, run.UID, selected, left, out.write); err != nil || out.broken != nil {
			return err
		}
		if q.limit > 0 {
			if left -= out.written - written; left <= 0 {
				return nil
			}
		}
	}
	return nil
}

// follow writes one index after the other and waits for those without an outcome, until all are written.
func (r *Results) follow(ctx context.Context, out *stream, run *v1alpha1.FunctionRun, q query) error {
	ticker := r.clock.NewTicker(followInterval)
	defer ticker.Stop()
	next, left := q.from, q.limit
	for waiting := false; ; {
		limit := left
		if waiting {
			limit = 1 // only check for the next one, because later ones could not be written yet
		}
		before := next
		selected := outcomes.All(next)
		selected.Brief = !q.output
		err := r.outcomes.Read(ctx, run.UID, selected, limit, func(o *outcomes.Outcome) bool {
			if o.Index != next {
				return false
			}
			if wanted := !q.failed || o.Status != outcomes.Succeeded; wanted && !out.write(o) {
				return false
			}
			next++
			return true
		})
		if err != nil || out.broken != nil {
			return err
		}
		if q.limit > 0 {
			if left = q.from + q.limit - next; left <= 0 {
				return nil
			}
		}
		if waiting && next > before {
			waiting = false
			continue
		}
		waiting = true
		current, err := r.runs.Get(ctx, run.Namespace, run.Name)
		switch {
		case apierrors.IsNotFound(err), err == nil && current.UID != run.UID:
			return nil // the run is gone
		case err == nil && current.Status.Revision != nil && next >= int(current.Status.Revision.InputCount):
			return nil
		}
		out.flush()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C():
		}
	}
}

func readError(err error) error {
	var deleted *outcomes.ResultsDeletedError
	if errors.As(err, &deleted) {
		return apierrors.NewResourceExpired(deleted.Error())
	}
	if errors.Is(err, outcomes.ErrNotReady) {
		return apierrors.NewServiceUnavailable(err.Error())
	}
	return unavailable("reading the outcomes failed", err)
}

// apiError returns API errors unchanged, and any other as ServiceUnavailable.
func apiError(what string, err error) error {
	if apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		return err
	}
	return unavailable(what, err)
}

func unavailable(what string, err error) error {
	return apierrors.NewServiceUnavailable(fmt.Sprintf("%s: %v", what, err))
}
