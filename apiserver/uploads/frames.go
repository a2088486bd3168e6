package uploads

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strconv"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/parameters"
)

// A frame is one tuple: the length of its text times two, plus one for a Python literal, as a varint; then the text.
// The digest of an upload is that of all frames behind one another, however they are cut into pieces.

func frame(b []byte, input parameters.Input) []byte {
	if input.JSON != nil {
		b = binary.AppendUvarint(b, uint64(len(input.JSON))<<1)
		return append(b, input.JSON...)
	}
	b = binary.AppendUvarint(b, uint64(len(input.Literal))<<1|1)
	return append(b, input.Literal...)
}

var errFrames = errors.New("they are damaged")

// unframe reads the tuples of a piece. They share its memory.
func unframe(data []byte, count int) ([]parameters.Input, error) {
	inputs := make([]parameters.Input, 0, min(count, len(data)))
	for len(data) > 0 {
		head, n := binary.Uvarint(data)
		length := head >> 1
		if n <= 0 || length > uint64(len(data)-n) {
			return nil, errFrames
		}
		text := data[n : n+int(length) : n+int(length)]
		data = data[n+int(length):]
		if head&1 == 1 {
			inputs = append(inputs, parameters.Input{Literal: string(text)})
		} else {
			inputs = append(inputs, parameters.Input{JSON: json.RawMessage(text)})
		}
	}
	if len(inputs) != count {
		return nil, errFrames
	}
	return inputs, nil
}

// writer adds tuples to an upload that arrives, piece by piece.
type writer struct {
	s  *Store
	id int64
	// uid is the namespace's.
	uid types.UID
	// name is the namespace, and the name of an upload that comes in several calls.
	name   types.NamespacedName
	digest hash.Hash
	tuples int
	bytes  int64
	// piece is not stored yet; held is how many tuples it has.
	piece []byte
	held  int
}

func (w *writer) add(ctx context.Context, input parameters.Input) error {
	before := len(w.piece)
	w.piece = frame(w.piece, input)
	w.digest.Write(w.piece[before:])
	w.bytes += int64(len(w.piece) - before)
	w.tuples++
	w.held++
	if w.bytes > w.s.most {
		return fmt.Errorf("%w: they have more than %d bytes: split the run, or put what is large where the handler can fetch it", ErrTooLarge, w.s.most)
	}
	if len(w.piece) < chunkBytes {
		return nil
	}
	return w.flush(ctx)
}

func (w *writer) flush(ctx context.Context) error {
	if w.held == 0 {
		return nil
	}
	chunk := outcomes.Chunk{First: w.tuples - w.held, Tuples: w.held, Data: w.piece}
	err := w.s.store.Update(ctx, types.UID("upload/"+strconv.FormatInt(w.id, 10)), func(tx *outcomes.Tx) error {
		if err := w.s.room(tx, w.name.Namespace, int64(len(chunk.Data))+outcomes.ChunkBytes); err != nil {
			return err
		}
		there, err := tx.AddChunk(w.id, chunk, w.s.now())
		named := w.name.Name != ""
		switch {
		case err != nil:
			return err
		case !there && named:
			return ErrElsewhere
		case !there:
			return ErrSwept
		case named:
			return w.putState(tx)
		}
		return nil
	})
	if err != nil {
		return w.s.refused(err)
	}
	w.piece, w.held = w.piece[:0], 0
	return nil
}

// uploadOf names the tuples that the digest is of.
func uploadOf(digest hash.Hash, tuples int) Upload {
	return Upload{Digest: "sha256:" + hex.EncodeToString(digest.Sum(nil)), Tuples: tuples}
}

// stored is how many tuples of the upload are in the store.
func (w *writer) stored() int { return w.tuples - w.held }
