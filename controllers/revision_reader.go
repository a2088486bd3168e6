package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// revisionPause is how long a run waits for a revision that its Function's controller is making again.
	revisionPause = time.Second
	// Settings take a kilobyte or two each.
	settingsKept = 2048
)

// revisionReader reads the settings of revisions. It keeps what it has read, without the code: a revision is immutable, so
// what was read once of an object with some uid is true as long as that object exists.
type revisionReader struct {
	cached client.Reader
	live   client.Reader
	kept   *lru.Cache
}

func newRevisionReader(cached, live client.Reader) *revisionReader {
	return &revisionReader{cached: cached, live: live, kept: lru.New(settingsKept)}
}

// read returns the settings of a revision, or a NotFound, which is only ever the API server's own word: the cache may not
// have heard of a revision that was made just now.
func (r *revisionReader) read(ctx context.Context, namespace, name string) (Settings, error) {
	key := client.ObjectKey{Namespace: namespace, Name: name}
	known := configMapMetadata()
	if err := r.cached.Get(ctx, key, known); err == nil {
		if kept, found := r.kept.Get(known.UID); found {
			return kept.(Settings), nil
		}
	} else if !apierrors.IsNotFound(err) {
		return Settings{}, fmt.Errorf("looking up the revision %s: %w", name, err)
	}
	revision := &corev1.ConfigMap{}
	if err := r.live.Get(ctx, key, revision); err != nil {
		return Settings{}, fmt.Errorf("reading the revision %s: %w", name, err)
	}
	settings, err := settingsOf(revision)
	if err != nil {
		return Settings{}, err
	}
	r.kept.Add(revision.UID, settings)
	return settings, nil
}

// configMapMetadata is what the cache holds of ConfigMaps: never what is in them.
func configMapMetadata() *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	return object
}

// namespaceMetadata is what the cache holds of namespaces.
func namespaceMetadata() *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return object
}
