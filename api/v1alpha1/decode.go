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

// Stored objects are decoded one by one. A list or a watch fails as a whole where one of its objects cannot be decoded, and
// with it every reader of the kind, in every namespace. So decoding an object always gives an object: where its content
// does not fit the type, it has its metadata and an annotation with the error, and nothing else.
//
// Such a copy is for reading. Nothing writes it back: components write by apply, by patch and by delete, never by update.

const (
	// MaxStoredDepth is how deeply the JSON of a stored object may nest. Decoders refuse more than 10,000 levels, of a whole
	// list at once; see package api/shallow.
	MaxStoredDepth = 512
	// maxDecodeError is the length of the annotation in bytes.
	maxDecodeError = 512
)

// DecodeError says why an object's content could not be decoded; "" where it could. The text is cut and has no control
// characters.
func DecodeError(object metav1.Object) string {
	return object.GetAnnotations()[AnnotationDecodeError]
}

// UnmarshalJSON decodes a Function, or its metadata where the rest cannot be decoded: see DecodeError.
func (f *Function) UnmarshalJSON(data []byte) error {
	type plain Function
	return decodeStored(data, (*plain)(f), &f.TypeMeta, &f.ObjectMeta, func() error { return checkTimes(f.Status.Conditions) })
}

// UnmarshalJSON decodes a FunctionImage, or its metadata where the rest cannot be decoded: see DecodeError.
func (i *FunctionImage) UnmarshalJSON(data []byte) error {
	type plain FunctionImage
	return decodeStored(data, (*plain)(i), &i.TypeMeta, &i.ObjectMeta, func() error { return checkTimes(i.Status.Conditions) })
}

// UnmarshalJSON decodes a FunctionRun, or its metadata where the rest cannot be decoded: see DecodeError.
func (r *FunctionRun) UnmarshalJSON(data []byte) error {
	type plain FunctionRun
	return decodeStored(data, (*plain)(r), &r.TypeMeta, &r.ObjectMeta, func() error {
		return checkTimes(r.Status.Conditions, r.Status.StartTime, r.Status.CompletionTime)
	})
}

// decodeStored replaces an object by what data holds: whole, or its metadata and the error. object is the object as a type
// without methods, typeMeta and objectMeta are parts of it, and check looks at what was decoded. The error of decodeStored
// itself is that data is no JSON object: then there is nothing to keep.
func decodeStored[T any](data []byte, object *T, typeMeta *metav1.TypeMeta, objectMeta *metav1.ObjectMeta, check func() error) error {
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, []byte("null")) {
		return nil // as for any other type
	}
	if len(data) == 0 || data[0] != '{' {
		return fmt.Errorf("json: cannot decode %s into an object of %s", excerpt(data), GroupName)
	}
	var decoded T // beside the object: an error leaves half of it
	var err error
	if deeper(data, MaxStoredDepth) {
		err = fmt.Errorf("it has a value that nests deeper than %d levels", MaxStoredDepth)
	} else if err = json.Unmarshal(data, &decoded); err == nil {
		*object = decoded
		err = check()
	}
	if err == nil {
		delete(objectMeta.Annotations, AnnotationDecodeError) // a stored one is not the operator's word
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

// deeper says whether JSON nests deeper than so many levels.
func deeper(data []byte, most int) bool {
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
			if depth++; depth > most {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// salvage decodes the metadata. Where it does not fit its type either, each of its fields is decoded by itself.
func salvage(data []byte, typeMeta *metav1.TypeMeta, objectMeta *metav1.ObjectMeta) error {
	var fields struct {
		APIVersion stdjson.RawMessage `json:"apiVersion"`
		Kind       stdjson.RawMessage `json:"kind"`
		Metadata   stdjson.RawMessage `json:"metadata"`
	}
	if err := json.Unmarshal(data, &fields); err != nil {
		return err // no JSON
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
		return nil //nolint:nilerr // no object: there is nothing to keep
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
		if json.Unmarshal(alone, &metav1.ObjectMeta{}) == nil { // first elsewhere: an error leaves half of it
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

// textsOf are those entries of an object that are strings.
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

// checkTimes refuses times whose year does not have four digits: they cannot be written as RFC 3339.
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

// decodeMessage is an error of a decoder in words that name the field as a manifest does.
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
			text += " (it is of the type " + strings.TrimPrefix(mismatch.Type.String(), "v1alpha1.") + ")"
		}
	}
	return cleaned(text, maxDecodeError)
}

func excerpt(text []byte) string { return cleaned(string(text[:min(len(text), 64)]), 64) }

// cleaned is a text that is safe to show, in at most limit bytes.
func cleaned(text string, limit int) string {
	return printable.Cut(printable.Line(text[:min(len(text), limit)]), limit)
}
