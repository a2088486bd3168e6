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
var ErrConflict = errors.New("another call adds to this upload: ask how many inputs it has, and go on from there")

// OffsetError says that an upload that comes in several calls has another number of inputs than the caller said.
type OffsetError struct{ Have int }

func (e *OffsetError) Error() string {
	if e.Have == 0 {
		return "there is no such upload (any more; what nobody adds to goes after an hour): begin again at offset 0"
	}
	return fmt.Sprintf("the upload has %d inputs: go on at that offset", e.Have)
}

// Append adds inputs to the upload that comes in several calls under a name, the first of them at offset, and says how many
// inputs the upload has then, also beside an error. What it has already is passed over, not compared. Whatever happens, what
// has come is kept: who was cut off asks, with no inputs, and goes on from there.
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
			return s.keep(ctx, w, have, &parameters.FormatError{Sentence: fmt.Sprintf("there are more than %d inputs: split the run", parameters.MaxInputs)})
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

// keep stores what came before an error, also for a caller who is gone.
func (s *Store) keep(ctx context.Context, w *writer, have int, cause error) (int, error) {
	if w == nil {
		return have, cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := w.flush(ctx); err != nil {
		klog.FromContext(ctx).V(1).Info("The rest of a call that was cut off is not kept", "upload", w.name, "err", err)
	}
	return w.stored(), cause
}

// Finish completes an upload that came in several calls and has so many inputs. It can be repeated until Forget.
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
		klog.FromContext(ctx).Error(err, "Deleting an upload that was there already; it is swept", "namespace", namespace)
	}
	return upload, nil
}

// Forget lets the name of an upload stand for nothing any more: a run names the upload by its digest now.
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

// resume goes on with an upload, or begins it.
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

// nameLock makes transactions on the same name follow one another.
func nameLock(namespace, name string) types.UID {
	return types.UID("upload-name/" + namespace + "/" + name)
}

// digestAfter is the digest that had that state.
func digestAfter(state []byte) (hash.Hash, error) {
	digest := sha256.New()
	if marshaled, ok := digest.(encoding.BinaryUnmarshaler); ok && marshaled.UnmarshalBinary(state) == nil {
		return digest, nil
	}
	return nil, errors.New("this upload was begun with another version of the server: upload the inputs again, under another name")
}

// putState notes the digest's state with what is stored.
func (w *writer) putState(tx *outcomes.Tx) error {
	marshaler, ok := w.digest.(encoding.BinaryMarshaler)
	if !ok {
		return errors.New("the state of a digest cannot be kept")
	}
	state, err := marshaler.MarshalBinary()
	if err != nil {
		return fmt.Errorf("keeping the state of a digest: %w", err)
	}
	return tx.PutArriving(w.name.Namespace, w.name.Name, w.id, state)
}
