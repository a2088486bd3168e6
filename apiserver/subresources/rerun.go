package subresources

import (
	"context"
	"errors"
	"io"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/exchange/indexset"
	"sharedcloud.io/function-operator/parameters"
)

// maxRerunIndexesBytes limits the annotation with the indexes that the run repeats.
const maxRerunIndexesBytes = 4096

// FailureReader lists inputs that did not succeed.
type FailureReader interface {
	// Unsuccessful returns the indexes of a run that did not succeed.
	Unsuccessful(ctx context.Context, run types.UID) (indexset.Set, error)
}

// InputReader reads the inputs of a run.
type InputReader interface {
	Read(ctx context.Context, namespace, name string, uid types.UID) (*core.RunInputs, error)
}

// Rerun is the subresource functionruns/rerun: it creates a run of the inputs that did not succeed. The indexes of the new
// run start at 0; annotations contain the original run and indexes.
type Rerun struct {
	storage
	runs     RunGetter
	outcomes FailureReader
	inputs   InputReader
	uploader Uploader
	starter  RunStarter
	uploads  *shares.Limiter
}

var (
	_ rest.Storage   = (*Rerun)(nil)
	_ rest.Connecter = (*Rerun)(nil)
)

// NewRerun returns the subresource.
func NewRerun(runs RunGetter, reader FailureReader, inputs InputReader, uploader Uploader, starter RunStarter) *Rerun {
	return &Rerun{storage: storage{kindRun}, runs: runs, outcomes: reader, inputs: inputs, uploader: uploader, starter: starter,
		uploads: shares.NewLimiter("reruns", uploadLimits)}
}

// ConnectMethods implements rest.Connecter.
func (*Rerun) ConnectMethods() []string { return []string{http.MethodPost} }

// Connect implements rest.Connecter.
func (r *Rerun) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	old, err := findRun(ctx, r.runs, apirequest.NamespaceValue(ctx), name)
	if err != nil {
		return nil, err
	}
	user := callerOf(ctx)
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		run, err := r.serve(request, old, user)
		if err != nil {
			responder.Error(apiError("the run cannot be created", err))
			return
		}
		writeJSON(w, responder, http.StatusCreated, run)
	}), nil
}

func (r *Rerun) serve(request *http.Request, old *v1alpha1.FunctionRun, user string) (*v1alpha1.FunctionRun, error) {
	ctx := request.Context()
	leave, err := enter(ctx, r.uploads, old.Namespace)
	if err != nil {
		return nil, err
	}
	defer leave()
	run := &v1alpha1.FunctionRun{Spec: v1alpha1.FunctionRunSpec{RunPolicy: old.Spec.RunPolicy}}
	values, err := queryOf(request)
	if err != nil {
		return nil, err
	}
	if err := parseAll(values, map[string]func(string) error{
		"name": func(text string) error { run.Name = text; return nil },
		"spec": func(text string) error { return specFrom(text, &run.Spec) },
	}); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if !meta.IsStatusConditionTrue(old.Status.Conditions, v1alpha1.ConditionFinished) {
		return nil, conflict(old.Name, errors.New("the run has not finished: wait until it has, or cancel it"))
	}
	run.Namespace = old.Namespace
	run.Spec.FunctionRef = old.Spec.FunctionRef
	if run.Name == "" {
		run.GenerateName = old.Name[:min(len(old.Name), 50)] + "-again-"
	}
	failed, err := r.outcomes.Unsuccessful(ctx, old.UID)
	if err != nil {
		return nil, readError(err)
	}
	if failed.Empty() {
		return nil, conflict(old.Name, errors.New("every input of the run succeeded: there is nothing to rerun"))
	}
	indexes, rest := failed.Cut(maxRerunIndexesBytes)
	text := indexes.String()
	if !rest.Empty() {
		text += ",…"
	}
	run.Labels = map[string]string{v1alpha1.LabelRerunOf: old.Name}
	run.Annotations = map[string]string{
		v1alpha1.AnnotationRerunOf:      string(old.UID),
		v1alpha1.AnnotationRerunIndexes: text,
	}
	given, err := r.inputs.Read(ctx, old.Namespace, old.Name, old.UID)
	if err != nil {
		return nil, inputsError(old.Name, err)
	}
	upload, err := r.uploader.Write(ctx, old.Namespace, &selectedInputs{ctx: ctx, given: given, left: failed})
	if err != nil {
		return nil, inputsError(old.Name, err)
	}
	run.Spec.ParametersFrom = uploadedAs(upload)
	return r.starter.StartRun(ctx, run, user, false)
}

func inputsError(name string, err error) error {
	if errors.Is(err, core.ErrInputsGone) {
		return conflict(name, err)
	}
	return uploadError(err, noInputStored)
}

func conflict(name string, err error) error {
	return apierrors.NewConflict(v1alpha1.Resource("functionruns"), name, err)
}

// picked yields some of the inputs that a run was given.
type selectedInputs struct {
	ctx    context.Context //nolint:containedctx // it lives as long as one upload
	given  *core.RunInputs
	left   indexset.Set
	loaded []parameters.Input
}

// rerunBatch is how many neighbours are read at once.
const rerunBatch = 1024

// Next returns the next input, or io.EOF after the last.
func (p *selectedInputs) Next() (parameters.Input, error) {
	if len(p.loaded) == 0 {
		if p.left.Empty() {
			return parameters.Input{}, io.EOF
		}
		var first indexset.Range
		for first = range p.left.Ranges() {
			break
		}
		first.Last = min(first.Last, first.First+rerunBatch-1)
		inputs, err := p.given.Slice(p.ctx, first.First, first.Last)
		if err != nil {
			return parameters.Input{}, err
		}
		p.loaded = inputs
		p.left = p.left.Minus(indexset.Span(first.First, first.Last))
	}
	next := p.loaded[0]
	p.loaded = p.loaded[1:]
	return next, nil
}
