// Package uploads stores inputs that are too large for an API object in the outcome store: once for each namespace and
// content, in chunks, so that neither memory nor a transaction grows with their number.
//
//	uploads.go   Write, and Slice, which reads any range of an upload
//	arriving.go  uploads that are sent in several calls
//	frames.go    the format of a chunk
//	quota.go     the namespace of an upload, and its quota
//	sweeper.go   deletes uploads that no run references
//
// What must not be here: authorization (package subresources), which run uses which inputs (package core), SQL (package
// outcomes).
package uploads

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/apiserver/sized"
	"sharedcloud.io/function-operator/parameters"
)

var (
	// ErrNotFound: the namespace has no such upload.
	ErrNotFound = errors.New("the inputs are not stored in the run's namespace, or were deleted: upload them again with functions/run")
	// ErrTooLarge: the inputs exceed the limit of one upload.
	ErrTooLarge = errors.New("the inputs are too large")
	// ErrExpired: nothing arrived for so long that the upload was deleted.
	ErrExpired = errors.New("the upload was deleted because no input arrived for an hour: upload the inputs again")
)

const (
	// TargetChunkBytes is the size at which a chunk is stored. It is larger only by the rest of its last input.
	TargetChunkBytes = 1 << 20
	// DefaultMaxBytes is the default limit of an upload.
	DefaultMaxBytes = 4 << 30
	// chunkOverhead is the memory of a cached chunk beside its text and four bytes for each input.
	chunkOverhead = 128
)

// Upload identifies stored inputs.
type Upload struct {
	// Digest is "sha256:" and 64 hexadecimal digits.
	Digest string
	Inputs int
}

// Inputs yields one input after the other, and io.EOF after the last. A parameters.Reader implements it.
type Inputs interface {
	Next() (parameters.Input, error)
}

// Store stores uploads.
type Store struct {
	store    outcomes.Store
	clock    clock.PassiveClock
	quota    *quotas.Quotas
	maxBytes int64
	// tables and chunks cache what was read last.
	tables *sized.Cache[tableKey, *table]
	chunks *sized.Cache[chunkKey, chunk]
}

// tableKey contains the UID of the namespace: a namespace must not see the uploads of an earlier one with the same name.
type tableKey struct {
	namespace types.UID
	types.NamespacedName
}

type chunkKey struct {
	upload int64
	first  int
}

// table is the list of an upload's chunks.
type table struct {
	id     int64
	inputs int
	// firsts are the indexes of the first inputs of the chunks.
	firsts []int
}

// New returns a Store for uploads of at most maxBytes, within the quotas of namespaces (nil for none). It caches up to
// cacheBytes.
func New(store outcomes.Store, quota *quotas.Quotas, maxBytes, cacheBytes int64, clk clock.PassiveClock) *Store {
	return &Store{
		store:    store,
		clock:    clk,
		quota:    quota,
		maxBytes: maxBytes,
		tables:   sized.New[tableKey, *table](cacheBytes / 4),
		chunks:   sized.New[chunkKey, chunk](cacheBytes),
	}
}

// Write stores all inputs. Content that the namespace already has is not stored twice. An error of inputs is returned
// unchanged, and nothing is stored then.
func (s *Store) Write(ctx context.Context, namespace string, inputs Inputs) (upload Upload, err error) {
	w := &writer{s: s, digest: sha256.New()}
	w.name.Namespace = namespace
	if w.uid, err = s.uid(namespace); err != nil {
		return Upload{}, err
	}
	err = s.store.Update(ctx, "", func(tx *outcomes.Tx) (err error) {
		if err := s.room(tx, namespace, outcomes.UploadBytes); err != nil {
			return err
		}
		w.id, err = tx.InsertUpload(namespace, w.uid, s.now())
		return err
	})
	if err != nil {
		return Upload{}, s.refused(err)
	}
	kept := false
	defer func() {
		if !kept {
			// The caller may be gone; its incomplete upload is deleted in any case. The sweeper deletes it if this fails.
			if err := s.remove(context.WithoutCancel(ctx), namespace, w.id); err != nil {
				klog.FromContext(ctx).Error(err, "Failed to delete an incomplete upload", "namespace", namespace)
			}
		}
	}()
	for {
		input, err := inputs.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Upload{}, err
		}
		if err := w.add(ctx, input); err != nil {
			return Upload{}, err
		}
	}
	if err := w.flush(ctx); err != nil {
		return Upload{}, err
	}
	upload = uploadOf(w.digest, w.inputs)
	kept, err = s.complete(ctx, w.id, w.uid, namespace, upload, func(*outcomes.Tx, int64) error { return nil })
	return upload, err
}

// complete makes an upload available, unless the namespace already has one with the same content: then it calls instead with
// that one. It reports whether the new upload is kept.
func (s *Store) complete(ctx context.Context, id int64, uid types.UID, namespace string, upload Upload, instead func(tx *outcomes.Tx, same int64) error) (kept bool, err error) {
	err = s.store.Update(ctx, lockOf(namespace, upload.Digest), func(tx *outcomes.Tx) error {
		kept = false
		same, err := tx.Upload(namespace, uid, upload.Digest)
		if err != nil {
			return err
		}
		if same != nil {
			return errors.Join(tx.UseUpload(same.ID, s.now()), instead(tx, same.ID))
		}
		ok, err := tx.CompleteUpload(id, upload.Digest, upload.Inputs, s.now())
		if err == nil && !ok {
			return ErrExpired
		}
		kept = err == nil
		return err
	})
	return kept, err
}

// lockOf serializes transactions on the same content.
func lockOf(namespace, digest string) types.UID {
	return types.UID("upload/" + namespace + "/" + digest)
}

// Inputs returns the number of inputs of an upload.
func (s *Store) Inputs(ctx context.Context, namespace, digest string) (int, error) {
	t, err := s.table(ctx, namespace, digest)
	if err != nil {
		return 0, err
	}
	return t.inputs, nil
}

// Slice returns the inputs from first to last, both inclusive. They are shared and must not be changed.
func (s *Store) Slice(ctx context.Context, namespace, digest string, first, last int) ([]parameters.Input, error) {
	t, err := s.table(ctx, namespace, digest)
	if err != nil {
		return nil, err
	}
	if first < 0 || last >= t.inputs || first > last {
		return nil, fmt.Errorf("inputs %d to %d of %d were requested", first, last, t.inputs)
	}
	found := make([]parameters.Input, 0, last-first+1)
	for number, after := t.chunkOf(first), first; after <= last; number++ {
		chunk, err := s.chunk(ctx, t, number)
		if errors.Is(err, ErrNotFound) {
			if uid, found := s.quota.UID(namespace); found {
				s.tables.Forget(tableKey{uid, types.NamespacedName{Namespace: namespace, Name: digest}})
			}
		}
		if err != nil {
			return nil, err
		}
		from := after - t.firsts[number]
		taken := chunk.inputs(from, min(len(chunk.starts), last-t.firsts[number]+1))
		found = append(found, taken...)
		after += len(taken)
	}
	return found, nil
}

func (t *table) chunkOf(index int) int {
	number, exact := slices.BinarySearch(t.firsts, index)
	if !exact {
		number--
	}
	return number
}

// table finds an upload.
func (s *Store) table(ctx context.Context, namespace, digest string) (*table, error) {
	uid, err := s.uid(namespace)
	if err != nil {
		return nil, err
	}
	key := tableKey{uid, types.NamespacedName{Namespace: namespace, Name: digest}}
	if t, ok := s.tables.Get(key); ok {
		return t, nil
	}
	var t *table
	err = s.store.View(ctx, func(tx *outcomes.Tx) error {
		t = nil
		upload, err := tx.Upload(namespace, uid, digest)
		if err != nil || upload == nil {
			return err
		}
		chunks, err := tx.Chunks(upload.ID)
		t = &table{id: upload.ID, inputs: upload.Inputs}
		for _, c := range chunks {
			t.firsts = append(t.firsts, c.First)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, ErrNotFound
	}
	s.tables.Put(key, t, int64(len(t.firsts)*8+256))
	return t, nil
}

func (s *Store) chunk(ctx context.Context, t *table, number int) (chunk, error) {
	key := chunkKey{t.id, t.firsts[number]}
	if known, ok := s.chunks.Get(key); ok {
		return known, nil
	}
	var row *outcomes.Chunk
	err := s.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		row, err = tx.Chunk(t.id, key.first)
		return err
	})
	if err != nil {
		return chunk{}, err
	}
	if row == nil {
		return chunk{}, ErrNotFound
	}
	starts, err := unframe(row.Data, row.Inputs)
	if err != nil {
		return chunk{}, fmt.Errorf("the stored inputs from %d: %w", key.first, err)
	}
	found := chunk{row.Data, starts}
	s.chunks.Put(key, found, int64(len(row.Data)+4*len(starts)+chunkOverhead))
	return found, nil
}

// remove deletes an upload in small steps, so that it delays no other transaction.
func (s *Store) remove(ctx context.Context, namespace string, id int64) error {
	defer s.quota.Freed(quotas.Uploads, namespace)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for done := false; !done; {
		err := s.store.Update(ctx, types.UID("upload/"+strconv.FormatInt(id, 10)), func(tx *outcomes.Tx) (err error) {
			done, err = tx.DeleteUploadSome(id, 8)
			return err
		})
		if err != nil {
			return fmt.Errorf("deleting an upload: %w", err)
		}
	}
	return nil
}

func (s *Store) now() int64 { return s.clock.Now().UnixMicro() }

// Gone reports whether an error means that the upload does not exist.
func (s *Store) Gone(err error) bool { return errors.Is(err, ErrNotFound) }
