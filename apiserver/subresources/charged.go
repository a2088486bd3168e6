package subresources

import (
	"context"
	"io"

	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/uploads"
	"sharedcloud.io/function-operator/parameters"
)

// The maximum bytes of uploads in memory at the same time, in total, for a namespace, and for a caller: the largest upload
// holds 17 MiB, most hold slightly more than one.
const uploadBytes, uploadNamespaceBytes, uploadCallerBytes = 64 << 20, 40 << 20, 20 << 20

func newUploadBudget() *bodies.Budget {
	return bodies.NewBudget(bodies.Upload, uploadBytes, map[bodies.Kind]int64{bodies.Namespace: uploadNamespaceBytes, bodies.Caller: uploadCallerBytes})
}

// openUpload starts the charge of the caller's upload.
func openUpload(ctx context.Context, budget *bodies.Budget, namespace string) (*bodies.Charge, error) {
	caller := bodies.Key{Kind: bodies.Caller}
	if user, ok := apirequest.UserFrom(ctx); ok {
		caller.Name = user.GetName() + "\x00" + user.GetUID()
	}
	return budget.Open(caller, bodies.Key{Kind: bodies.Namespace, Name: namespace})
}

// chargedInputs yields the inputs of an upload and charges the bytes of its body in memory: those that have arrived, but at
// most the chunk that is stored next and twice the largest input, which the decoder and the chunk both hold. Buffers keep
// their size, so the charge never shrinks before the end.
type chargedInputs struct {
	*parameters.Reader
	body   io.Reader
	charge *bodies.Charge
	// arrived are the bytes of the upload, input those since the last input, largest the maximum of input.
	arrived, input, largest, charged int64
}

var _ uploads.Inputs = (*chargedInputs)(nil)

func newChargedInputs(body io.Reader, stream parameters.Stream, charge *bodies.Charge) *chargedInputs {
	h := &chargedInputs{body: body, charge: charge}
	h.Reader = parameters.NewReader(chargedBody{h}, stream)
	return h
}

// Next implements uploads.Inputs.
func (h *chargedInputs) Next() (parameters.Input, error) {
	h.input = 0
	return h.Reader.Next()
}

// chargedBody is the body of an upload, read by the decoder.
type chargedBody struct{ *chargedInputs }

// Read implements io.Reader.
func (a chargedBody) Read(p []byte) (int, error) {
	h := a.chargedInputs
	n, err := h.body.Read(p)
	h.arrived += int64(n)
	h.input += int64(n)
	h.largest = max(h.largest, h.input)
	more := min(h.arrived, uploads.TargetChunkBytes+2*h.largest) - h.charged
	if more <= 0 {
		return n, err
	}
	h.charged += more
	if full := h.charge.Arrived(int(more)); full != nil {
		h.charge.Close()
		return 0, full
	}
	return n, err
}
