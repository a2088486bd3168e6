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
	// aggregatedBudget is how long an answer through the aggregator may take. kube-apiserver cuts off what takes 60 s,
	// in the middle of a line: the answer ends by itself before, at the end of one, and the caller goes on from there.
	aggregatedBudget = 50 * time.Second
	// writeSlack is what a caller gets beyond that to take what was written.
	writeSlack = 5 * time.Second
	// followInterval is how soon a new outcome is seen by a caller who waits for it.
	followInterval = 250 * time.Millisecond
)

// errTimeUp is why an answer ends before all is said.
var errTimeUp = errors.New("the time of this answer is up")

// RunGetter finds the run that results are asked of: in the cache, else live.
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
	budget   time.Duration
	answers  answers
	// ending is done when the server ends: answers that are under way end too, as when their time is up.
	ending context.Context
}

var (
	_ rest.Storage         = (*Results)(nil)
	_ rest.Connecter       = (*Results)(nil)
	_ rest.StorageMetadata = (*Results)(nil)
)

// NewResults makes the subresource. When ending is done, answers that are under way end as when their time is up.
func NewResults(ending context.Context, runs RunGetter, reader OutcomeReader, clock clock.WithTicker) *Results {
	return &Results{
		storage: storage{kindRun},
		runs:    runs, outcomes: reader, clock: clock, budget: aggregatedBudget, answers: newAnswers("readings of results"), ending: ending,
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
		leave, err := r.answers.enter(ctx, namespace, q.follow)
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

// findRun finds a run, with the errors of the API.
func findRun(ctx context.Context, runs RunGetter, namespace, name string) (*v1alpha1.FunctionRun, error) {
	run, err := runs.Get(ctx, namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, apierrors.NewNotFound(v1alpha1.Resource("functionruns"), name)
	case errors.Is(err, core.ErrBusy):
		return nil, apierrors.NewTooManyRequests(err.Error(), 1)
	case err != nil:
		return nil, unavailable("the Kubernetes API cannot be asked for the FunctionRun", err)
	}
	if err := core.Decodable(run); err != nil {
		return nil, conflict(name, err)
	}
	return run, nil
}

// serve writes the answer. It returns an error only while nothing was written yet; after that all it can do is to break
// the connection, so that nobody takes the part for the whole.
func (r *Results) serve(w http.ResponseWriter, request *http.Request, run *v1alpha1.FunctionRun, q query) error {
	ctx, cancel := context.WithTimeoutCause(request.Context(), r.budget, errTimeUp)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer context.AfterFunc(r.ending, func() { end(errTimeUp) })()
	defer end(nil)
	// A caller who takes nothing more does not hold his place for ever.
	_ = http.NewResponseController(w).SetWriteDeadline(r.clock.Now().Add(r.budget + writeSlack))
	out := newStream(w, q)
	var err error
	if q.follow {
		err = r.follow(ctx, out, run, q)
	} else {
		err = r.read(ctx, out, run, q)
	}
	if err != nil && (errors.Is(context.Cause(ctx), errTimeUp) || out.begun && errors.Is(context.Cause(ctx), identity.ErrRevoked)) {
		err = nil // the answer ends here, and the caller continues from its last index, if it still may
	}
	switch {
	case out.broken != nil:
		klog.FromContext(request.Context()).V(2).Info("A caller of results went away", "run", klog.KObj(run), "reason", out.broken.Error())
		return nil
	case err == nil:
		out.end()
		return nil
	case !out.begun:
		return readError(err)
	case request.Context().Err() != nil:
		return nil
	default:
		klog.FromContext(request.Context()).Error(err, "Reading outcomes failed in the middle of an answer", "run", klog.KObj(run))
		panic(http.ErrAbortHandler)
	}
}

// read writes what is there now.
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

// follow writes one index after the other and waits for those that have no outcome yet, until all are written.
func (r *Results) follow(ctx context.Context, out *stream, run *v1alpha1.FunctionRun, q query) error {
	ticker := r.clock.NewTicker(followInterval)
	defer ticker.Stop()
	next, left := q.from, q.limit
	for waiting := false; ; {
		most := left
		if waiting {
			most = 1 // whether it is there; what lies behind it is not read in vain
		}
		before := next
		selected := outcomes.All(next)
		selected.Brief = !q.output
		err := r.outcomes.Read(ctx, run.UID, selected, most, func(o *outcomes.Outcome) bool {
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
	return unavailable("the outcomes cannot be read", err)
}

// apiError leaves the API's own errors as they are, and says of any other that it is for the moment.
func apiError(what string, err error) error {
	if apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		return err
	}
	return unavailable(what, err)
}

func unavailable(what string, err error) error {
	return apierrors.NewServiceUnavailable(fmt.Sprintf("%s at the moment: %v", what, err))
}
