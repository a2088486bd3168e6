package apiserver

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/identity"
)

// rechecker authorizes streams and uploads again while they last. They end within a minute after the right, the token, the account or
// the namespace is gone.
type rechecker struct {
	interval   time.Duration
	authorizer authorizer.Authorizer
	callers    *identity.Callers
	reader     client.Reader
	// alive says whether a namespace exists and is not being deleted.
	alive func(namespace string) bool
}

func (c *rechecker) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, ok := apirequest.RequestInfoFrom(r.Context())
		if !ok || !longRunning(r, info) {
			next.ServeHTTP(w, r)
			return
		}
		attributes, err := filters.GetAuthorizerAttributes(r.Context())
		if err != nil {
			next.ServeHTTP(w, r) // it is authorized already
			return
		}
		again := &again{rechecker: c, attributes: attributes, token: identity.AttemptOf(r.Context()).Token}
		again.source = connections.Source(r)
		ctx, stop := identity.Recheck(r.Context(), c.interval, again.check)
		defer stop()
		waiting := &interrupter{control: http.NewResponseController(w)}
		defer waiting.finish()
		defer context.AfterFunc(ctx, func() {
			if errors.Is(context.Cause(ctx), identity.ErrRevoked) {
				waiting.interrupt()
			}
		})()
		r = r.WithContext(ctx)
		if r.Body != nil {
			r.Body = &revocable{r.Body, ctx}
		}
		next.ServeHTTP(w, r)
	})
}

// interrupter interrupts a handler that waits for its body. The response belongs to the handler: once that has returned, setting a
// deadline crashes the process, and the end of a request and its revocation may come at the same time.
type interrupter struct {
	mu      sync.Mutex
	control *http.ResponseController
}

func (i *interrupter) interrupt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.control != nil {
		_ = i.control.SetReadDeadline(time.Now())
	}
}

// finish returns when no interruption is in progress, and there is none after it.
func (i *interrupter) finish() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.control = nil
}

// revocable is a body that ends when its request is revoked.
type revocable struct {
	io.ReadCloser
	ctx context.Context //nolint:containedctx // it lives as long as the request
}

// Read implements io.Reader.
func (b *revocable) Read(p []byte) (int, error) {
	if errors.Is(context.Cause(b.ctx), identity.ErrRevoked) {
		return 0, identity.ErrRevoked
	}
	return b.ReadCloser.Read(p)
}

// again authorizes one request again.
type again struct {
	*rechecker
	attributes    authorizer.Attributes
	token, source string
	mu            sync.Mutex
	// account is the first uid seen of the caller's service account.
	account types.UID
}

// check returns nil, identity.ErrRevoked, or why it cannot tell.
func (a *again) check(ctx context.Context) error {
	caller := a.attributes.GetUser()
	if namespace := a.attributes.GetNamespace(); namespace != "" && !a.alive(namespace) {
		return identity.ErrRevoked
	}
	if a.token != "" {
		now, err := a.callers.Of(connections.WithSource(ctx, a.source), a.token)
		if errors.As(err, new(*identity.TokenError)) || err == nil && (now.GetName() != caller.GetName() || now.GetUID() != caller.GetUID()) {
			return identity.ErrRevoked
		}
		if err != nil {
			return err
		}
	} else if err := a.accountLives(ctx, caller); err != nil {
		return err
	}
	decision, _, err := a.authorizer.Authorize(ctx, a.attributes)
	if err == nil && decision != authorizer.DecisionAllow {
		return identity.ErrRevoked
	}
	return err
}

// accountLives reads the service account of a caller that the front proxy has authenticated, and the pod that its token is bound
// to: the server does not see that token.
func (a *again) accountLives(ctx context.Context, caller user.Info) error {
	namespace, name, err := serviceaccount.SplitUsername(caller.GetName())
	if err != nil {
		return nil // a user, who has no object in the cluster
	}
	account := metadataOf("ServiceAccount")
	if err := a.lives(ctx, account, namespace, name); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.account == "" {
		a.account = types.UID(caller.GetUID())
	}
	if a.account == "" {
		a.account = account.UID
	}
	if account.UID != "" && account.UID != a.account {
		return identity.ErrRevoked
	}
	extra := caller.GetExtra()
	pods, uids := extra[serviceaccount.PodNameKey], extra[serviceaccount.PodUIDKey]
	if len(pods) != 1 || len(uids) != 1 {
		return nil
	}
	pod := metadataOf("Pod")
	if err := a.lives(ctx, pod, namespace, pods[0]); err != nil {
		return err
	}
	if pod.UID != "" && string(pod.UID) != uids[0] {
		return identity.ErrRevoked
	}
	return nil
}

func metadataOf(kind string) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	return object
}

// lives reads the object, and returns ErrRevoked if it is gone. Without the right to read it the check is skipped.
func (a *again) lives(ctx context.Context, object *metav1.PartialObjectMetadata, namespace, name string) error {
	err := a.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object)
	switch {
	case apierrors.IsNotFound(err), err == nil && object.DeletionTimestamp != nil && object.Kind == "ServiceAccount":
		return identity.ErrRevoked
	case apierrors.IsForbidden(err):
		return nil
	}
	return err
}
