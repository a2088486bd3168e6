package core

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Errors of reads and writes, beside the API's own.
var (
	// ErrNotFound: the caller's namespace has no such object, or the caller may not see it.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable: the Kubernetes API cannot be asked temporarily.
	ErrUnavailable = errors.New("the Kubernetes API does not answer at the moment")
)

// apiError classifies an error of the Kubernetes API by what a caller can do about it: ErrNotFound, ErrUnavailable if the API gave no
// answer of its own, else the API's error unchanged. doing is the operation that failed.
func APIError(doing string, err error) error {
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
