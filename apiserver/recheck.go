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

// rechecker authorizes streams and uploads again while they last: they end within a minute after the right, the token, the service account
// or the namespace was removed.
type rechecker struct {
	interval   time.Duration
	authorizer authorizer.Authorizer
	callers    *identity.Callers
	reader     client.Reader
	// alive reports whether a namespace exists and is not being deleted.
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
			next.ServeHTTP(w, r) // the first authorization is still valid
			return
		}
		check := &authorization{rechecker: c, attributes: attributes, token: identity.AttemptOf(r.Context()).Token}
		check.source = connections.Source(r)
		ctx, stop := identity.Recheck(r.Context(), c.interval, check.run)
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
			r.Body = &revocableBody{r.Body, ctx}
		}
		next.ServeHTTP(w, r)
	})
}

// interrupter interrupts a handler that waits for its body. Only the handler may use the response: setting a deadline after it has returned
// crashes the process, and the end of a request races with its revocation.
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

// finish waits for a running interruption, and prevents further ones.
func (i *interrupter) finish() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.control = nil
}

// revocableBody is a body that fails once its request is revoked.
type revocableBody struct {
	io.ReadCloser
	ctx context.Context //nolint:containedctx // the lifetime of the body is that of the request
}

// Read implements io.Reader.
func (b *revocableBody) Read(p []byte) (int, error) {
	if errors.Is(context.Cause(b.ctx), identity.ErrRevoked) {
		return 0, identity.ErrRevoked
	}
	return b.ReadCloser.Read(p)
}

// authorization authorizes one request again.
type authorization struct {
	*rechecker
	attributes    authorizer.Attributes
	token, source string
	mu            sync.Mutex
	// account is the first known uid of the caller's service account.
	account types.UID
}

// run returns nil, identity.ErrRevoked, or the error of a check that could not be made.
func (a *authorization) run(ctx context.Context) error {
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
	} else if err := a.checkAccount(ctx, caller); err != nil {
		return err
	}
	decision, _, err := a.authorizer.Authorize(ctx, a.attributes)
	if err == nil && decision != authorizer.DecisionAllow {
		return identity.ErrRevoked
	}
	return err
}

// checkAccount reads the service account of a caller that the front proxy has authenticated, and the pod to which its token is bound: the
// server does not see the token.
func (a *authorization) checkAccount(ctx context.Context, caller user.Info) error {
	namespace, name, err := serviceaccount.SplitUsername(caller.GetName())
	if err != nil {
		return nil // users have no object in the cluster
	}
	account := metadataOf("ServiceAccount")
	if err := a.checkExists(ctx, account, namespace, name); err != nil {
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
	if err := a.checkExists(ctx, pod, namespace, pods[0]); err != nil {
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

// checkExists reads the object and returns ErrRevoked if it was deleted. Without the right to read it the check is skipped.
func (a *authorization) checkExists(ctx context.Context, object *metav1.PartialObjectMetadata, namespace, name string) error {
	err := a.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object)
	switch {
	case apierrors.IsNotFound(err), err == nil && object.DeletionTimestamp != nil && object.Kind == "ServiceAccount":
		return identity.ErrRevoked
	case apierrors.IsForbidden(err):
		return nil
	}
	return err
}
