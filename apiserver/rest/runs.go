package rest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/parameters"
)

const (
	resourceRuns = "functionruns"
	// maxParameters is the maximum number of characters of inputs that a FunctionRun can store.
	maxParameters = 1_400_000
	// minBid is the minimum bid price, in dollars.
	minBid = 0.001
	// maxPrefetched is the number of runs whose inputs are read ahead while a list is written.
	maxPrefetched = 8
	// busyInterval is the time between attempts to read inputs while the rate limit is reached.
	busyInterval = 50 * time.Millisecond
)

func (c *call) appendRun(b []byte, run *v1alpha1.FunctionRun, given *core.RunInputs) []byte {
	base, baseID := "n/a", ""
	if label := run.Annotations[v1alpha1.AnnotationBaseGPU]; label != "" {
		product := core.GPUProductOf(label)
		base, baseID = product.Name, product.UUID()
	}
	jobs := 0
	if given != nil {
		jobs = given.Len()
	}
	name, functionID := c.functionNameOf(run)
	o := newObject(b)
	o.text("uuid", c.api.Cluster.FunctionRuns.UUID(run))
	o.date("current_server_time", c.now.UnixMicro())
	o.text("base_gpu_name", base)
	o.number("num_jobs", jobs)
	o.text("function_name", name)
	o.date("created_at", core.CreatedMicros(run))
	o.name("parameters")
	o.b = appendGiven(o.b, given)
	o.money("bid_price", bidOf(run))
	o.textOrNull("function", functionID)
	o.textOrNull("base_gpu", baseID)
	return o.end()
}

// functionNameOf returns the name and the uuid of a run's function, which may have been deleted.
func (c *call) functionNameOf(run *v1alpha1.FunctionRun) (name, id string) {
	if f, ok := c.api.Cluster.FunctionOf(run); ok {
		return core.FunctionName(f), c.api.Cluster.Functions.UUID(f)
	}
	if pin := run.Status.Revision; pin != nil {
		return run.Spec.FunctionRef.Name, string(pin.FunctionUID)
	}
	return run.Spec.FunctionRef.Name, ""
}

// appendGiven appends inputs as the text of a Python tuple of tuples: the original or an equivalent one. For inputs in the outcome store, of
// which there may be millions, it appends only their number.
func appendGiven(b []byte, given *core.RunInputs) []byte {
	switch {
	case given == nil:
		return append(b, `""`...)
	case given.Literal != nil:
		return appendText(b, *given.Literal)
	case given.Stored != "":
		return appendText(b, fmt.Sprintf("<%d inputs, %s>", given.Len(), given.Stored))
	}
	var text strings.Builder
	text.WriteByte('(')
	count := given.Len()
	for i := range count {
		if i > 0 {
			text.WriteString(", ")
		}
		// These inputs are in memory: no request is made.
		inputs, err := given.Slice(context.Background(), i, i)
		if err != nil {
			return append(b, `""`...)
		}
		text.WriteString(argumentsText(inputs[0]))
	}
	if count == 1 {
		text.WriteByte(',')
	}
	text.WriteByte(')')
	return appendText(b, text.String())
}

func bidOf(run *v1alpha1.FunctionRun) float64 {
	price, err := strconv.ParseFloat(run.Annotations[v1alpha1.AnnotationBidPrice], 64)
	if err != nil || math.IsNaN(price) || math.IsInf(price, 0) || price < 0 {
		return 0
	}
	return price
}

// given reads the inputs of a run; nil if they cannot be parsed or no longer exist.
func (c *call) given(ctx context.Context, run *v1alpha1.FunctionRun) (*core.RunInputs, error) {
	for {
		given, err := c.api.Inputs.Read(ctx, run.Namespace, run.Name, run.UID)
		switch {
		case err == nil:
			return given, nil
		case errors.Is(err, core.ErrBusy):
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-c.api.Clock.After(busyInterval):
			}
		case apierrors.IsNotFound(err), errors.Is(err, core.ErrRunReplaced), errors.Is(err, core.ErrInputsGone),
			errors.Is(err, core.ErrInputsChanged), unreadable(run):
			return nil, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		default:
			return nil, fmt.Errorf("%w: %w", core.ErrUnavailable, err)
		}
	}
}

// unreadable reports whether a retry cannot succeed. Restored objects can have no name.
func unreadable(run *v1alpha1.FunctionRun) bool {
	_, err := parameters.CachedCount(run)
	return err != nil || run.Name == "" || run.Namespace == ""
}

func listRuns(c *call) error {
	if err := c.require("list", resourceRuns, ""); err != nil {
		return err
	}
	page, err := c.page()
	if err != nil {
		return err
	}
	runs, err := c.requestedRuns()
	if err != nil {
		return err
	}
	release, err := c.enterList()
	if err != nil {
		return err
	}
	defer release()
	runs = slice(page, runs)
	out := c.newStream(http.StatusOK)
	err = prefetch(c.ctx(), runs, c.given, func(run *v1alpha1.FunctionRun, given *core.RunInputs) bool {
		return out.item(func(b []byte) []byte { return c.appendRun(b, run, given) })
	})
	if err != nil || out.broken != nil {
		return err
	}
	out.end()
	return nil
}

// enterList counts a list that is being written.
func (c *call) enterList() (release func(), err error) {
	return c.api.limits.lists.Enter(c.caller.GetName(), c.namespace)
}

// prefetch calls use for each item and its loaded value in order, and loads some values ahead, until use returns false.
func prefetch[T, V any](ctx context.Context, items []T, load func(context.Context, T) (V, error), use func(T, V) bool) error {
	type loaded struct {
		value V
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	waiting := make(chan chan loaded, maxPrefetched)
	go func() {
		defer close(waiting)
		for _, item := range items {
			next := make(chan loaded, 1)
			select {
			case waiting <- next:
			case <-ctx.Done():
				return
			}
			go func() {
				value, err := load(ctx, item)
				next <- loaded{value, err}
			}()
		}
	}()
	for _, item := range items {
		next, ok := <-waiting
		if !ok {
			return ctx.Err()
		}
		got := <-next
		if got.err != nil {
			return got.err
		}
		if !use(item, got.value) {
			return nil
		}
	}
	return nil
}

// requestedRuns returns the caller's runs, or those of the function in the query.
func (c *call) requestedRuns() ([]*v1alpha1.FunctionRun, error) {
	wrong := problems{}
	id, given := c.queryUUID("function", wrong)
	if len(wrong) > 0 {
		return nil, wrong
	}
	if !given {
		return c.api.Cluster.FunctionRuns.List(c.namespace), nil
	}
	f, ok := c.api.Cluster.Functions.Get(c.namespace, id)
	if !ok {
		return nil, nil
	}
	return c.api.Cluster.RunsOf(f), nil
}

// run returns the run of the path, if the caller may get it.
func (c *call) run() (*v1alpha1.FunctionRun, error) {
	run, ok := c.api.Cluster.FunctionRuns.Get(c.namespace, c.id)
	if !ok {
		return nil, c.unknown()
	}
	return run, c.seeRun(run)
}

func (c *call) seeRun(run *v1alpha1.FunctionRun) error {
	allowed, err := c.may("get", resourceRuns, run.Name)
	if err == nil && !allowed {
		return notFound()
	}
	return err
}

func getRun(c *call) error {
	run, err := c.run()
	if err != nil {
		return err
	}
	return c.answerRun(http.StatusOK, run)
}

func (c *call) answerRun(status int, run *v1alpha1.FunctionRun) error {
	if err := core.Decodable(run); err != nil {
		return err
	}
	given, err := c.given(c.ctx(), run)
	if err != nil {
		return err
	}
	c.answer(status, c.appendRun(nil, run, given))
	return nil
}

func createRun(c *call) error {
	if err := c.require("create", resourceRuns, ""); err != nil {
		return err
	}
	read, data, err := c.readBody()
	if err != nil {
		return err
	}
	fields, err := c.runBody(read)
	if err != nil {
		return err
	}
	by, err := c.requester(data)
	if err != nil {
		return err
	}
	run, repeated, err := c.api.Writer.CreateRun(c.ctx(), fields, by)
	if err != nil {
		return err
	}
	klog.FromContext(c.ctx()).Info("Created a FunctionRun for a caller", "run", klog.KObj(run), "caller", by.User, "repeated", repeated)
	return c.answerRun(c.created(), run)
}

func deleteRun(c *call) error {
	run, err := c.run()
	if err != nil {
		return err
	}
	if err := c.require("delete", resourceRuns, run.Name); err != nil {
		return err
	}
	if err := c.notInProgress(run, "run"); err != nil {
		return err
	}
	if err := c.api.Writer.DeleteRun(c.ctx(), run); err != nil {
		return err
	}
	klog.FromContext(c.ctx()).Info("Deleted a FunctionRun for a caller", "run", klog.KObj(run), "caller", c.caller.GetName())
	return c.deleted()
}

// notInProgress returns an error if a job of the run is being executed.
func (c *call) notInProgress(run *v1alpha1.FunctionRun, what string) error {
	if meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionFinished) {
		return nil
	}
	busy, err := c.api.Outcomes.Executes(c.ctx(), run.UID)
	if err != nil {
		return err
	}
	if busy {
		return refuse(http.StatusBadRequest, "This %s has jobs that are in progress. Please wait until they are finished.", what)
	}
	return nil
}
