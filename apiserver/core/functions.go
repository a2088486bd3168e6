package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/printable"
	sharedcloudv1alpha1 "sharedcloud.io/function-operator/api/v1alpha1"
)

// FunctionFields is the part of a Function that REST owns.
type FunctionFields struct {
	Name, Runtime, Code string
	// Image is the name of a FunctionImage.
	Image string
}

// FunctionName is the display name of a function.
func FunctionName(f *sharedcloudv1alpha1.Function) string {
	if f.Spec.Name != "" {
		return f.Spec.Name
	}
	return f.Name
}

// Access says whether the caller in the context may get each object that a spec names: nil if so.
type Access interface {
	MayUse(ctx context.Context, namespace string, references []sharedcloudv1alpha1.Reference) error
}

// referrer is an object that may name others.
type referrer interface {
	client.Object
	References() []sharedcloudv1alpha1.Reference
}

// Writer creates, changes and deletes objects for the caller in the context. The frontends have checked that the caller may do
// it. The writer checks that the caller may use what an object names: it writes as the server, which the admission policies
// exempt.
type Writer struct {
	cluster *Cluster
	code    *Code
	access  Access
	clock   clock.PassiveClock
}

// NewWriter makes a writer.
func NewWriter(cluster *Cluster, code *Code, access Access, clk clock.PassiveClock) *Writer {
	return &Writer{cluster: cluster, code: code, access: access, clock: clk}
}

// CreateFunction makes a Function. With a key the same request finds what it made before: again is true then.
func (w *Writer) CreateFunction(ctx context.Context, namespace string, fields FunctionFields, by Requester) (f *sharedcloudv1alpha1.Function, again bool, err error) {
	f = &sharedcloudv1alpha1.Function{
		ObjectMeta: w.metadata(namespace, by),
		Spec:       sharedcloudv1alpha1.FunctionSpec{Name: fields.Name, Runtime: fields.Runtime, Image: fields.Image, Code: &fields.Code},
	}
	again, err = w.create(ctx, f, by, func() { f.Name = newName(fields.Name, "function") })
	if err != nil {
		return nil, false, err
	}
	slimMetadata(f)
	w.cluster.Functions.Wrote(f)
	return f, again, nil
}

// maxRequester bounds the name that the annotation requested-by keeps: an identity provider may give any.
const maxRequester = 1024

// requester is a user's name as the annotation requested-by has it: people read it.
func requester(user string) string {
	name := printable.Line(user)
	for end := maxRequester; end < len(name); end-- {
		if utf8.RuneStart(name[end]) {
			return name[:end]
		}
	}
	return name
}

// metadata is that of an object made through REST.
func (w *Writer) metadata(namespace string, by Requester) metav1.ObjectMeta {
	annotations := map[string]string{
		sharedcloudv1alpha1.AnnotationCreated:     strconv.FormatInt(w.clock.Now().UnixMicro(), 10),
		sharedcloudv1alpha1.AnnotationRequestedBy: requester(by.User),
	}
	if by.Key != "" {
		annotations[sharedcloudv1alpha1.AnnotationRequestHash] = by.Body
	}
	return metav1.ObjectMeta{
		Namespace:   namespace,
		Labels:      map[string]string{sharedcloudv1alpha1.LabelUUID: uuid.NewString()},
		Annotations: annotations,
	}
}

// create makes the object under a new name, or under the one that follows from the requester and his key: then the API
// decides which of several requests is the first, and the others find its object.
func (w *Writer) create(ctx context.Context, object referrer, by Requester, name func()) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := w.access.MayUse(ctx, object.GetNamespace(), object.References()); err != nil {
		return false, err
	}
	if by.Key != "" {
		object.SetName(keyedName(by))
		return w.createOnce(ctx, object, by)
	}
	for range writeAttempts {
		name()
		err = w.cluster.Client.Create(ctx, object, client.FieldOwner(sharedcloudv1alpha1.FieldManagerREST))
		if !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	return false, apiError("creating", err)
}

func (w *Writer) createOnce(ctx context.Context, object client.Object, by Requester) (again bool, err error) {
	key := client.ObjectKeyFromObject(object)
	err = w.cluster.Client.Create(ctx, object, client.FieldOwner(sharedcloudv1alpha1.FieldManagerREST))
	if !apierrors.IsAlreadyExists(err) {
		return false, apiError("creating", err)
	}
	if err := w.cluster.Client.Get(ctx, key, object); err != nil {
		return false, apiError("reading what the key made before", err)
	}
	if object.GetAnnotations()[sharedcloudv1alpha1.AnnotationRequestHash] != by.Body {
		return false, ErrKeyReused
	}
	return true, nil
}

// keyedName is the name of what a requester makes with a key: nobody else's key leads to it.
func keyedName(by Requester) string {
	hash := sha256.Sum256([]byte(strconv.Itoa(len(by.User)) + ":" + by.User + by.Key))
	return "rest-" + hex.EncodeToString(hash[:16])
}

// functionFields are the paths of FunctionFields, and of what REST notes beside them.
var (
	pathName    = []string{"spec", "name"}
	pathRuntime = []string{"spec", "runtime"}
	pathImage   = []string{"spec", "image"}
	pathCode    = []string{"spec", "code"}
	pathAsked   = []string{"metadata", "annotations", sharedcloudv1alpha1.AnnotationRequestedBy}
	restPaths   = [][]string{pathName, pathRuntime, pathImage, pathCode,
		{"metadata", "labels", sharedcloudv1alpha1.LabelUUID},
		{"metadata", "annotations", sharedcloudv1alpha1.AnnotationCreated},
		{"metadata", "annotations", sharedcloudv1alpha1.AnnotationRequestHash},
		pathAsked}
)

// ChangeFunction changes a function to what decide says of its present state. decide may be called several times, each
// time with the function as the API has it; its error is returned as it is. A change of nothing writes nothing, whoever
// owns the fields; a field that somebody else owns is not written: *OwnedError.
func (w *Writer) ChangeFunction(ctx context.Context, cached *sharedcloudv1alpha1.Function, by Requester,
	decide func(current *sharedcloudv1alpha1.Function, present FunctionFields) (FunctionFields, error),
) (*sharedcloudv1alpha1.Function, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for range writeAttempts {
		current := &sharedcloudv1alpha1.Function{}
		if err := w.cluster.Client.Get(ctx, client.ObjectKeyFromObject(cached), current); err != nil {
			return nil, apiError("reading the Function", err)
		}
		if current.UID != cached.UID || current.DeletionTimestamp != nil {
			return nil, ErrNotFound
		}
		if err := Decodable(current); err != nil {
			return nil, err
		}
		code, err := w.code.Of(ctx, current)
		if err != nil {
			return nil, err
		}
		present := FunctionFields{Name: FunctionName(current), Runtime: current.Spec.Runtime, Image: current.Spec.Image, Code: code}
		wanted, err := decide(current, present)
		if err != nil {
			return nil, err
		}
		// All references: new code can read everything that the function can read. REST changes none of the references.
		if wanted != present {
			if err := w.access.MayUse(ctx, current.Namespace, current.References()); err != nil {
				return nil, err
			}
		}
		function, err := w.applyFunction(ctx, current, present, wanted, by)
		if apierrors.IsConflict(err) {
			continue // somebody else was faster
		}
		if err != nil {
			return nil, apiError("changing the Function", err)
		}
		slimMetadata(function)
		w.cluster.Functions.Wrote(function)
		return function, nil
	}
	return nil, ErrChanged
}

// applyFunction writes what differs by server-side apply, together with what REST owns already: what an apply leaves out
// is taken away. It is forced, since nobody else owns what is written, and the resource version says that it is still so.
func (w *Writer) applyFunction(ctx context.Context, current *sharedcloudv1alpha1.Function, present, wanted FunctionFields, by Requester) (*sharedcloudv1alpha1.Function, error) {
	if wanted == present {
		return current, nil
	}
	var changed [][]string
	for _, field := range []struct {
		path          []string
		wanted, found string
	}{{pathName, wanted.Name, present.Name}, {pathRuntime, wanted.Runtime, present.Runtime},
		{pathImage, wanted.Image, present.Image}, {pathCode, wanted.Code, present.Code}} {
		if field.wanted != field.found {
			changed = append(changed, field.path)
		}
	}
	if owned := ownedBy(current.ManagedFields, changed); owned != nil {
		return nil, owned
	}
	if source := current.Spec.CodeFrom; source != nil && wanted.Code != present.Code {
		return nil, &OwnedError{Field: "spec.code", Owner: "ConfigMap " + source.ConfigMapName()}
	}
	content := map[string]any{}
	for _, path := range append(append(ownFields(current.ManagedFields, restPaths), changed...), pathAsked) {
		var value string
		switch {
		case path[len(path)-1] == sharedcloudv1alpha1.AnnotationRequestedBy:
			value = requester(by.User)
		case path[0] == "metadata" && path[1] == "labels":
			value = current.Labels[path[2]]
		case path[0] == "metadata":
			value = current.Annotations[path[2]]
		case path[1] == "name":
			value = wanted.Name
		case path[1] == "runtime":
			value = wanted.Runtime
		case path[1] == "image":
			value = wanted.Image
		default:
			value = wanted.Code
		}
		if err := unstructured.SetNestedField(content, value, path...); err != nil {
			return nil, fmt.Errorf("writing %v: %w", path, err)
		}
	}
	applied := &unstructured.Unstructured{Object: content}
	applied.SetGroupVersionKind(sharedcloudv1alpha1.GroupVersion.WithKind("Function"))
	applied.SetNamespace(current.Namespace)
	applied.SetName(current.Name)
	applied.SetUID(current.UID)
	applied.SetResourceVersion(current.ResourceVersion)
	err := w.cluster.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied),
		client.FieldOwner(sharedcloudv1alpha1.FieldManagerREST), client.ForceOwnership)
	if err != nil {
		return nil, err
	}
	function := &sharedcloudv1alpha1.Function{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(applied.Object, function); err != nil {
		return nil, fmt.Errorf("reading the answer of the API: %w", err)
	}
	return function, nil
}

// DeleteFunction deletes a function, and before it its runs.
func (w *Writer) DeleteFunction(ctx context.Context, f *sharedcloudv1alpha1.Function) error {
	for _, run := range w.cluster.RunsOf(f) {
		if err := w.DeleteRun(ctx, run); err != nil {
			return err
		}
	}
	if err := w.remove(ctx, f); err != nil {
		return err
	}
	w.cluster.Functions.Deleted(f.UID)
	return nil
}

// remove deletes the object, unless another has taken its name. That it is gone already is what was wanted.
func (w *Writer) remove(ctx context.Context, object client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	uid := object.GetUID()
	copied, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("a copy of %s is no object", object.GetName())
	}
	err := w.cluster.Client.Delete(ctx, copied, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return apiError("deleting", err)
}

// RunsOf are the runs that exist of a function, newest first.
func (c *Cluster) RunsOf(f *sharedcloudv1alpha1.Function) []*sharedcloudv1alpha1.FunctionRun {
	return c.FunctionRuns.ListBy(f.Namespace, functionKey(f.Name))
}

// CountRunsOf is how many runs exist of a function.
func (c *Cluster) CountRunsOf(f *sharedcloudv1alpha1.Function) int {
	return c.FunctionRuns.CountBy(f.Namespace, functionKey(f.Name))
}
