package workload

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	kjson "sigs.k8s.io/json"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// RevisionKey is the key of a revision's ConfigMap that holds its settings.
	RevisionKey = "revision.json"
	// annotationContent is the hash of a revision's content, for a first comparison. An annotation proves nothing: what a run
	// executes is compared with the digest in a status.
	annotationContent = "sharedcloud.io/content-sha256"

	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "sharedcloud"

	// The API server's limit on all keys and values of a ConfigMap.
	maxConfigMapBytes = 1 << 20
)

// RevisionFor builds the immutable ConfigMap with everything that a run of the function executes. Its name and the annotation
// with its hash follow from its content and the function's uid, so the same content is always the same object.
//
// It has no owner: thousands of runs would exceed the list of owners, and it must exist longer than its function while a run
// needs it. The revision controller deletes it.
func RevisionFor(function *v1alpha1.Function, code Code, runner string, settings Settings) (*corev1.ConfigMap, error) {
	settings.Files = code.Names()
	encoded, err := json.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("encoding the settings: %w", err)
	}
	revision := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: function.Namespace,
			Labels: map[string]string{
				v1alpha1.LabelFunction:    function.Name,
				v1alpha1.LabelFunctionUID: string(function.UID),
				labelManagedBy:            managedBy,
			},
		},
		Immutable: ptr.To(true),
		Data: map[string]string{
			settings.RunnerFile: runner,
			RevisionKey:         string(encoded),
		},
	}
	put(revision, settings.HandlerFile, code.Handler)
	for _, name := range settings.Files {
		put(revision, name, code.Files[name])
	}
	hash := HashOfDigest(v1alpha1.ContentDigest(function.UID, revision))
	revision.Name = revisionName(function.Name, hash)
	revision.Annotations = map[string]string{annotationContent: hash}
	return revision, nil
}

// put stores a file byte for byte: source files may have another encoding than UTF-8, which their first line declares.
func put(revision *corev1.ConfigMap, name string, content []byte) {
	if utf8.Valid(content) {
		revision.Data[name] = string(content)
		return
	}
	if revision.BinaryData == nil {
		revision.BinaryData = map[string][]byte{}
	}
	revision.BinaryData[name] = content
}

// RevisionSize is the size that the API server compares with the limit of a ConfigMap.
func RevisionSize(revision *corev1.ConfigMap) int {
	size := 0
	for key, value := range revision.Data {
		size += len(key) + len(value)
	}
	for key, value := range revision.BinaryData {
		size += len(key) + len(value)
	}
	return size
}

// HashOfDigest is the hexadecimal part of a digest.
func HashOfDigest(digest string) string {
	_, hash, _ := strings.Cut(digest, ":")
	return hash
}

// SameRevision reports whether an object with these annotations and labels claims to be the revision.
func SameRevision(annotations, labels map[string]string, revision *corev1.ConfigMap) bool {
	return annotations[annotationContent] == revision.Annotations[annotationContent] &&
		labels[v1alpha1.LabelFunctionUID] == revision.Labels[v1alpha1.LabelFunctionUID]
}

// SettingsOf reads the settings of a revision. It refuses everything that RevisionFor does not write, because a ConfigMap may
// hold anything.
func SettingsOf(revision *corev1.ConfigMap) (Settings, error) {
	var settings Settings
	text, found := revision.Data[RevisionKey]
	if !found {
		return settings, fmt.Errorf("the ConfigMap %s has no key %s: it is not a revision", revision.Name, RevisionKey)
	}
	strict, err := kjson.UnmarshalStrict([]byte(text), &settings)
	if err = errors.Join(append(strict, err)...); err != nil {
		return Settings{}, fmt.Errorf("decoding %s of the revision %s: %w", RevisionKey, revision.Name, err)
	}
	if err := settings.checkBounds(); err != nil {
		return Settings{}, fmt.Errorf("%s of the revision %s: %w", RevisionKey, revision.Name, err)
	}
	return settings, nil
}
