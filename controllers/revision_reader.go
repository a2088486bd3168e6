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
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
	"sharedcloud.io/function-operator/controllers/workload"
)

const (
	// revisionInterval is how long a run waits for a revision that its Function's controller creates again.
	revisionInterval = time.Second
	// maxKeptRevisions bounds the cache of settings, which take a kilobyte or two each.
	maxKeptRevisions = 2048
	// confirmationAge is how long the API server's answer about which ConfigMap has a name counts as its answer now, while the cache
	// agrees with it.
	confirmationAge = time.Second
)

// revisionRef is a revision as a status names it.
type revisionRef struct {
	namespace, name string
	// digest is that of its content. It is "" for a run that was pinned before statuses had digests: then the part of the digest that
	// is in the name is compared.
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

// revisionError is why a ConfigMap is not the revision that a status names. Reading it again does not help.
type revisionError struct {
	name, why string
}

func (e *revisionError) Error() string {
	return fmt.Sprintf("the ConfigMap %s is not the revision of that name: %s", e.name, e.why)
}

// isNotTheRevision reports that a ConfigMap has the name of a revision and is another one, or cannot be executed.
func isNotTheRevision(err error) bool {
	var wrong *revisionError
	return errors.As(err, &wrong)
}

// revisionReader reads the settings of revisions and compares the content with the digest in a status: any user who may write
// ConfigMaps may have deleted a revision and created another ConfigMap under its name.
//
// It caches what it has read, without the code. It accepts only immutable ConfigMaps, so the cached content of an object with a given
// uid is valid while that object exists.
type revisionReader struct {
	cached client.Reader
	live   client.Reader
	// validate returns why no pod may be built from the settings.
	validate func(namespace string, revision *corev1.ConfigMap, settings workload.Settings) error
	kept     *lru.Cache
	// confirmed has the last confirmation of a ConfigMap's key.
	confirmed *lru.Cache
	clock     clock.PassiveClock
}

// confirmation is the API server's answer about which ConfigMap has a name.
type confirmation struct {
	uid types.UID
	at  time.Time
}

// readKey includes the Function because the digest of a ConfigMap's content depends on it.
type readKey struct{ configMap, function types.UID }

// readRevision is what is cached of a ConfigMap.
type readRevision struct {
	settings workload.Settings
	digest   string
	// invalid is why it cannot be executed, independent of its digest; "" if it can.
	invalid string
}

func newRevisionReader(cached, live client.Reader, options workload.Options, clock clock.PassiveClock) *revisionReader {
	return &revisionReader{
		cached: cached, live: live, validate: options.ValidateSettings, kept: lru.New(maxKeptRevisions),
		confirmed: lru.New(maxKeptRevisions), clock: clock,
	}
}

// read returns the settings of a revision. The error is NotFound, always as the API server's answer, because the cache may not have a
// new revision yet; or a *revisionError.
func (r *revisionReader) read(ctx context.Context, ref revisionRef) (workload.Settings, error) {
	return r.readBy(ctx, r.cached, false, ref)
}

// confirm asks the API server which ConfigMap has the name now. It runs while the run's pin is written, so that readNow, which follows
// that write, need not wait for the answer. Without an answer readNow asks itself.
func (r *revisionReader) confirm(ctx context.Context, ref revisionRef) {
	asked, known := r.clock.Now(), configMapMetadata()
	if err := r.live.Get(ctx, ref.key(), known); err == nil {
		r.confirmed.Add(ref.key(), confirmation{known.UID, asked})
	}
}

// isConfirmed reports that the API server has said within the confirmationAge that the cached ConfigMap has the name.
func (r *revisionReader) isConfirmed(ctx context.Context, ref revisionRef) bool {
	found, ok := r.confirmed.Get(ref.key())
	if !ok || r.clock.Since(found.(confirmation).at) > confirmationAge {
		return false
	}
	known := configMapMetadata()
	return r.cached.Get(ctx, ref.key(), known) == nil && known.UID == found.(confirmation).uid
}

// readNow is read with the API server's answer about which ConfigMap has the name now, or a confirmation. It must be used for settings
// that are executed.
func (r *revisionReader) readNow(ctx context.Context, ref revisionRef) (workload.Settings, error) {
	if r.isConfirmed(ctx, ref) {
		return r.readBy(ctx, r.cached, false, ref)
	}
	return r.readBy(ctx, r.live, true, ref)
}

// readBy looks the name up with a reader. If isLive is true, its NotFound is final.
func (r *revisionReader) readBy(ctx context.Context, names client.Reader, isLive bool, ref revisionRef) (workload.Settings, error) {
	known := configMapMetadata()
	switch err := names.Get(ctx, ref.key(), known); {
	case err == nil:
		if kept, found := r.kept.Get(readKey{known.UID, ref.function}); found {
			return kept.(readRevision).as(ref)
		}
	case isLive || !apierrors.IsNotFound(err):
		return workload.Settings{}, fmt.Errorf("looking up the revision %s: %w", ref.name, err)
	}
	revision := &corev1.ConfigMap{}
	if err := r.live.Get(ctx, ref.key(), revision); err != nil {
		return workload.Settings{}, fmt.Errorf("reading the revision %s: %w", ref.name, err)
	}
	return r.readContent(ref, revision).as(ref)
}

// readContent reads a ConfigMap and caches the result.
func (r *revisionReader) readContent(ref revisionRef, revision *corev1.ConfigMap) readRevision {
	read := readRevision{digest: v1alpha1.ContentDigest(ref.function, revision)}
	if !ptr.Deref(revision.Immutable, false) {
		read.invalid = "it is not immutable"
		return read // not cached: its content may change
	}
	settings, err := workload.SettingsOf(revision)
	if err == nil {
		err = r.validate(ref.namespace, revision, settings)
	}
	if err != nil {
		read.invalid = printable.Cut(err.Error(), values.MaxForeignText)
	} else {
		read.settings = settings
	}
	r.kept.Add(readKey{revision.UID, ref.function}, read)
	return read
}

// as returns the settings if the ConfigMap is the revision that the reference names.
func (r readRevision) as(ref revisionRef) (workload.Settings, error) {
	switch hash := workload.HashOfDigest(r.digest); {
	case ref.digest != "" && r.digest != ref.digest:
		return workload.Settings{}, &revisionError{ref.name, fmt.Sprintf("its content has the digest %s instead of %s", r.digest, ref.digest)}
	case ref.digest == "" && !workload.HasRevisionHash(ref.name, hash):
		return workload.Settings{}, &revisionError{ref.name, fmt.Sprintf("its content has the digest %s, which its name does not contain", r.digest)}
	case r.invalid != "":
		return workload.Settings{}, &revisionError{ref.name, r.invalid}
	}
	return r.settings, nil
}

// checkReplaced returns a *revisionError if the cache has another ConfigMap under the revision's name. It returns nil for a deleted
// revision: workers that have mounted it continue without it.
func (r *revisionReader) checkReplaced(ctx context.Context, ref revisionRef) error {
	if err := r.cached.Get(ctx, ref.key(), configMapMetadata()); apierrors.IsNotFound(err) {
		return nil
	}
	if _, err := r.read(ctx, ref); !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

// configMapMetadata is what the cache holds of ConfigMaps: never their content.
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
