package uploads

import (
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/parameters"
)

// ErrConflict: another call adds to the same upload, or has completed it.
var ErrConflict = errors.New("another call adds to this upload: ask for its number of inputs, and continue at that offset")

// OffsetError reports that an upload in several calls has another number of inputs than the caller expected.
type OffsetError struct{ Have int }

func (e *OffsetError) Error() string {
	if e.Have == 0 {
		return "the upload does not exist, or was deleted because no input arrived for an hour: start again at offset 0"
	}
	return fmt.Sprintf("the upload has %d inputs: continue at that offset", e.Have)
}

// Append adds inputs, the first of them at offset, to the upload with the name, and returns the number of inputs of the
// upload, also with an error. Inputs that it already has are skipped and not compared. Inputs that have arrived are kept
// after any error: a client that was interrupted asks with a call without inputs, and continues from there.
func (s *Store) Append(ctx context.Context, namespace, name string, offset int, inputs Inputs) (have int, err error) {
	uid, err := s.uid(namespace)
	if err != nil {
		return 0, err
	}
	arriving, err := s.arriving(ctx, namespace, uid, name)
	if err != nil {
		return 0, err
	}
	if arriving != nil {
		have = arriving.Inputs
	}
	if offset > have {
		return have, &OffsetError{have}
	}
	var w *writer
	for at := offset; ; at++ {
		input, err := inputs.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s.keep(ctx, w, have, err)
		}
		switch {
		case at < have:
			continue
		case arriving != nil && arriving.Complete:
			return have, &OffsetError{have}
		case at >= parameters.MaxInputs:
			return s.keep(ctx, w, have, &parameters.FormatError{Message: fmt.Sprintf("there are more than %d inputs: split the run", parameters.MaxInputs)})
		case w == nil:
			if w, err = s.resume(ctx, namespace, uid, name, arriving); err != nil {
				return have, err
			}
		}
		if err := w.add(ctx, input); err != nil {
			return w.stored(), err
		}
	}
	if w == nil {
		return have, nil
	}
	err = w.flush(ctx)
	return w.stored(), err
}

// keep stores what arrived before an error, even if the caller is gone.
func (s *Store) keep(ctx context.Context, w *writer, have int, cause error) (int, error) {
	if w == nil {
		return have, cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := w.flush(ctx); err != nil {
		klog.FromContext(ctx).V(1).Info("Failed to store the last inputs of an interrupted call", "upload", w.name, "err", err)
	}
	return w.stored(), cause
}

// Finish completes an upload that must have this number of inputs. It can be repeated until Forget.
func (s *Store) Finish(ctx context.Context, namespace, name string, inputs int) (Upload, error) {
	uid, err := s.uid(namespace)
	if err != nil {
		return Upload{}, err
	}
	arriving, err := s.arriving(ctx, namespace, uid, name)
	switch {
	case err != nil:
		return Upload{}, err
	case arriving == nil:
		return Upload{}, &OffsetError{}
	case arriving.Inputs != inputs || inputs == 0:
		return Upload{}, &OffsetError{arriving.Inputs}
	case arriving.Complete:
		return Upload{Digest: arriving.Digest, Inputs: arriving.Inputs}, nil
	}
	digest, err := digestAfter(arriving.State)
	if err != nil {
		return Upload{}, err
	}
	upload := uploadOf(digest, inputs)
	kept, err := s.complete(ctx, arriving.ID, uid, namespace, upload, func(tx *outcomes.Tx, same int64) error {
		return tx.PutArriving(namespace, name, same, arriving.State)
	})
	if errors.Is(err, ErrExpired) {
		err = ErrConflict
	}
	if err != nil || kept {
		return upload, err
	}
	if err := s.remove(context.WithoutCancel(ctx), namespace, arriving.ID); err != nil {
		klog.FromContext(ctx).Error(err, "Failed to delete a duplicate upload; the sweeper deletes it", "namespace", namespace)
	}
	return upload, nil
}

// Forget deletes the name of an upload: a run references it by its digest now.
func (s *Store) Forget(ctx context.Context, namespace, name string) error {
	return s.store.Update(ctx, nameLock(namespace, name), func(tx *outcomes.Tx) error {
		return tx.ForgetArriving(namespace, name)
	})
}

func (s *Store) arriving(ctx context.Context, namespace string, uid types.UID, name string) (found *outcomes.Arriving, err error) {
	err = s.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		found, err = tx.Arriving(namespace, uid, name)
		return err
	})
	return found, err
}

// resume continues an upload, or starts it.
func (s *Store) resume(ctx context.Context, namespace string, uid types.UID, name string, arriving *outcomes.Arriving) (*writer, error) {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	if arriving != nil {
		digest, err := digestAfter(arriving.State)
		return &writer{s: s, id: arriving.ID, uid: uid, name: key, digest: digest, inputs: arriving.Inputs, bytes: arriving.Bytes}, err
	}
	w := &writer{s: s, uid: uid, name: key, digest: sha256.New()}
	err := s.store.Update(ctx, nameLock(namespace, name), func(tx *outcomes.Tx) error {
		other, err := tx.Arriving(namespace, uid, name)
		if err != nil {
			return err
		}
		if other != nil {
			return ErrConflict
		}
		if err := s.room(tx, namespace, outcomes.UploadBytes); err != nil {
			return err
		}
		if w.id, err = tx.InsertUpload(namespace, uid, s.now()); err != nil {
			return err
		}
		return w.putState(tx)
	})
	return w, s.refused(err)
}

// nameLock serializes transactions on the same name.
func nameLock(namespace, name string) types.UID {
	return types.UID("upload-name/" + namespace + "/" + name)
}

// digestAfter returns the digest with the state.
func digestAfter(state []byte) (hash.Hash, error) {
	digest := sha256.New()
	if marshaled, ok := digest.(encoding.BinaryUnmarshaler); ok && marshaled.UnmarshalBinary(state) == nil {
		return digest, nil
	}
	return nil, errors.New("this upload was started with another version of the server: upload the inputs again, with another name")
}

// putState stores the state of the digest in the transaction that stores a chunk.
func (w *writer) putState(tx *outcomes.Tx) error {
	marshaler, ok := w.digest.(encoding.BinaryMarshaler)
	if !ok {
		return errors.New("the state of a digest cannot be encoded")
	}
	state, err := marshaler.MarshalBinary()
	if err != nil {
		return fmt.Errorf("encoding the state of a digest: %w", err)
	}
	return tx.PutArriving(w.name.Namespace, w.name.Name, w.id, state)
}
