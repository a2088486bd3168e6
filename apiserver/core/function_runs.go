package core

import (
	"context"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sharedcloudv1alpha1 "sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/uuids"
)

// RunFields is what REST says of a run that it makes.
type RunFields struct {
	// Function is the function that is called.
	Function *sharedcloudv1alpha1.Function
	// Literal is the text of a Python tuple of tuples; JSON the inputs, where they were given as JSON. One of them is set.
	Literal *string
	JSON    []sharedcloudv1alpha1.Input
	// BidPrice is the number as it was written; "" for none.
	BidPrice string
	// BaseGPU is the label of the weakest product that will do, Products those that do; empty where any will.
	BaseGPU  string
	Products []string
}

// CreateRun makes a FunctionRun. With a key the same request finds what it made before: again is true then.
func (w *Writer) CreateRun(ctx context.Context, fields RunFields, by Requester) (run *sharedcloudv1alpha1.FunctionRun, again bool, err error) {
	function := fields.Function
	run = &sharedcloudv1alpha1.FunctionRun{
		ObjectMeta: w.metadata(function.Namespace, by),
		Spec: sharedcloudv1alpha1.FunctionRunSpec{
			FunctionRef:       sharedcloudv1alpha1.FunctionReference{Name: function.Name},
			ParametersLiteral: fields.Literal,
			Parameters:        fields.JSON,
			RunPolicy:         sharedcloudv1alpha1.RunPolicy{GPUProducts: fields.Products},
		},
	}
	if fields.BidPrice != "" {
		run.Annotations[sharedcloudv1alpha1.AnnotationBidPrice] = fields.BidPrice
	}
	if fields.BaseGPU != "" {
		run.Annotations[sharedcloudv1alpha1.AnnotationBaseGPU] = fields.BaseGPU
	}
	again, err = w.create(ctx, run, by, func() { run.Name = newName(FunctionName(function), "run") })
	if err != nil {
		return nil, false, err
	}
	run, err = w.wroteRun(run)
	return run, again, err
}

// wroteRun lets look-ups see a run that was just written, without its inputs: so it is returned, too.
func (w *Writer) wroteRun(run *sharedcloudv1alpha1.FunctionRun) (*sharedcloudv1alpha1.FunctionRun, error) {
	kept, err := slimRun(run)
	if err != nil {
		return nil, err
	}
	slim, ok := kept.(*sharedcloudv1alpha1.FunctionRun)
	if !ok {
		return nil, fmt.Errorf("a FunctionRun became a %T", kept)
	}
	w.cluster.FunctionRuns.Wrote(slim)
	return slim, nil
}

// StartRun makes a run that a user of Kubernetes asked for. Its function must exist; dry only looks whether it could be
// made. The errors are the API's own, but for ErrUnavailable.
func (w *Writer) StartRun(ctx context.Context, run *sharedcloudv1alpha1.FunctionRun, user string, dry bool) (*sharedcloudv1alpha1.FunctionRun, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	function, ok := w.cluster.FunctionOf(run)
	if !ok {
		function = &sharedcloudv1alpha1.Function{}
		key := client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.FunctionRef.Name}
		if err := w.cluster.Client.Get(ctx, key, function); err != nil {
			return nil, err
		}
	}
	if err := Decodable(function); err != nil {
		return nil, apierrors.NewConflict(sharedcloudv1alpha1.Resource("functions"), function.Name, err)
	}
	if err := w.access.MayUse(ctx, run.Namespace, run.References()); err != nil {
		return nil, err
	}
	if run.Annotations == nil {
		run.Annotations = map[string]string{}
	}
	run.Annotations[sharedcloudv1alpha1.AnnotationRequestedBy] = requester(user)
	run.Annotations[sharedcloudv1alpha1.AnnotationCreated] = strconv.FormatInt(w.clock.Now().UnixMicro(), 10)
	options := []client.CreateOption{client.FieldOwner(sharedcloudv1alpha1.FieldManagerSubresources)}
	if dry {
		options = append(options, client.DryRunAll)
	}
	if err := w.cluster.Client.Create(ctx, run, options...); err != nil {
		return nil, err
	}
	if dry {
		return run, nil
	}
	// It is made: where this fails, the informer brings it.
	_, _ = w.wroteRun(run.DeepCopy())
	run.SetGroupVersionKind(sharedcloudv1alpha1.GroupVersion.WithKind("FunctionRun")) // for whoever is shown it
	return run, nil
}

// CancelRun sets spec.cancel. The errors are the API's own.
func (w *Writer) CancelRun(ctx context.Context, namespace, name string) (*sharedcloudv1alpha1.FunctionRun, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	run := &sharedcloudv1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	err := w.cluster.Client.Patch(ctx, run, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`)),
		client.FieldOwner(sharedcloudv1alpha1.FieldManagerSubresources))
	if err != nil {
		return nil, err
	}
	run.SetGroupVersionKind(sharedcloudv1alpha1.GroupVersion.WithKind("FunctionRun"))
	return run, nil
}

// DeleteRun deletes a run.
func (w *Writer) DeleteRun(ctx context.Context, run *sharedcloudv1alpha1.FunctionRun) error {
	if err := w.remove(ctx, run); err != nil {
		return err
	}
	w.cluster.FunctionRuns.Deleted(run.UID)
	return nil
}

// RunOfJob finds the run and the index that a job's uuid means.
func (c *Cluster) RunOfJob(namespace, job string) (*sharedcloudv1alpha1.FunctionRun, int, bool) {
	prefix, index, ok := uuids.OfJob(job)
	if !ok {
		return nil, 0, false
	}
	run, ok := c.FunctionRuns.find(namespace, prefix, func(identity string) bool { return uuids.Job(identity, index) == job })
	return run, index, ok
}

// FunctionOf is the function that a run calls, if it is still there.
func (c *Cluster) FunctionOf(run *sharedcloudv1alpha1.FunctionRun) (*sharedcloudv1alpha1.Function, bool) {
	return c.Functions.Named(run.Namespace, run.Spec.FunctionRef.Name)
}

// Keys of FunctionRuns in their table.

func functionKey(name string) string { return "function/" + name }

func runKeys(run *sharedcloudv1alpha1.FunctionRun) []string {
	if run.Spec.FunctionRef.Name == "" {
		return nil // it cannot be decoded
	}
	return []string{functionKey(run.Spec.FunctionRef.Name)}
}
