package subresources

import (
	"context"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// RunCanceller sets spec.cancel.
type RunCanceller interface {
	CancelRun(ctx context.Context, namespace, name string) (*v1alpha1.FunctionRun, error)
}

// Cancel is the subresource functionruns/cancel: it sets spec.cancel of the run, which ends it.
type Cancel struct {
	storage
	canceller RunCanceller
}

var (
	_ rest.Storage   = (*Cancel)(nil)
	_ rest.Connecter = (*Cancel)(nil)
)

// NewCancel returns the subresource.
func NewCancel(canceller RunCanceller) *Cancel {
	return &Cancel{storage: storage{kindRun}, canceller: canceller}
}

// ConnectMethods implements rest.Connecter.
func (*Cancel) ConnectMethods() []string { return []string{http.MethodPost} }

// Connect implements rest.Connecter.
func (c *Cancel) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	namespace := apirequest.NamespaceValue(ctx)
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		run, err := c.canceller.CancelRun(request.Context(), namespace, name)
		if err != nil {
			responder.Error(apiError("the run cannot be cancelled", err))
			return
		}
		writeJSON(w, responder, http.StatusOK, run)
	}), nil
}
