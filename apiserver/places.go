package apiserver

import (
	"context"
	"net/http"

	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/apiserver/work"
)

// callsOfPod bounds the concurrent calls of one worker. The runner has one, and may repeat it before the server notices that the first
// was cut off.
const callsOfPod = 16

// placed gives each call of a worker a place, and its connection to its pod.
type placed struct {
	work.Authenticator
	conns *connections.Listener // nil if connections are not counted
	calls *shares.Places
}

func newPlaced(callers work.Authenticator, conns *connections.Listener, total int) placed {
	return placed{callers, conns, shares.NewPlaces("calls of workers", shares.Limits{
		Total: total, Caller: min(total, callsOfPod), Namespace: max(1, total/4*3),
	})}
}

// Worker implements work.Authenticator.
func (p placed) Worker(r *http.Request, namespace, run string) (work.Worker, error) {
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
	leave, err := p.calls.Enter(pod, worker.Namespace)
	if err != nil {
		return work.Worker{}, err
	}
	context.AfterFunc(r.Context(), leave) // the context ends with the call
	return worker, nil
}
