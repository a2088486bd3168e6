package v1alpha1

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// digestPrefix names the hash algorithm of a digest.
const digestPrefix = "sha256:"

// ContentDigest returns the digest of a ConfigMap that status.revision records: the SHA-256 of the owner's UID and of every key
// and value, each preceded by its length. The owner of a revision is its Function; the owner of a copy of inputs is its
// FunctionRun.
func ContentDigest(owner types.UID, configMap *corev1.ConfigMap) string {
	content := ConfigMapContent(configMap)
	keys := make([]string, 0, len(content))
	for key := range content {
		keys = append(keys, key)
	}
	slices.Sort(keys)

	hash := sha256.New()
	part := func(b []byte) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(b)))
		hash.Write(length[:])
		hash.Write(b)
	}
	part([]byte(owner))
	for _, key := range keys {
		part([]byte(key))
		part(content[key])
	}
	return digestPrefix + hex.EncodeToString(hash.Sum(nil))
}
