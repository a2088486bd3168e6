package v1alpha1

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"

	"sharedcloud.io/function-operator/api/printable"
)

// Decoding a stored object always succeeds, because a list or a watch fails as a whole if one of its objects cannot be
// decoded, and with it every reader of the kind, in every namespace. If the content does not match the type, the decoded
// object has its metadata and an annotation with the error, and nothing else.
//
// Such a copy is never written back: components write with apply, patch and delete, never with update.

const (
	// MaxStoredDepth is the maximum nesting depth of a stored object's JSON. Decoders reject more than 10,000 levels, and
	// with them the whole list that contains the object; see package api/shallow.
	MaxStoredDepth = 512
	// maxDecodeError is the maximum length of the annotation in bytes.
	maxDecodeError = 512
)

// DecodeError returns the reason why an object's content could not be decoded, or "" if it could. The text is truncated and
// has no control characters.
func DecodeError(object metav1.Object) string {
	return object.GetAnnotations()[AnnotationDecodeError]
}

// UnmarshalJSON decodes a Function, or only its metadata if the rest cannot be decoded: see DecodeError.
func (f *Function) UnmarshalJSON(data []byte) error {
	type plain Function
	return decodeStored(data, (*plain)(f), &f.TypeMeta, &f.ObjectMeta, func() error { return checkTimes(f.Status.Conditions) })
}

// UnmarshalJSON decodes a FunctionImage, or only its metadata if the rest cannot be decoded: see DecodeError.
func (i *FunctionImage) UnmarshalJSON(data []byte) error {
	type plain FunctionImage
	return decodeStored(data, (*plain)(i), &i.TypeMeta, &i.ObjectMeta, func() error { return checkTimes(i.Status.Conditions) })
}

// UnmarshalJSON decodes a FunctionRun, or only its metadata if the rest cannot be decoded: see DecodeError.
func (r *FunctionRun) UnmarshalJSON(data []byte) error {
	type plain FunctionRun
	return decodeStored(data, (*plain)(r), &r.TypeMeta, &r.ObjectMeta, func() error {
		return checkTimes(r.Status.Conditions, r.Status.StartTime, r.Status.CompletionTime)
	})
}

// decodeStored replaces an object by the decoded data, or by its metadata and the error. object is the object as a type
// without methods, typeMeta and objectMeta are parts of it, and check validates what was decoded. decodeStored itself fails
// only if data is not a JSON object, because then there is no metadata to keep.
func decodeStored[T any](data []byte, object *T, typeMeta *metav1.TypeMeta, objectMeta *metav1.ObjectMeta, check func() error) error {
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, []byte("null")) {
		return nil // encoding/json leaves any type unchanged on null
	}
	if len(data) == 0 || data[0] != '{' {
		return fmt.Errorf("json: cannot decode %s into an object of %s", excerpt(data), GroupName)
	}
	var decoded T // a separate variable, because an error leaves a partial result
	var err error
	if deeper(data, MaxStoredDepth) {
		err = fmt.Errorf("it contains a value that is nested more than %d levels deep", MaxStoredDepth)
	} else if err = json.Unmarshal(data, &decoded); err == nil {
		*object = decoded
		err = check()
	}
	if err == nil {
		delete(objectMeta.Annotations, AnnotationDecodeError) // a stored annotation of this name was set by a user
		return nil
	}
	*object = *new(T)
	if broken := salvage(data, typeMeta, objectMeta); broken != nil {
		return broken
	}
	if objectMeta.Annotations == nil {
		objectMeta.Annotations = map[string]string{}
	}
	objectMeta.Annotations[AnnotationDecodeError] = decodeMessage(err)
	return nil
}

// deeper reports whether data is nested more than maxDepth levels deep.
func deeper(data []byte, maxDepth int) bool {
	depth, text, escaped := 0, false, false
	for _, c := range data {
		switch {
		case escaped:
			escaped = false
		case text:
			escaped = c == '\\'
			text = c != '"'
		case c == '"':
			text = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// salvage decodes the metadata. If the metadata does not match its type either, its fields are decoded one by one.
func salvage(data []byte, typeMeta *metav1.TypeMeta, objectMeta *metav1.ObjectMeta) error {
	var fields struct {
		APIVersion stdjson.RawMessage `json:"apiVersion"`
		Kind       stdjson.RawMessage `json:"kind"`
		Metadata   stdjson.RawMessage `json:"metadata"`
	}
	if err := json.Unmarshal(data, &fields); err != nil {
		return err // not JSON
	}
	typeMeta.APIVersion, _ = textOf(fields.APIVersion)
	typeMeta.Kind, _ = textOf(fields.Kind)
	if len(fields.Metadata) == 0 {
		return nil
	}
	var decoded metav1.ObjectMeta
	if json.Unmarshal(fields.Metadata, &decoded) == nil {
		*objectMeta = decoded
		return nil
	}
	var metadata map[string]stdjson.RawMessage
	if err := json.Unmarshal(fields.Metadata, &metadata); err != nil {
		return nil //nolint:nilerr // metadata is not an object: there is nothing to keep
	}
	objectMeta.Labels = textsOf(metadata["labels"])
	objectMeta.Annotations = textsOf(metadata["annotations"])
	for _, field := range []string{
		"name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
		"deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers", "managedFields",
	} {
		value, found := metadata[field]
		if !found {
			continue
		}
		alone := slices.Concat([]byte(`{"`+field+`":`), value, []byte(`}`))
		if json.Unmarshal(alone, &metav1.ObjectMeta{}) == nil { // decoded into a scratch object first, because an error leaves a partial result
			_ = json.Unmarshal(alone, objectMeta)
		}
	}
	return nil
}

func textOf(raw stdjson.RawMessage) (string, bool) {
	var text *string
	if len(raw) == 0 || json.Unmarshal(raw, &text) != nil || text == nil {
		return "", false
	}
	return *text, true
}

// textsOf returns the entries of an object whose values are strings.
func textsOf(raw stdjson.RawMessage) map[string]string {
	var entries map[string]stdjson.RawMessage
	if len(raw) == 0 || json.Unmarshal(raw, &entries) != nil || len(entries) == 0 {
		return nil
	}
	texts := make(map[string]string, len(entries))
	for key, value := range entries {
		if text, ok := textOf(value); ok {
			texts[key] = text
		}
	}
	return texts
}

// checkTimes rejects times whose year does not have four digits, because they cannot be formatted as RFC 3339.
func checkTimes(conditions []metav1.Condition, times ...*metav1.Time) error {
	for i := range conditions {
		times = append(times, &conditions[i].LastTransitionTime)
	}
	for _, at := range times {
		if at == nil || at.IsZero() {
			continue
		}
		if year := at.UTC().Year(); year < 1 || year > 9999 {
			return fmt.Errorf("the time %s is not between the years 1 and 9999", at.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// decodeMessage formats a decoder's error with the name of the field as it appears in a manifest.
func decodeMessage(err error) string {
	text := strings.TrimPrefix(err.Error(), "json: ")
	var mismatch *stdjson.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		field := strings.ReplaceAll(mismatch.Field, ".RunPolicy.", ".") // an inlined struct
		if field == "" {
			field = "the object"
		}
		text = fmt.Sprintf("%s cannot be a JSON %s", field, excerpt([]byte(mismatch.Value)))
		if mismatch.Type != nil {
			text += " (want " + strings.TrimPrefix(mismatch.Type.String(), "v1alpha1.") + ")"
		}
	}
	return cleaned(text, maxDecodeError)
}

func excerpt(text []byte) string { return cleaned(string(text[:min(len(text), 64)]), 64) }

// cleaned returns text that is safe to display, truncated to limit bytes.
func cleaned(text string, limit int) string {
	return printable.Cut(printable.Line(text[:min(len(text), limit)]), limit)
}
