package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// worker does the part of the supervisor in a pod.
type worker struct {
	run      *v1alpha1.FunctionRun
	pod      *corev1.Pod
	token    string
	server   *server
	sequence int
}

// answer is the part of a response that a worker reads.
type answer struct {
	Action string `json:"action"`
	Inputs []struct {
		Index   int             `json:"index"`
		JSON    json.RawMessage `json:"json"`
		Literal string          `json:"literal"`
	} `json:"inputs"`
	Revoked string `json:"revoked"`
	Error   string `json:"error"`
}

// indexes are the indexes of the leased inputs.
func (a answer) indexes() []int {
	indexes := []int{}
	for _, input := range a.Inputs {
		indexes = append(indexes, input.Index)
	}
	return indexes
}

func newWorker(ctx context.Context, run *v1alpha1.FunctionRun, job *batchv1.Job, index int) *worker {
	GinkgoHelper()
	pod := newPod(ctx, run, job, index)
	return &worker{run: run, pod: pod, token: tokenOf(ctx, pod, v1alpha1.ExchangeAudience), server: api}
}

// post makes a call, and returns the status and the body.
func (w *worker) post(ctx context.Context, run string, body map[string]any) (int, answer) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, answer{Error: err.Error()}
	}
	address := fmt.Sprintf("%s/work/v1/namespaces/%s/runs/%s/exchange", w.server.url(), w.run.Namespace, run)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(data))
	if err != nil {
		return 0, answer{Error: err.Error()}
	}
	request.Header.Set("Content-Type", "application/json")
	if w.token != "" {
		request.Header.Set("Authorization", "Bearer "+w.token)
	}
	response, err := w.server.client().Do(request)
	if err != nil {
		return 0, answer{Error: err.Error()}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, answer{Error: err.Error()}
	}
	said := answer{}
	if err := json.Unmarshal(text, &said); err != nil {
		return response.StatusCode, answer{Error: string(text)}
	}
	return response.StatusCode, said
}

// call makes the next call, and repeats it as a worker does until it is answered.
func (w *worker) call(ctx context.Context, held string, want bool, outcomes ...map[string]any) answer {
	GinkgoHelper()
	w.sequence++
	return w.again(ctx, held, want, outcomes...)
}

// again repeats the last call.
func (w *worker) again(ctx context.Context, held string, want bool, outcomes ...map[string]any) answer {
	GinkgoHelper()
	body := map[string]any{"protocol": 1, "sequence": w.sequence, "held": held, "want": want, "outcomes": outcomes}
	var said answer
	Eventually(func(g Gomega) {
		var status int
		status, said = w.post(ctx, w.run.Name, body)
		g.Expect(status).To(Equal(http.StatusOK), said.Error)
	}).WithContext(ctx).WithPolling(100 * time.Millisecond).Should(Succeed())
	return said
}

// inputMicros is the duration of an input. Inputs that long are leased one by one.
const inputMicros = 10_000_000

// succeeded is the outcome of an input that succeeded.
func succeeded(index int, result any) map[string]any {
	return map[string]any{
		"index": index, "status": "Succeeded", "result": result,
		"startTime": time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC).UnixMicro() + int64(index), "durationMicros": inputMicros,
	}
}

// failed is the outcome of an input that raised.
func failed(index int) map[string]any {
	return map[string]any{
		"index": index, "status": "Failed", "error": map[string]any{"type": "ValueError", "message": "no", "traceback": "here"},
		"startTime": time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixMicro(), "durationMicros": inputMicros,
	}
}
