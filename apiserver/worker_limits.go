package apiserver

import (
	"context"
	"net/http"

	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/apiserver/work"
)

// maxCallsPerPod bounds the concurrent calls of one worker. The runner has one, and may repeat it before the server notices that the first
// was interrupted.
const maxCallsPerPod = 16

// limitedWorkers authenticates the calls of workers, bounds them, and counts each connection for its pod.
type limitedWorkers struct {
	work.Authenticator
	conns *connections.Listener // nil if connections are not counted
	calls *shares.Limiter
}

func newLimitedWorkers(callers work.Authenticator, conns *connections.Listener, total int) limitedWorkers {
	return limitedWorkers{callers, conns, shares.NewLimiter("calls of workers", shares.Limits{
		Total: total, Caller: min(total, maxCallsPerPod), Namespace: max(1, total/4*3),
	})}
}

// Worker implements work.Authenticator.
func (p limitedWorkers) Worker(r *http.Request, namespace, run string) (work.Worker, error) {
	worker, err := p.Authenticator.Worker(r, namespace, run)
	if err != nil {
		return worker, err
	}
	pod := worker.Namespace + "/" + worker.PodName
	if p.conns != nil {
		if err := p.conns.Authenticated(r.RemoteAddr, pod, worker.Namespace); err != nil {
			return work.Worker{}, err
		}
	}
	release, err := p.calls.Enter(pod, worker.Namespace)
	if err != nil {
		return work.Worker{}, err
	}
	context.AfterFunc(r.Context(), release) // the request's context ends with the call
	return worker, nil
}
