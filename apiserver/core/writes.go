package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	sharedcloudv1alpha1 "sharedcloud.io/function-operator/api/v1alpha1"
)

// Errors of reads and writes, beside the API's own.
var (
	// ErrNotFound: there is no such object in the caller's namespace, or he may not see it.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable: the Kubernetes API cannot be asked at the moment.
	ErrUnavailable = errors.New("the Kubernetes API does not answer at the moment")
	// ErrChanged: others write the object so often that this write found no gap; or it is not what If-Match names.
	ErrChanged = errors.New("the object was changed by somebody else at the same time: read it again and repeat the request")
	// ErrPrecondition: the object is not the one that the caller named.
	ErrPrecondition = errors.New("the object has changed since it was read")
	// ErrKeyReused: the Idempotency-Key was used before with another body.
	ErrKeyReused = errors.New("this Idempotency-Key was used before with another body: use a new key for a new request")
)

// OwnedError says that somebody else owns a field that REST would change.
type OwnedError struct{ Field, Owner string }

func (e *OwnedError) Error() string {
	return fmt.Sprintf("%s is owned by %q, which would set it back or fight for it: change it there", e.Field, e.Owner)
}

const (
	// writeAttempts is how often a write is decided anew because somebody else was faster.
	writeAttempts = 5
	// writeTimeout bounds one operation on the Kubernetes API.
	writeTimeout = 15 * time.Second
	// slugLength leaves room for a suffix, and for what is derived from a name.
	slugLength = 40
)

// Requester is on whose behalf something is written.
type Requester struct {
	// User is the name that the cluster knows him by.
	User string
	// Key and Body identify a request that may come again, an Idempotency-Key and a hash of the body. Empty: it won't.
	Key, Body string
}

// slug makes of free text the beginning of an object's name: lower case letters, digits and dashes, a letter first.
func slug(text, otherwise string) string {
	var b strings.Builder
	dash := false
	for _, c := range strings.ToLower(text) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9' && b.Len() > 0:
			if dash {
				b.WriteByte('-')
			}
			dash = false
			b.WriteRune(c)
		default:
			dash = b.Len() > 0
		}
		if b.Len() >= slugLength {
			break
		}
	}
	if b.Len() == 0 {
		return otherwise
	}
	return b.String()
}

// newName is a readable name that nothing has yet, in all likelihood; the API decides.
func newName(text, otherwise string) string { return slug(text, otherwise) + "-" + utilrand.String(6) }

// ownedBy returns who beside REST owns one of the fields, the first of them in order, or nil. Fields are paths from the
// top of the object.
func ownedBy(entries []metav1.ManagedFieldsEntry, fields [][]string) *OwnedError {
	for _, field := range fields {
		for i := range entries {
			entry := &entries[i]
			if entry.Subresource == "" && entry.Manager != sharedcloudv1alpha1.FieldManagerREST && has(entry, field) {
				return &OwnedError{Field: strings.Join(field, "."), Owner: entry.Manager}
			}
		}
	}
	return nil
}

// ownFields returns which of the fields REST owns.
func ownFields(entries []metav1.ManagedFieldsEntry, fields [][]string) [][]string {
	return slices.DeleteFunc(slices.Clone(fields), func(field []string) bool {
		return !slices.ContainsFunc(entries, func(entry metav1.ManagedFieldsEntry) bool {
			return entry.Subresource == "" && entry.Manager == sharedcloudv1alpha1.FieldManagerREST && has(&entry, field)
		})
	})
}

func has(entry *metav1.ManagedFieldsEntry, field []string) bool {
	if entry.FieldsV1 == nil {
		return false
	}
	set := &fieldpath.Set{}
	if err := set.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
		return false
	}
	path := make(fieldpath.Path, len(field))
	for i := range field {
		path[i] = fieldpath.PathElement{FieldName: &field[i]}
	}
	if set.Has(path) {
		return true
	}
	for _, step := range field {
		inner, ok := set.Children.Get(fieldpath.PathElement{FieldName: &step})
		if !ok {
			return false
		}
		set = inner
	}
	return !set.Empty()
}

// apiError sorts what the API answered into what a caller can do about it: the API's own errors stay as they are, and
// that it could not be asked is ErrUnavailable.
func apiError(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return ErrNotFound
	case apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsServiceUnavailable(err),
		apierrors.IsTooManyRequests(err), apierrors.IsInternalError(err), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w (%s: %w)", ErrUnavailable, doing, err)
	case apierrors.ReasonForError(err) != metav1.StatusReasonUnknown:
		return err
	case errors.Is(err, context.Canceled):
		return err
	default: // no answer at all
		return fmt.Errorf("%w (%s: %w)", ErrUnavailable, doing, err)
	}
}
