package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// revisionPause is how long a run waits for a revision that its Function's controller is making again.
	revisionPause = time.Second
	// Settings take a kilobyte or two each.
	settingsKept = 2048
)

// revisionRef is what a status says of a revision.
type revisionRef struct {
	namespace, name string
	// digest is what its content must have. "" for a run that was pinned before statuses had one: then the part of it that is
	// in the name is compared.
	digest string
	// function is the uid of its Function, which is part of the digest.
	function types.UID
}

func (r revisionRef) key() client.ObjectKey {
	return client.ObjectKey{Namespace: r.namespace, Name: r.name}
}

func refOfRun(run *v1alpha1.FunctionRun) revisionRef {
	pin := run.Status.Revision
	return revisionRef{run.Namespace, pin.Name, pin.Digest, pin.FunctionUID}
}

func refOfFunction(function *v1alpha1.Function) revisionRef {
	revision := function.Status.Revision
	return revisionRef{function.Namespace, revision.Name, revision.Digest, function.UID}
}

// revisionError says why a ConfigMap is not the revision that a status names. No repetition of the look helps.
type revisionError struct {
	name, why string
}

func (e *revisionError) Error() string {
	return fmt.Sprintf("the ConfigMap %s is not the revision that is named: %s", e.name, e.why)
}

// notTheRevision: something has the name of the revision and is not that, or cannot be executed.
func notTheRevision(err error) bool {
	var wrong *revisionError
	return errors.As(err, &wrong)
}

// revisionReader reads the settings of revisions, and compares what it reads with the digest that a status has: a ConfigMap
// may have been deleted and made again under its name by anybody with a right to write ConfigMaps.
//
// It keeps what it has read, without the code. Only immutable ConfigMaps are accepted, so what was read once of an object with
// some uid is true while that object exists.
type revisionReader struct {
	cached client.Reader
	live   client.Reader
	// valid says whether settings may be rendered.
	valid func(namespace string, revision *corev1.ConfigMap, settings Settings) error
	kept  *lru.Cache
}

// readKey: the digest of a ConfigMap's content depends on the Function that it is read for.
type readKey struct{ configMap, function types.UID }

// readRevision is what is kept of a ConfigMap.
type readRevision struct {
	settings Settings
	digest   string
	// wrong is why it cannot be executed, whatever its digest.
	wrong string
}

func newRevisionReader(cached, live client.Reader, options Options) *revisionReader {
	return &revisionReader{cached: cached, live: live, valid: options.validSettings, kept: lru.New(settingsKept)}
}

// read returns the settings of a revision. The error is a NotFound, which is only ever the API server's own word, since the cache
// may not have heard of a revision that was made just now; or a *revisionError.
func (r *revisionReader) read(ctx context.Context, ref revisionRef) (Settings, error) {
	return r.readBy(ctx, r.cached, false, ref)
}

// readNow is read that asks the API server which ConfigMap has the name now. What is rendered from the answer is executed.
func (r *revisionReader) readNow(ctx context.Context, ref revisionRef) (Settings, error) {
	return r.readBy(ctx, r.live, true, ref)
}

func (r *revisionReader) readBy(ctx context.Context, names client.Reader, final bool, ref revisionRef) (Settings, error) {
	known := configMapMetadata()
	switch err := names.Get(ctx, ref.key(), known); {
	case err == nil:
		if kept, found := r.kept.Get(readKey{known.UID, ref.function}); found {
			return kept.(readRevision).as(ref)
		}
	case final || !apierrors.IsNotFound(err):
		return Settings{}, fmt.Errorf("looking up the revision %s: %w", ref.name, err)
	}
	revision := &corev1.ConfigMap{}
	if err := r.live.Get(ctx, ref.key(), revision); err != nil {
		return Settings{}, fmt.Errorf("reading the revision %s: %w", ref.name, err)
	}
	return r.look(ref, revision).as(ref)
}

// look reads a ConfigMap, and keeps what it found.
func (r *revisionReader) look(ref revisionRef, revision *corev1.ConfigMap) readRevision {
	read := readRevision{digest: v1alpha1.ContentDigest(ref.function, revision)}
	if !ptr.Deref(revision.Immutable, false) {
		read.wrong = "it is not immutable"
		return read // not kept: its content may change
	}
	settings, err := settingsOf(revision)
	if err == nil {
		err = r.valid(ref.namespace, revision, settings)
	}
	if err != nil {
		read.wrong = cut(err.Error(), foreignTextLimit)
	} else {
		read.settings = settings
	}
	r.kept.Add(readKey{revision.UID, ref.function}, read)
	return read
}

// as is what was read, where that is what the reference names.
func (r readRevision) as(ref revisionRef) (Settings, error) {
	switch hash := hashIn(r.digest); {
	case ref.digest != "" && r.digest != ref.digest:
		return Settings{}, &revisionError{ref.name, fmt.Sprintf("its content has the digest %s instead of %s", r.digest, ref.digest)}
	case ref.digest == "" && !hasRevisionHash(ref.name, hash):
		return Settings{}, &revisionError{ref.name, fmt.Sprintf("its content has the digest %s, which its name does not have", r.digest)}
	case r.wrong != "":
		return Settings{}, &revisionError{ref.name, r.wrong}
	}
	return r.settings, nil
}

// replaced says whether the cache knows that the name of a revision is another ConfigMap's. nil also where it knows of none:
// workers that have mounted a revision go on without it.
func (r *revisionReader) replaced(ctx context.Context, ref revisionRef) error {
	if err := r.cached.Get(ctx, ref.key(), configMapMetadata()); apierrors.IsNotFound(err) {
		return nil
	}
	if _, err := r.read(ctx, ref); !apierrors.IsNotFound(err) {
		return err
	}
	return nil
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
