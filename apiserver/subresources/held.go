package subresources

import (
	"context"
	"io"

	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/uploads"
	"sharedcloud.io/function-operator/parameters"
)

// The bytes of uploads that may be in memory at the same time, of one namespace, and of one caller: the largest upload holds
// 17 MiB, most hold a little more than one.
const uploadBytes, uploadNamespaceBytes, uploadCallerBytes = 64 << 20, 40 << 20, 20 << 20

func newUploadBudget() *bodies.Budget {
	return bodies.NewBudget(bodies.Upload, uploadBytes, map[bodies.Kind]int64{bodies.Namespace: uploadNamespaceBytes, bodies.Caller: uploadCallerBytes})
}

// openUpload begins the charge of the caller's upload.
func openUpload(ctx context.Context, budget *bodies.Budget, namespace string) (*bodies.Charge, error) {
	caller := bodies.Key{Kind: bodies.Caller}
	if who, ok := apirequest.UserFrom(ctx); ok {
		caller.Name = who.GetName() + "\x00" + who.GetUID()
	}
	return budget.Open(caller, bodies.Key{Kind: bodies.Namespace, Name: namespace})
}

// held yields the inputs of an upload, and charges what is in memory of its body: all that has arrived, but no more than the piece
// that is stored next and twice the largest input, which the decoder has beside its copy in the piece. Buffers keep their size, so
// the charge does not shrink before the end.
type held struct {
	*parameters.Reader
	body   io.Reader
	charge *bodies.Charge
	// arrived are the bytes of the upload, input those since the last input, largest the most of them.
	arrived, input, largest, charged int64
}

var _ uploads.Inputs = (*held)(nil)

func newHeld(body io.Reader, stream parameters.Stream, charge *bodies.Charge) *held {
	h := &held{body: body, charge: charge}
	h.Reader = parameters.NewReader(arrivals{h}, stream)
	return h
}

// Next implements uploads.Inputs.
func (h *held) Next() (parameters.Input, error) {
	h.input = 0
	return h.Reader.Next()
}

// arrivals is the body of an upload, read by the decoder.
type arrivals struct{ *held }

// Read implements io.Reader.
func (a arrivals) Read(p []byte) (int, error) {
	h := a.held
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
