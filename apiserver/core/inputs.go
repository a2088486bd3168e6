package core

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/apiserver/sized"
	"sharedcloud.io/function-operator/parameters"
)

// Errors of inputs.
var (
	// ErrInputsChanged: the run's inputs are not those that it was pinned with.
	ErrInputsChanged = errors.New("the inputs of the run are not those that it was pinned with")
	// ErrInputsGone: what the run names as its inputs is not there, and nothing brings it back by itself.
	ErrInputsGone = errors.New("the inputs of the run are gone")
	// ErrRunReplaced: another run has taken the name.
	ErrRunReplaced = errors.New("another run has taken the name")
)

const (
	// inputsTimeout bounds reading and parsing one run, which all that wait for it share.
	inputsTimeout = 30 * time.Second
	// perInput is the estimate of what one parsed input costs beside its text: a slice element and what it points to.
	perInput = 64
)

// Uploads are inputs that the outcome store keeps, see package uploads.
type Uploads interface {
	// Inputs is how many an upload of the namespace has. There being no such upload is an error that Gone recognises.
	Inputs(ctx context.Context, namespace, digest string) (int, error)
	// Slice returns the inputs from first to last, both included.
	Slice(ctx context.Context, namespace, digest string, first, last int) ([]parameters.Input, error)
	// Gone says whether an error means that there is no such upload.
	Gone(err error) bool
}

// Inputs keeps the parsed inputs of the runs that were asked for last, so many bytes of them.
type Inputs struct {
	reader  client.Reader
	uploads Uploads
	limiter *rate.Limiter
	shares  *shares.Rates
	flights singleflight.Group
	kept    *sized.Cache[types.UID, *RunInputs]
}

// RunInputs is what a run was given. It is shared: nobody changes it.
type RunInputs struct {
	// Literal is the text of all inputs, where they were given as one.
	Literal *string
	// Stored is the digest of inputs that the store keeps, "" for others: they may be too many to be read at once.
	Stored string

	count     int
	inputs    parameters.Inputs // nil where they are stored
	namespace string
	uploads   Uploads
}

// Len is how many inputs there are.
func (g *RunInputs) Len() int { return g.count }

// Slice returns the inputs from first to last, both included.
func (g *RunInputs) Slice(ctx context.Context, first, last int) ([]parameters.Input, error) {
	if first < 0 || last >= g.count || first > last {
		return nil, fmt.Errorf("inputs %d to %d of %d were asked for", first, last, g.count)
	}
	if g.inputs != nil {
		return g.inputs.Slice(first, last), nil
	}
	inputs, err := g.uploads.Slice(ctx, g.namespace, g.Stored, first, last)
	if err != nil && g.uploads.Gone(err) {
		return nil, fmt.Errorf("%w: %w", ErrInputsGone, err)
	}
	return inputs, err
}

// NewInputs makes a cache of at most capacity bytes. Inputs that are larger than that are read each time.
func NewInputs(reader client.Reader, uploads Uploads, capacity int64) *Inputs {
	return &Inputs{
		reader:  reader,
		uploads: uploads,
		limiter: rate.NewLimiter(400, 800),
		shares:  shares.NewRates("readings of inputs", 100),
		kept:    sized.New[types.UID, *RunInputs](capacity),
	}
}

// Slice returns the inputs of a run from first to last, both included. count is the number that was pinned.
func (i *Inputs) Slice(ctx context.Context, namespace, name string, uid types.UID, count, first, last int) ([]parameters.Input, error) {
	given, err := i.Read(ctx, namespace, name, uid)
	if err != nil {
		return nil, err
	}
	if given.Len() == 0 {
		return nil, errors.New("the run's inputs are not pinned yet, by what the API says: it lags behind")
	}
	if given.Len() != count {
		return nil, fmt.Errorf("%w: %d inputs, pinned with %d", ErrInputsChanged, given.Len(), count)
	}
	return given.Slice(ctx, first, last)
}

// RunInputs returns what a run was given.
func (i *Inputs) Read(ctx context.Context, namespace, name string, uid types.UID) (*RunInputs, error) {
	if given, ok := i.kept.Get(uid); ok {
		return given, nil
	}
	return i.fetch(ctx, namespace, name, uid)
}

// Forget drops the inputs of a run that needs them no more.
func (i *Inputs) Forget(uid types.UID) { i.kept.Forget(uid) }

// fetch reads and parses a run's inputs once for all that wait for them.
func (i *Inputs) fetch(ctx context.Context, namespace, name string, uid types.UID) (*RunInputs, error) {
	flight := i.flights.DoChan(string(uid), func() (any, error) {
		// Another flight may have ended between the look and this one.
		if given, ok := i.kept.Get(uid); ok {
			return given, nil
		}
		if i.shares.TakeOfCaller(namespace) != nil || !i.limiter.Allow() {
			return nil, ErrBusy
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), inputsTimeout)
		defer cancel()
		given, size, err := i.read(ctx, namespace, name, uid)
		if err != nil {
			return nil, fmt.Errorf("reading the inputs of FunctionRun %s/%s: %w", namespace, name, err)
		}
		if size > 0 {
			i.kept.Put(uid, given, size)
		}
		return given, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-flight:
		if result.Err != nil {
			return nil, result.Err
		}
		given, ok := result.Val.(*RunInputs)
		if !ok {
			return nil, fmt.Errorf("reading the inputs of FunctionRun %s/%s gave a %T", namespace, name, result.Val)
		}
		return given, nil
	}
}

// read reads a run's inputs from where they are. size is what they take in memory; 0 for what must be looked at again.
func (i *Inputs) read(ctx context.Context, namespace, name string, uid types.UID) (given *RunInputs, size int64, err error) {
	run := &v1alpha1.FunctionRun{}
	if err := i.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, run); err != nil {
		return nil, 0, err
	}
	if run.UID != uid {
		return nil, 0, ErrRunReplaced
	}
	if err := Decodable(run); err != nil {
		return nil, 0, err
	}
	inputs, err := parameters.FromSpec(&run.Spec)
	switch {
	case err == nil:
		given = &RunInputs{Literal: run.Spec.ParametersLiteral, inputs: inputs, count: inputs.Len()}
		return given, inputsSize(&run.Spec, inputs.Len()), nil
	case !errors.Is(err, parameters.ErrElsewhere):
		return nil, 0, err
	case run.Spec.ParametersFrom.Upload != nil:
		return i.stored(ctx, run, run.Spec.ParametersFrom.Upload)
	}
	return i.copied(ctx, run)
}

// stored finds inputs that were uploaded. How many the run says they are is only its word.
func (i *Inputs) stored(ctx context.Context, run *v1alpha1.FunctionRun, upload *v1alpha1.UploadReference) (*RunInputs, int64, error) {
	count, err := i.uploads.Inputs(ctx, run.Namespace, upload.Digest)
	switch {
	case err != nil && i.uploads.Gone(err):
		return nil, 0, fmt.Errorf("%w: %w", ErrInputsGone, err)
	case err != nil:
		return nil, 0, err
	}
	return &RunInputs{Stored: upload.Digest, count: count, namespace: run.Namespace, uploads: i.uploads}, 512, nil
}

// copied reads the copy of a ConfigMap's inputs that the run was pinned with.
func (i *Inputs) copied(ctx context.Context, run *v1alpha1.FunctionRun) (*RunInputs, int64, error) {
	if run.Status.Revision == nil || run.Status.Revision.InputsConfigMap == "" {
		return &RunInputs{inputs: none{}}, 0, nil // not pinned yet
	}
	name := run.Status.Revision.InputsConfigMap
	if !nameable(name) {
		return nil, 0, fmt.Errorf("%w: no ConfigMap can have the name of the copy of them", ErrInputsGone)
	}
	configMap := &corev1.ConfigMap{}
	err := i.reader.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: name}, configMap)
	switch {
	case apierrors.IsNotFound(err):
		return nil, 0, fmt.Errorf("%w: the ConfigMap %s, which held the copy of them, was deleted", ErrInputsGone, name)
	case err != nil:
		// Not the API's own error: a NotFound would be taken for the run's.
		return nil, 0, err
	case !metav1.IsControlledBy(configMap, run):
		return nil, 0, fmt.Errorf("%w: the ConfigMap %s does not belong to the run", ErrInputsGone, name)
	}
	// A run that was pinned before there were digests has none.
	if want := run.Status.Revision.InputsDigest; want != "" {
		if got := v1alpha1.ContentDigest(run.UID, configMap); got != want {
			return nil, 0, fmt.Errorf("%w: the content of the ConfigMap %s has the digest %s instead of %s", ErrInputsChanged, name, got, want)
		}
	}
	text, _ := v1alpha1.ConfigMapValue(configMap, v1alpha1.InputsKey)
	format := v1alpha1.ParametersFormat(configMap.Data[v1alpha1.InputsFormatKey])
	inputs, err := parameters.Collect(bytes.NewReader(text), parameters.Stream{Format: format})
	if err != nil {
		return nil, 0, fmt.Errorf("%w: the ConfigMap %s cannot be read: %w", ErrInputsGone, name, err)
	}
	given := &RunInputs{inputs: inputs, count: inputs.Len()}
	if literal := strings.TrimSpace(string(text)); format == v1alpha1.FormatPython {
		given.Literal = &literal
	}
	return given, int64(len(text)) + int64(inputs.Len())*perInput, nil
}

type none struct{}

func (none) Len() int { return 0 }

func (none) Slice(int, int) []parameters.Input { return nil }

// inputsSize estimates what parsed inputs hold in memory: their text, and something for each input and each value.
func inputsSize(spec *v1alpha1.FunctionRunSpec, count int) int64 {
	size := int64(count) * perInput
	if spec.ParametersLiteral != nil {
		size += int64(len(*spec.ParametersLiteral))
	}
	for _, input := range spec.Parameters {
		for i := range input {
			size += int64(len(input[i].Raw)) + perInput
		}
	}
	return size
}

// NewRunInputs is what a run was given that has these in its spec.
func NewRunInputs(inputs parameters.Inputs) *RunInputs {
	return &RunInputs{inputs: inputs, count: inputs.Len()}
}
