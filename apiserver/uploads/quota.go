package uploads

import (
	"errors"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
)

// ErrNamespaceUnknown: this server has not seen the namespace yet, so it cannot distinguish it from an earlier one with the
// same name.
var ErrNamespaceUnknown = errors.New("the API server has not seen this namespace yet: try again in a few seconds")

// uid returns the UID of a namespace, to which its uploads belong.
func (s *Store) uid(namespace string) (types.UID, error) {
	uid, found := s.quota.UID(namespace)
	if !found {
		return "", ErrNamespaceUnknown
	}
	return uid, nil
}

// room checks that the namespace may store bytes more, and counts them, in the transaction that stores them. If it fails,
// they count until the next sum.
func (s *Store) room(tx *outcomes.Tx, namespace string, bytes int64) error {
	room, err := s.quota.Room(tx, quotas.Uploads, namespace, bytes)
	if err != nil {
		return err
	}
	if bytes > room.Left() {
		return &quotas.ExceededError{Room: room, Wanted: bytes}
	}
	s.quota.Added(quotas.Uploads, namespace, bytes)
	return nil
}

// refused counts an error that is a quota's.
func (s *Store) refused(err error) error {
	var exceeded *quotas.ExceededError
	if errors.As(err, &exceeded) {
		s.quota.Refused(quotas.Upload, exceeded.Room.Namespace, 1, exceeded.Wanted)
	}
	return err
}
