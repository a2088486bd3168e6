package core

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/google/uuid"

	sharedcloudv1alpha1 "sharedcloud.io/function-operator/api/v1alpha1"
)

// The uuid of a job, one tuple of a run, is computed and not stored: version 8 of RFC 9562, whose 122 free bits are the
// first 90 free bits of the run's uuid, which lie in its first 12 bytes, and the tuple's index in the last 4. So a job is
// found by its run's prefix, and its uuid stays for as long as its run's.

// JobUUID is the uuid of the tuple at index of the run with that uuid; "" where that is no uuid.
func JobUUID(run string, index int) string {
	id, err := uuid.Parse(run)
	if err != nil || index < 0 {
		return ""
	}
	id[6] = id[6]&0x0f | 8<<4 // version
	id[8] = id[8]&0x3f | 0x80 // variant
	binary.BigEndian.PutUint32(id[12:], uint32(index))
	return id.String()
}

// jobOf takes a job's uuid apart: the prefix that its run has (see jobPrefix), and the index.
func jobOf(job string) (prefix string, index int, ok bool) {
	id, err := uuid.Parse(job)
	if err != nil || id.Version() != 8 || id.Variant() != uuid.RFC4122 {
		return "", 0, false
	}
	return prefixOf(id), int(binary.BigEndian.Uint32(id[12:])), true
}

// jobPrefix is the first 90 free bits of a run's uuid, as text; "" where it is no uuid.
func jobPrefix(run string) string {
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

// Keys of FunctionRuns in their table.

func functionKey(name string) string { return "function/" + name }
func jobKey(prefix string) string    { return "job/" + prefix }

func runKeys(run *sharedcloudv1alpha1.FunctionRun) []string {
	keys := []string{functionKey(run.Spec.FunctionRef.Name)}
	if prefix := jobPrefix(UUIDOf(run)); prefix != "" {
		keys = append(keys, jobKey(prefix))
	}
	return keys
}
