// Package uploads keeps inputs that are too many for an object of the API in the outcome store: once for each namespace
// and content, in pieces, so that neither memory nor a transaction grows with their number.
//
//	uploads.go   Write, and Slice, which reads any range of an upload
//	arriving.go  uploads that come in several calls
//	frames.go    how inputs lie in a piece
//	quota.go     whose they are, and how much a namespace may have
//	sweeper.go   deletes what no run names any more
//
// What must not be here: who may upload (package subresources asks), which run takes what (package core), SQL (package
// outcomes has it).
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
	ErrNotFound = errors.New("these inputs are not stored in the run's namespace (any more): upload them again, with functions/run")
	// ErrTooLarge: the inputs are more than one upload may have.
	ErrTooLarge = errors.New("the inputs are too large")
	// ErrExpired: nothing came for so long that what was there was deleted.
	ErrExpired = errors.New("nothing came for too long: upload the inputs again")
)

const (
	// TargetChunkBytes is how much a piece has, unless its last input is longer than what is left of that.
	TargetChunkBytes = 1 << 20
	// DefaultMaxBytes is how many bytes an upload may have, unless a flag says otherwise.
	DefaultMaxBytes = 4 << 30
	// perPiece is what a piece costs in memory beside its text and the four bytes of each input.
	perPiece = 128
)

// Upload names inputs that are stored.
type Upload struct {
	// Digest is "sha256:" and 64 hexadecimal digits.
	Digest string
	Inputs int
}

// Inputs yields inputs one after the other, and io.EOF after the last: a parameters.Reader does.
type Inputs interface {
	Next() (parameters.Input, error)
}

// Store keeps uploads.
type Store struct {
	store outcomes.Store
	clock clock.PassiveClock
	quota *quotas.Quotas
	most  int64
	// tables and pieces are what was read last.
	tables *sized.Cache[tableKey, *table]
	pieces *sized.Cache[pieceKey, piece]
}

// tableKey has the uid of the namespace: what one had that is gone is not seen by the next of its name.
type tableKey struct {
	namespace types.UID
	types.NamespacedName
}

type pieceKey struct {
	upload int64
	first  int
}

// table is where the inputs of an upload lie.
type table struct {
	id     int64
	inputs int
	// firsts are the indexes of the first inputs of its pieces.
	firsts []int
}

// New keeps uploads of at most that many bytes in the store, within the quotas of namespaces (nil for none), and in memory what
// was read last, up to cacheBytes.
func New(store outcomes.Store, quota *quotas.Quotas, most, cacheBytes int64, clk clock.PassiveClock) *Store {
	return &Store{
		store:  store,
		clock:  clk,
		quota:  quota,
		most:   most,
		tables: sized.New[tableKey, *table](cacheBytes / 4),
		pieces: sized.New[pieceKey, piece](cacheBytes),
	}
}

// Write stores all that comes. What the namespace has already is not stored twice. An error of what yields them is
// returned as it is, and nothing is kept then.
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
			// Whoever asked may be gone; what he left goes all the same. The sweeper takes what this cannot.
			if err := s.remove(context.WithoutCancel(ctx), namespace, w.id); err != nil {
				klog.FromContext(ctx).Error(err, "Deleting the rest of an upload", "namespace", namespace)
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

// complete makes an upload findable, unless there is one of the same content, which instead is told of. It says which of
// the two is kept.
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
		there, err := tx.CompleteUpload(id, upload.Digest, upload.Inputs, s.now())
		if err == nil && !there {
			return ErrExpired
		}
		kept = err == nil
		return err
	})
	return kept, err
}

// lockOf makes transactions on the same content follow one another.
func lockOf(namespace, digest string) types.UID {
	return types.UID("upload/" + namespace + "/" + digest)
}

// Inputs is how many inputs an upload has.
func (s *Store) Inputs(ctx context.Context, namespace, digest string) (int, error) {
	t, err := s.table(ctx, namespace, digest)
	if err != nil {
		return 0, err
	}
	return t.inputs, nil
}

// Slice returns the inputs from first to last, both included. They are shared: nobody changes them.
func (s *Store) Slice(ctx context.Context, namespace, digest string, first, last int) ([]parameters.Input, error) {
	t, err := s.table(ctx, namespace, digest)
	if err != nil {
		return nil, err
	}
	if first < 0 || last >= t.inputs || first > last {
		return nil, fmt.Errorf("inputs %d to %d of %d were asked for", first, last, t.inputs)
	}
	found := make([]parameters.Input, 0, last-first+1)
	for number, after := t.pieceOf(first), first; after <= last; number++ {
		piece, err := s.piece(ctx, t, number)
		if errors.Is(err, ErrNotFound) {
			if uid, found := s.quota.UID(namespace); found {
				s.tables.Forget(tableKey{uid, types.NamespacedName{Namespace: namespace, Name: digest}})
			}
		}
		if err != nil {
			return nil, err
		}
		from := after - t.firsts[number]
		taken := piece.inputs(from, min(len(piece.starts), last-t.firsts[number]+1))
		found = append(found, taken...)
		after += len(taken)
	}
	return found, nil
}

func (t *table) pieceOf(index int) int {
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

func (s *Store) piece(ctx context.Context, t *table, number int) (piece, error) {
	key := pieceKey{t.id, t.firsts[number]}
	if known, ok := s.pieces.Get(key); ok {
		return known, nil
	}
	var chunk *outcomes.Chunk
	err := s.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		chunk, err = tx.Chunk(t.id, key.first)
		return err
	})
	if err != nil {
		return piece{}, err
	}
	if chunk == nil {
		return piece{}, ErrNotFound
	}
	starts, err := unframe(chunk.Data, chunk.Inputs)
	if err != nil {
		return piece{}, fmt.Errorf("the stored inputs from %d on: %w", key.first, err)
	}
	found := piece{chunk.Data, starts}
	s.pieces.Put(key, found, int64(len(chunk.Data)+4*len(starts)+perPiece))
	return found, nil
}

// remove deletes an upload in steps that hold nobody up.
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

// Gone says whether an error means that there is no such upload.
func (s *Store) Gone(err error) bool { return errors.Is(err, ErrNotFound) }
