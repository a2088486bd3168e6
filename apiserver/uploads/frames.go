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

// A frame is one input: the length of its text times two, plus one for a Python literal, as a varint; then the text.
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

// piece is a piece of an upload as it is stored, and where each frame begins: a piece of a megabyte has up to half a million.
type piece struct {
	data   []byte
	starts []uint32
}

// unframe finds the inputs of a piece.
func unframe(data []byte, count int) (starts []uint32, err error) {
	if count < 0 || count > len(data) {
		return nil, errFrames
	}
	starts = make([]uint32, 0, count)
	for at := 0; at < len(data); {
		head, n := binary.Uvarint(data[at:])
		length := head >> 1
		if n <= 0 || length > uint64(len(data)-at-n) || len(starts) == count {
			return nil, errFrames
		}
		starts = append(starts, uint32(at))
		at += n + int(length)
	}
	if len(starts) != count {
		return nil, errFrames
	}
	return starts, nil
}

// inputs are the inputs from first up to and without end. They share the piece's memory.
func (p piece) inputs(first, end int) []parameters.Input {
	inputs := make([]parameters.Input, 0, end-first)
	for _, start := range p.starts[first:end] {
		head, n := binary.Uvarint(p.data[start:])
		from := int(start) + n
		to := from + int(head>>1)
		if head&1 == 1 {
			inputs = append(inputs, parameters.Input{Literal: string(p.data[from:to])})
		} else {
			inputs = append(inputs, parameters.Input{JSON: json.RawMessage(p.data[from:to:to])})
		}
	}
	return inputs
}

// writer adds inputs to an upload that arrives, piece by piece.
type writer struct {
	s  *Store
	id int64
	// uid is the namespace's.
	uid types.UID
	// name is the namespace, and the name of an upload that comes in several calls.
	name   types.NamespacedName
	digest hash.Hash
	inputs int
	bytes  int64
	// piece is not stored yet; held is how many inputs it has.
	piece []byte
	held  int
}

func (w *writer) add(ctx context.Context, input parameters.Input) error {
	before := len(w.piece)
	w.piece = frame(w.piece, input)
	w.digest.Write(w.piece[before:])
	w.bytes += int64(len(w.piece) - before)
	w.inputs++
	w.held++
	if w.bytes > w.s.most {
		return fmt.Errorf("%w: they have more than %d bytes: split the run, or put what is large where the handler can fetch it", ErrTooLarge, w.s.most)
	}
	if len(w.piece) < TargetChunkBytes {
		return nil
	}
	return w.flush(ctx)
}

func (w *writer) flush(ctx context.Context) error {
	if w.held == 0 {
		return nil
	}
	chunk := outcomes.Chunk{First: w.inputs - w.held, Inputs: w.held, Data: w.piece}
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
			return ErrConflict
		case !there:
			return ErrExpired
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

// uploadOf names the inputs that the digest is of.
func uploadOf(digest hash.Hash, inputs int) Upload {
	return Upload{Digest: "sha256:" + hex.EncodeToString(digest.Sum(nil)), Inputs: inputs}
}

// stored is how many inputs of the upload are in the store.
func (w *writer) stored() int { return w.inputs - w.held }
