package core

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
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

// Inputs keeps the parsed inputs of the runs that are handed out at the moment, so many bytes of them.
type Inputs struct {
	reader  client.Reader
	limiter *rate.Limiter
	flights singleflight.Group

	mu       sync.Mutex
	capacity int64
	used     int64
	entries  map[types.UID]*list.Element
	recent   *list.List // of *inputsEntry; the front was used last
}

type inputsEntry struct {
	uid    types.UID
	tuples parameters.Tuples
	size   int64
}

// NewInputs makes a cache of at most capacity bytes. Inputs that are larger than that are read for each hand-out.
func NewInputs(reader client.Reader, capacity int64) *Inputs {
	return &Inputs{
		reader:   reader,
		limiter:  rate.NewLimiter(20, 40),
		capacity: capacity,
		entries:  map[types.UID]*list.Element{},
		recent:   list.New(),
	}
}

// Slice returns the tuples of a run from first to last, both included. count is the number that was pinned.
func (i *Inputs) Slice(ctx context.Context, namespace, name string, uid types.UID, count, first, last int) ([]parameters.Input, error) {
	tuples, ok := i.cached(uid)
	if !ok {
		var err error
		if tuples, err = i.fetch(ctx, namespace, name, uid); err != nil {
			return nil, err
		}
	}
	if tuples.Len() != count {
		return nil, fmt.Errorf("%w: %d tuples, pinned with %d", ErrInputsChanged, tuples.Len(), count)
	}
	if first < 0 || last >= count || first > last {
		return nil, fmt.Errorf("tuples %d to %d of %d were asked for", first, last, count)
	}
	return tuples.Slice(first, last), nil
}

// Forget drops the inputs of a run that needs them no more.
func (i *Inputs) Forget(uid types.UID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if element, ok := i.entries[uid]; ok {
		i.drop(element)
	}
}

func (i *Inputs) cached(uid types.UID) (parameters.Tuples, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	element, ok := i.entries[uid]
	if !ok {
		return nil, false
	}
	i.recent.MoveToFront(element)
	return element.Value.(*inputsEntry).tuples, true
}

// fetch reads and parses a run's inputs once for all that wait for them.
func (i *Inputs) fetch(ctx context.Context, namespace, name string, uid types.UID) (parameters.Tuples, error) {
	flight := i.flights.DoChan(string(uid), func() (any, error) {
		// Another flight may have ended between the look and this one.
		if tuples, ok := i.cached(uid); ok {
			return tuples, nil
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
		i.keep(uid, tuples, inputsSize(&run.Spec, tuples.Len()))
		return tuples, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-flight:
		if result.Err != nil {
			return nil, result.Err
		}
		tuples, ok := result.Val.(parameters.Tuples)
		if !ok {
			return nil, fmt.Errorf("reading the inputs of FunctionRun %s/%s gave a %T", namespace, name, result.Val)
		}
		return tuples, nil
	}
}

func (i *Inputs) keep(uid types.UID, tuples parameters.Tuples, size int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, ok := i.entries[uid]; ok || size > i.capacity {
		return
	}
	i.entries[uid] = i.recent.PushFront(&inputsEntry{uid: uid, tuples: tuples, size: size})
	i.used += size
	for i.used > i.capacity {
		i.drop(i.recent.Back())
	}
}

func (i *Inputs) drop(element *list.Element) {
	entry := i.recent.Remove(element).(*inputsEntry)
	delete(i.entries, entry.uid)
	i.used -= entry.size
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
