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

// A frame is one input: twice the length of its text, plus one for a Python literal, as a varint; then the text. The digest
// of an upload is that of all its frames in order, independent of how they are divided into chunks.

func frame(b []byte, input parameters.Input) []byte {
	if input.JSON != nil {
		b = binary.AppendUvarint(b, uint64(len(input.JSON))<<1)
		return append(b, input.JSON...)
	}
	b = binary.AppendUvarint(b, uint64(len(input.Literal))<<1|1)
	return append(b, input.Literal...)
}

var errFrames = errors.New("the chunk is damaged")

// chunk is a stored chunk, and the offset of each of its frames: a chunk of a megabyte has up to half a million.
type chunk struct {
	data   []byte
	starts []uint32
}

// unframe returns the offsets of the frames of a chunk.
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

// inputs returns the inputs from first to end, exclusive. They share the memory of the chunk.
func (p chunk) inputs(first, end int) []parameters.Input {
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

// writer adds inputs to an incomplete upload, chunk by chunk.
type writer struct {
	s  *Store
	id int64
	// uid is that of the namespace.
	uid types.UID
	// name is the namespace, and the name of an upload in several calls.
	name   types.NamespacedName
	digest hash.Hash
	inputs int
	bytes  int64
	// pending is the chunk that is not stored yet, and pendingInputs its number of inputs.
	pending       []byte
	pendingInputs int
}

func (w *writer) add(ctx context.Context, input parameters.Input) error {
	before := len(w.pending)
	w.pending = frame(w.pending, input)
	w.digest.Write(w.pending[before:])
	w.bytes += int64(len(w.pending) - before)
	w.inputs++
	w.pendingInputs++
	if w.bytes > w.s.maxBytes {
		return fmt.Errorf("%w: they have more than %d bytes: split the run, or store large data where the handler can fetch it", ErrTooLarge, w.s.maxBytes)
	}
	if len(w.pending) < TargetChunkBytes {
		return nil
	}
	return w.flush(ctx)
}

func (w *writer) flush(ctx context.Context) error {
	if w.pendingInputs == 0 {
		return nil
	}
	row := outcomes.Chunk{First: w.inputs - w.pendingInputs, Inputs: w.pendingInputs, Data: w.pending}
	err := w.s.store.Update(ctx, types.UID("upload/"+strconv.FormatInt(w.id, 10)), func(tx *outcomes.Tx) error {
		if err := w.s.room(tx, w.name.Namespace, int64(len(row.Data))+outcomes.ChunkBytes); err != nil {
			return err
		}
		ok, err := tx.AddChunk(w.id, row, w.s.now())
		named := w.name.Name != ""
		switch {
		case err != nil:
			return err
		case !ok && named:
			return ErrConflict
		case !ok:
			return ErrExpired
		case named:
			return w.putState(tx)
		}
		return nil
	})
	if err != nil {
		return w.s.refused(err)
	}
	w.pending, w.pendingInputs = w.pending[:0], 0
	return nil
}

// uploadOf returns the upload of the digest.
func uploadOf(digest hash.Hash, inputs int) Upload {
	return Upload{Digest: "sha256:" + hex.EncodeToString(digest.Sum(nil)), Inputs: inputs}
}

// stored returns the number of inputs of the upload that are stored.
func (w *writer) stored() int { return w.inputs - w.pendingInputs }
