package v1alpha1

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// digestPrefix says which hash a digest is.
const digestPrefix = "sha256:"

// ContentDigest is what status.revision records of a ConfigMap: the SHA-256 of the owner's uid and of every key and value, each
// preceded by its length. The owner of a revision is its Function, that of a copy of inputs its FunctionRun.
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
