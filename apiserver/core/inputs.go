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
	// ErrInputsChanged: the run's inputs differ from the pinned ones.
	ErrInputsChanged = errors.New("the inputs of the run have changed since they were pinned")
	// ErrInputsGone: the source of the run's inputs does not exist, and no controller restores it.
	ErrInputsGone = errors.New("the inputs of the run no longer exist")
	// ErrRunReplaced: the run was deleted, and another run has its name.
	ErrRunReplaced = errors.New("the run was deleted and another run has its name")
)

const (
	// inputsTimeout bounds reading and parsing the inputs of one run, which concurrent callers share.
	inputsTimeout = 30 * time.Second
	// perInput estimates the memory of one parsed input besides its text: a slice element and its value.
	perInput = 64
)

// Uploads reads inputs from the outcome store, see package uploads.
type Uploads interface {
	// Inputs returns the number of inputs of an upload of the namespace. If it does not exist, Gone recognizes the error.
	Inputs(ctx context.Context, namespace, digest string) (int, error)
	// Slice returns the inputs from first to last, both included.
	Slice(ctx context.Context, namespace, digest string, first, last int) ([]parameters.Input, error)
	// Gone reports whether an error means that the upload does not exist.
	Gone(err error) bool
}

// Inputs caches the parsed inputs of the most recently used runs, up to a number of bytes.
type Inputs struct {
	reader  client.Reader
	uploads Uploads
	limiter *rate.Limiter
	shares  *shares.Rates
	flights singleflight.Group
	cached  *sized.Cache[types.UID, *RunInputs]
}

// RunInputs are the inputs of a run. They are shared and must not be modified.
type RunInputs struct {
	// Literal is the text of all inputs, if the run has them as one literal.
	Literal *string
	// Stored is the digest of inputs in the outcome store, "" for others: they may be too many to read at once.
	Stored string

	count     int
	inputs    parameters.Inputs // nil if they are in the outcome store
	namespace string
	uploads   Uploads
}

// Len returns the number of inputs.
func (g *RunInputs) Len() int { return g.count }

// Slice returns the inputs from first to last, both included.
func (g *RunInputs) Slice(ctx context.Context, first, last int) ([]parameters.Input, error) {
	if first < 0 || last >= g.count || first > last {
		return nil, fmt.Errorf("inputs %d to %d of %d do not exist", first, last, g.count)
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

// NewInputs returns a cache of at most capacity bytes. Larger inputs are read each time.
func NewInputs(reader client.Reader, uploads Uploads, capacity int64) *Inputs {
	return &Inputs{
		reader:  reader,
		uploads: uploads,
		limiter: rate.NewLimiter(400, 800),
		shares:  shares.NewRates("reads of inputs", 100),
		cached:  sized.New[types.UID, *RunInputs](capacity),
	}
}

// Slice returns the inputs of a run from first to last, both included. count is the pinned number of inputs.
func (i *Inputs) Slice(ctx context.Context, namespace, name string, uid types.UID, count, first, last int) ([]parameters.Input, error) {
	given, err := i.Read(ctx, namespace, name, uid)
	if err != nil {
		return nil, err
	}
	if given.Len() == 0 {
		return nil, errors.New("the run's inputs are not pinned in the state that the Kubernetes API returned, which is stale")
	}
	if given.Len() != count {
		return nil, fmt.Errorf("%w: %d inputs instead of %d", ErrInputsChanged, given.Len(), count)
	}
	return given.Slice(ctx, first, last)
}

// Read returns the inputs of a run.
func (i *Inputs) Read(ctx context.Context, namespace, name string, uid types.UID) (*RunInputs, error) {
	if given, ok := i.cached.Get(uid); ok {
		return given, nil
	}
	return i.fetch(ctx, namespace, name, uid)
}

// Forget drops the inputs of a run that no longer needs them.
func (i *Inputs) Forget(uid types.UID) { i.cached.Forget(uid) }

// fetch reads and parses a run's inputs once for all concurrent callers.
func (i *Inputs) fetch(ctx context.Context, namespace, name string, uid types.UID) (*RunInputs, error) {
	flight := i.flights.DoChan(string(uid), func() (any, error) {
		// Another call may have filled the cache after the caller's look-up.
		if given, ok := i.cached.Get(uid); ok {
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
			i.cached.Put(uid, given, size)
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
			return nil, fmt.Errorf("reading the inputs of FunctionRun %s/%s returned a %T", namespace, name, result.Val)
		}
		return given, nil
	}
}

// read reads a run's inputs from their source. size is their estimated memory; 0 if they must not be cached.
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

// stored returns uploaded inputs. The store's count is used: the one in the run's spec is not verified.
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

// copied reads the ConfigMap to which the controller has copied and pinned the run's inputs.
func (i *Inputs) copied(ctx context.Context, run *v1alpha1.FunctionRun) (*RunInputs, int64, error) {
	if run.Status.Revision == nil || run.Status.Revision.InputsConfigMap == "" {
		return &RunInputs{inputs: none{}}, 0, nil // not pinned yet
	}
	name := run.Status.Revision.InputsConfigMap
	if !nameable(name) {
		return nil, 0, fmt.Errorf("%w: their copy has an invalid ConfigMap name", ErrInputsGone)
	}
	configMap := &corev1.ConfigMap{}
	err := i.reader.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: name}, configMap)
	switch {
	case apierrors.IsNotFound(err):
		return nil, 0, fmt.Errorf("%w: ConfigMap %s with their copy was deleted", ErrInputsGone, name)
	case err != nil:
		// Not the API's own error: a NotFound would be taken for the run's.
		return nil, 0, err
	case !metav1.IsControlledBy(configMap, run):
		return nil, 0, fmt.Errorf("%w: ConfigMap %s does not belong to the run", ErrInputsGone, name)
	}
	// Runs that were pinned by versions without digests have none.
	if want := run.Status.Revision.InputsDigest; want != "" {
		if got := v1alpha1.ContentDigest(run.UID, configMap); got != want {
			return nil, 0, fmt.Errorf("%w: the content of ConfigMap %s has the digest %s instead of %s", ErrInputsChanged, name, got, want)
		}
	}
	text, _ := v1alpha1.ConfigMapValue(configMap, v1alpha1.InputsKey)
	format := v1alpha1.ParametersFormat(configMap.Data[v1alpha1.InputsFormatKey])
	inputs, err := parameters.Collect(bytes.NewReader(text), parameters.Stream{Format: format})
	if err != nil {
		return nil, 0, fmt.Errorf("%w: ConfigMap %s cannot be parsed: %w", ErrInputsGone, name, err)
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

// inputsSize estimates the memory of parsed inputs: their text, and a constant for each input and each value.
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

// NewRunInputs returns the inputs of a run that has them in its spec.
func NewRunInputs(inputs parameters.Inputs) *RunInputs {
	return &RunInputs{inputs: inputs, count: inputs.Len()}
}
