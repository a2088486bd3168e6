package core

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Errors of reads and writes. Other errors are the Kubernetes API's.
var (
	// ErrNotFound: the caller's namespace has no such object, or the caller may not see it.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable: the Kubernetes API cannot be reached, or cannot answer now.
	ErrUnavailable = errors.New("the Kubernetes API is temporarily unavailable")
)

// APIError classifies an error of the Kubernetes API by what a caller can do about it: ErrNotFound, ErrUnavailable if the request had no
// definite result, or the API's error unchanged. operation is what failed, for the message.
func APIError(operation string, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return ErrNotFound
	case apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsServiceUnavailable(err),
		apierrors.IsTooManyRequests(err), apierrors.IsInternalError(err), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w (%s: %w)", ErrUnavailable, operation, err)
	case apierrors.ReasonForError(err) != metav1.StatusReasonUnknown:
		return err
	case errors.Is(err, context.Canceled):
		return err
	default: // no response
		return fmt.Errorf("%w (%s: %w)", ErrUnavailable, operation, err)
	}
}
