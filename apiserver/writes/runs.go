package writes

import (
	"context"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
)

// RunFields are the fields of a run that REST writes.
type RunFields struct {
	// Function is the function that is called.
	Function *v1alpha1.Function
	// Literal is the text of a Python tuple of tuples, JSON the inputs if they were given as JSON. One of them is set.
	Literal *string
	JSON    []v1alpha1.Input
	// BidPrice is the number as the caller sent it; "" for none.
	BidPrice string
	// BaseGPU is the label of the weakest acceptable GPU product, Products the acceptable products; empty if all are acceptable.
	BaseGPU  string
	Products []string
}

// CreateRun creates a FunctionRun. repeated is true if an earlier request with the same key has created it.
func (w *Writer) CreateRun(ctx context.Context, fields RunFields, by Requester) (run *v1alpha1.FunctionRun, repeated bool, err error) {
	function := fields.Function
	run = &v1alpha1.FunctionRun{
		ObjectMeta: w.metadata(function.Namespace, by),
		Spec: v1alpha1.FunctionRunSpec{
			FunctionRef:       v1alpha1.FunctionReference{Name: function.Name},
			ParametersLiteral: fields.Literal,
			Parameters:        fields.JSON,
			RunPolicy:         v1alpha1.RunPolicy{GPUProducts: fields.Products},
		},
	}
	if fields.BidPrice != "" {
		run.Annotations[v1alpha1.AnnotationBidPrice] = fields.BidPrice
	}
	if fields.BaseGPU != "" {
		run.Annotations[v1alpha1.AnnotationBaseGPU] = fields.BaseGPU
	}
	repeated, err = w.create(ctx, run, by, func() { run.Name = newName(core.FunctionName(function), "run") })
	if err != nil {
		return nil, false, err
	}
	run, err = w.cluster.RememberRun(run)
	return run, repeated, err
}

// StartRun creates a run for a user of the subresources. Its function must exist. dry makes it a dry run. Errors are the API's own.
func (w *Writer) StartRun(ctx context.Context, run *v1alpha1.FunctionRun, user string, dry bool) (*v1alpha1.FunctionRun, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	function, ok := w.cluster.FunctionOf(run)
	if !ok {
		function = &v1alpha1.Function{}
		key := client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.FunctionRef.Name}
		if err := w.cluster.Client.Get(ctx, key, function); err != nil {
			return nil, err
		}
	}
	if err := core.Decodable(function); err != nil {
		return nil, apierrors.NewConflict(v1alpha1.Resource("functions"), function.Name, err)
	}
	if err := w.access.MayUse(ctx, run.Namespace, run.References()); err != nil {
		return nil, err
	}
	if run.Annotations == nil {
		run.Annotations = map[string]string{}
	}
	run.Annotations[v1alpha1.AnnotationRequestedBy] = requester(user)
	run.Annotations[v1alpha1.AnnotationCreated] = strconv.FormatInt(w.clock.Now().UnixMicro(), 10)
	options := []client.CreateOption{client.FieldOwner(v1alpha1.FieldManagerSubresources)}
	if dry {
		options = append(options, client.DryRunAll)
	}
	if err := w.cluster.Client.Create(ctx, run, options...); err != nil {
		return nil, err
	}
	if dry {
		return run, nil
	}
	// The run exists: if this fails, the informer adds it.
	_, _ = w.cluster.RememberRun(run.DeepCopy())
	run.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("FunctionRun")) // the response must include it
	return run, nil
}

// CancelRun sets spec.cancel. The errors are the API's own.
func (w *Writer) CancelRun(ctx context.Context, namespace, name string) (*v1alpha1.FunctionRun, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	run := &v1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	err := w.cluster.Client.Patch(ctx, run, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`)),
		client.FieldOwner(v1alpha1.FieldManagerSubresources))
	if err != nil {
		return nil, err
	}
	run.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("FunctionRun"))
	return run, nil
}

// DeleteRun deletes a run.
func (w *Writer) DeleteRun(ctx context.Context, run *v1alpha1.FunctionRun) error {
	if err := w.remove(ctx, run); err != nil {
		return err
	}
	w.cluster.ForgetRun(run.UID)
	return nil
}
