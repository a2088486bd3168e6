package writes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
)

// Errors of writes, beside those of package core and the API's own.
var (
	// ErrChanged: each of several attempts conflicted with writes of other clients.
	ErrChanged = errors.New("other clients changed the object concurrently: read it again and repeat the request")
	// ErrKeyReused: the Idempotency-Key was used before with another body.
	ErrKeyReused = errors.New("this Idempotency-Key was used before with another body: use a new key for a new request")
)

const (
	// maxAttempts is the number of attempts of a write that conflicts with other writes.
	maxAttempts = 5
	// timeout bounds one operation on the Kubernetes API.
	timeout = 15 * time.Second
	// maxSlug leaves room for a suffix, and for names that are derived from the name.
	maxSlug = 40
)

// Access checks whether the caller in the context may get each object that a spec references. It returns nil if so.
type Access interface {
	MayUse(ctx context.Context, namespace string, references []v1alpha1.Reference) error
}

// referrer is an object that can reference others.
type referrer interface {
	client.Object
	References() []v1alpha1.Reference
}

// Writer creates, changes and deletes objects for the caller in the context. The frontends check that the caller may write the object. The
// writer checks that the caller may use the objects that it references: the admission policies that check this exempt the server's own
// account.
type Writer struct {
	cluster *core.Cluster
	code    *core.Code
	access  Access
	clock   clock.PassiveClock
}

// New returns a writer.
func New(cluster *core.Cluster, code *core.Code, access Access, clk clock.PassiveClock) *Writer {
	return &Writer{cluster: cluster, code: code, access: access, clock: clk}
}

// Requester is the caller on whose behalf something is written.
type Requester struct {
	// User is the caller's user name in the cluster.
	User string
	// Key and Body identify a request that may be repeated: its Idempotency-Key and a hash of its body. Both are empty without a key.
	Key, Body string
}

// maxRequester bounds the annotation requested-by in bytes: user names of identity providers have no maximum length.
const maxRequester = 1024

// requester returns a user's name as the value of the annotation requested-by, safe to print.
func requester(user string) string {
	name := printable.Line(user)
	for end := maxRequester; end < len(name); end-- {
		if utf8.RuneStart(name[end]) {
			return name[:end]
		}
	}
	return name
}

// metadata is the metadata of an object that REST creates.
func (w *Writer) metadata(namespace string, by Requester) metav1.ObjectMeta {
	annotations := map[string]string{
		v1alpha1.AnnotationCreated:     strconv.FormatInt(w.clock.Now().UnixMicro(), 10),
		v1alpha1.AnnotationRequestedBy: requester(by.User),
	}
	if by.Key != "" {
		annotations[v1alpha1.AnnotationRequestHash] = by.Body
	}
	return metav1.ObjectMeta{
		Namespace:   namespace,
		Labels:      map[string]string{v1alpha1.LabelUUID: uuid.NewString()},
		Annotations: annotations,
	}
}

// create creates the object with a new name. With a key, the name is derived from the user and the key: of concurrent requests with the same
// key the API accepts one, and the others find its object.
func (w *Writer) create(ctx context.Context, object referrer, by Requester, name func()) (repeated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := w.access.MayUse(ctx, object.GetNamespace(), object.References()); err != nil {
		return false, err
	}
	if by.Key != "" {
		object.SetName(keyedName(by))
		return w.createOnce(ctx, object, by)
	}
	for range maxAttempts {
		name()
		err = w.cluster.Client.Create(ctx, object, client.FieldOwner(v1alpha1.FieldManagerREST))
		if !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	return false, core.APIError("creating", err)
}

func (w *Writer) createOnce(ctx context.Context, object client.Object, by Requester) (repeated bool, err error) {
	key := client.ObjectKeyFromObject(object)
	err = w.cluster.Client.Create(ctx, object, client.FieldOwner(v1alpha1.FieldManagerREST))
	if !apierrors.IsAlreadyExists(err) {
		return false, core.APIError("creating", err)
	}
	if err := w.cluster.Client.Get(ctx, key, object); err != nil {
		return false, core.APIError("reading the object of an earlier request with the same key", err)
	}
	if object.GetAnnotations()[v1alpha1.AnnotationRequestHash] != by.Body {
		return false, ErrKeyReused
	}
	return true, nil
}

// keyedName returns the name for an object that is created with a key. Different users never get the same name.
func keyedName(by Requester) string {
	hash := sha256.Sum256([]byte(strconv.Itoa(len(by.User)) + ":" + by.User + by.Key))
	return "rest-" + hex.EncodeToString(hash[:16])
}

// slug returns text as the beginning of an object's name: lower case letters, digits and dashes, starting with a letter.
func slug(text, otherwise string) string {
	var b strings.Builder
	dash := false
	for _, c := range strings.ToLower(text) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9' && b.Len() > 0:
			if dash {
				b.WriteByte('-')
			}
			dash = false
			b.WriteRune(c)
		default:
			dash = b.Len() > 0
		}
		if b.Len() >= maxSlug {
			break
		}
	}
	if b.Len() == 0 {
		return otherwise
	}
	return b.String()
}

// newName returns a readable name with a random suffix; the API detects collisions.
func newName(text, otherwise string) string { return slug(text, otherwise) + "-" + utilrand.String(6) }

// remove deletes the object, unless another object has its name now. It succeeds if the object no longer exists.
func (w *Writer) remove(ctx context.Context, object client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	uid := object.GetUID()
	copied, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("the copy of %s is not an object", object.GetName())
	}
	err := w.cluster.Client.Delete(ctx, copied, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return core.APIError("deleting", err)
}
