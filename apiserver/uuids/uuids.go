// Package uuids parses the uuids of REST and computes the uuid of a job. It works on text only: Kubernetes objects do not
// belong here.
package uuids

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/google/uuid"
)

// Canonical returns the uuid in lower case if the text is a uuid in the usual form of 36 characters.
func Canonical(text string) (string, bool) {
	if len(text) != 36 {
		return "", false
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return "", false
	}
	return id.String(), true
}

// The uuid of a job, one input of a run, is computed and not stored: version 8 of RFC 9562, whose 122 free bits are the
// first 90 free bits of the run's uuid, which are in its first 12 bytes, and the input's index in the last 4. So a job is
// found by its run's prefix, and its uuid is as stable as its run's.

// Job is the uuid of the input at index of the run with that uuid; "" if that is not a uuid.
func Job(run string, index int) string {
	id, err := uuid.Parse(run)
	if err != nil || index < 0 {
		return ""
	}
	id[6] = id[6]&0x0f | 8<<4 // version
	id[8] = id[8]&0x3f | 0x80 // variant
	binary.BigEndian.PutUint32(id[12:], uint32(index))
	return id.String()
}

// OfJob takes a job's uuid apart: the prefix that its run has (see Prefix), and the index.
func OfJob(job string) (prefix string, index int, ok bool) {
	id, err := uuid.Parse(job)
	if err != nil || id.Version() != 8 || id.Variant() != uuid.RFC4122 {
		return "", 0, false
	}
	return prefixOf(id), int(binary.BigEndian.Uint32(id[12:])), true
}

// Prefix is the first 90 free bits of a run's uuid, as text; "" if it is not a uuid. v1alpha1.JobUUIDPrefix computes
// the same from an object.
func Prefix(run string) string {
	id, err := uuid.Parse(run)
	if err != nil {
		return ""
	}
	return prefixOf(id)
}

func prefixOf(id uuid.UUID) string {
	id[6] &= 0x0f
	id[8] &= 0x3f
	return hex.EncodeToString(id[:12])
}
