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

// codeBytes bounds the code that is kept of functions whose code lies in a ConfigMap.
const codeBytes = 32 << 20

// Code finds the code of functions: in the Function itself, else in the revision that was made of its ConfigMap, which has
// a digest in the Function's status and so is never stale, nor another's.
type Code struct {
	reader  client.Reader
	flights singleflight.Group
	kept    *sized.Cache[string, string]
}

// NewCode makes the look-up.
func NewCode(reader client.Reader) *Code {
	return &Code{reader: reader, kept: sized.New[string, string](codeBytes)}
}

// Of returns a function's code; "" while there is none, because its ConfigMap is missing. The error is ErrUnavailable, a *NotDecodableError, or
// ctx's.
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
	if code, ok := c.kept.Get(key); ok {
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
		// The name could be another's by now: what is not this revision is not shown.
		if found.Labels[v1alpha1.LabelFunctionUID] != string(f.UID) ||
			revision.Digest != "" && v1alpha1.ContentDigest(f.UID, found) != revision.Digest {
			return "", nil
		}
		text, _ := v1alpha1.ConfigMapValue(found, runtime.HandlerFile)
		code := string(text)
		c.kept.Put(key, code, int64(len(code)+len(key)))
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

// nameable says whether an object can have the name: a client refuses to ask for another, as if the API did not answer.
func nameable(name string) bool { return name != "" && len(content.IsPathSegmentName(name)) == 0 }
