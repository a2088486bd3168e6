package core

import (
	"context"
	"fmt"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/sized"
	"sharedcloud.io/function-operator/runtimes"
)

// codeBytes bounds the cache of code that is stored in ConfigMaps.
const codeBytes = 32 << 20

// Code reads the code of functions: from the Function, or from the revision that was created from its ConfigMap. The Function's status
// has the revision's digest, so cached code is never stale and never another function's.
type Code struct {
	reader  client.Reader
	flights singleflight.Group
	cached  *sized.Cache[string, string]
}

// NewCode returns a Code that reads revisions with reader.
func NewCode(reader client.Reader) *Code {
	return &Code{reader: reader, cached: sized.New[string, string](codeBytes)}
}

// Of returns a function's code; "" if its ConfigMap does not exist yet. The error is ErrUnavailable, a *NotDecodableError, or ctx's.
func (c *Code) Of(ctx context.Context, f *v1alpha1.Function) (string, error) {
	if f.Spec.Code != nil {
		return *f.Spec.Code, nil
	}
	if err := Decodable(f); err != nil {
		return "", err
	}
	revision := f.Status.Revision
	runtime, known := runtimes.Lookup(f.Spec.Runtime)
	if revision == nil || !known || !nameable(revision.Name) {
		return "", nil
	}
	key := f.Namespace + "/" + revision.Name + "/" + revision.Digest
	if code, ok := c.cached.Get(key); ok {
		return code, nil
	}
	flight := c.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), liveTimeout)
		defer cancel()
		found := &corev1.ConfigMap{}
		err := c.reader.Get(ctx, client.ObjectKey{Namespace: f.Namespace, Name: revision.Name}, found)
		if apierrors.IsNotFound(err) {
			return "", nil
		}
		if err != nil {
			return "", APIError("reading the code of a function", err)
		}
		// Another ConfigMap can have the name by now: return only this revision's content.
		if found.Labels[v1alpha1.LabelFunctionUID] != string(f.UID) ||
			revision.Digest != "" && v1alpha1.ContentDigest(f.UID, found) != revision.Digest {
			return "", nil
		}
		text, _ := v1alpha1.ConfigMapValue(found, runtime.HandlerFile)
		code := string(text)
		c.cached.Put(key, code, int64(len(code)+len(key)))
		return code, nil
	})
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case result := <-flight:
		if result.Err != nil {
			return "", result.Err
		}
		code, ok := result.Val.(string)
		if !ok {
			return "", fmt.Errorf("the code of a function is a %T", result.Val)
		}
		return code, nil
	}
}

// nameable reports whether an object can have the name. The client refuses other names with an error that looks like an unreachable API.
func nameable(name string) bool { return name != "" && len(content.IsPathSegmentName(name)) == 0 }
