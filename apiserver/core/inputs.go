package core

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sharedcloudv1alpha1 "sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/parameters"
)

// Errors of inputs.
var (
	// ErrInputsChanged: the run's inputs are not those that it was pinned with.
	ErrInputsChanged = errors.New("the inputs of the run are not those that it was pinned with")
	// ErrRunReplaced: another run has taken the name.
	ErrRunReplaced = errors.New("another run has taken the name")
)

const (
	// inputsTimeout bounds reading and parsing one run, which all that wait for it share.
	inputsTimeout = 30 * time.Second
	// perTuple is the estimate of what one parsed tuple costs beside its text: a slice element and what it points to.
	perTuple = 64
)

// Inputs keeps the parsed inputs of the runs that were asked for last, so many bytes of them.
type Inputs struct {
	reader  client.Reader
	limiter *rate.Limiter
	flights singleflight.Group
	kept    *sizedCache[types.UID, *Given]
}

// Given is what a run was given.
type Given struct {
	Tuples parameters.Tuples
	// Literal is the text of all of them, where they were given as one.
	Literal *string
}

// NewInputs makes a cache of at most capacity bytes. Inputs that are larger than that are read each time.
func NewInputs(reader client.Reader, capacity int64) *Inputs {
	return &Inputs{
		reader:  reader,
		limiter: rate.NewLimiter(100, 200),
		kept:    newSizedCache[types.UID, *Given](capacity),
	}
}

// Slice returns the tuples of a run from first to last, both included. count is the number that was pinned.
func (i *Inputs) Slice(ctx context.Context, namespace, name string, uid types.UID, count, first, last int) ([]parameters.Input, error) {
	given, err := i.Given(ctx, namespace, name, uid)
	if err != nil {
		return nil, err
	}
	if given.Tuples.Len() != count {
		return nil, fmt.Errorf("%w: %d tuples, pinned with %d", ErrInputsChanged, given.Tuples.Len(), count)
	}
	if first < 0 || last >= count || first > last {
		return nil, fmt.Errorf("tuples %d to %d of %d were asked for", first, last, count)
	}
	return given.Tuples.Slice(first, last), nil
}

// Given returns all inputs of a run. They are shared: nobody changes them.
func (i *Inputs) Given(ctx context.Context, namespace, name string, uid types.UID) (*Given, error) {
	if given, ok := i.kept.get(uid); ok {
		return given, nil
	}
	return i.fetch(ctx, namespace, name, uid)
}

// Forget drops the inputs of a run that needs them no more.
func (i *Inputs) Forget(uid types.UID) { i.kept.forget(uid) }

// fetch reads and parses a run's inputs once for all that wait for them.
func (i *Inputs) fetch(ctx context.Context, namespace, name string, uid types.UID) (*Given, error) {
	flight := i.flights.DoChan(string(uid), func() (any, error) {
		// Another flight may have ended between the look and this one.
		if given, ok := i.kept.get(uid); ok {
			return given, nil
		}
		if !i.limiter.Allow() {
			return nil, ErrBusy
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), inputsTimeout)
		defer cancel()
		run := &sharedcloudv1alpha1.FunctionRun{}
		if err := i.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, run); err != nil {
			return nil, fmt.Errorf("reading the inputs of FunctionRun %s/%s: %w", namespace, name, err)
		}
		if run.UID != uid {
			return nil, ErrRunReplaced
		}
		tuples, err := parameters.FromSpec(&run.Spec)
		if err != nil {
			return nil, fmt.Errorf("reading the inputs of FunctionRun %s/%s: %w", namespace, name, err)
		}
		given := &Given{Tuples: tuples, Literal: run.Spec.ParametersLiteral}
		i.kept.put(uid, given, inputsSize(&run.Spec, tuples.Len()))
		return given, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-flight:
		if result.Err != nil {
			return nil, result.Err
		}
		given, ok := result.Val.(*Given)
		if !ok {
			return nil, fmt.Errorf("reading the inputs of FunctionRun %s/%s gave a %T", namespace, name, result.Val)
		}
		return given, nil
	}
}

// inputsSize estimates what parsed inputs hold in memory: their text, and something for each tuple and each value.
func inputsSize(spec *sharedcloudv1alpha1.FunctionRunSpec, count int) int64 {
	size := int64(count) * perTuple
	if spec.ParametersLiteral != nil {
		size += int64(len(*spec.ParametersLiteral))
	}
	for _, tuple := range spec.Parameters {
		for i := range tuple {
			size += int64(len(tuple[i].Raw)) + perTuple
		}
	}
	return size
}
