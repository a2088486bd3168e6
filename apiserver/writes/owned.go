package writes

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// OwnedError means that another field manager owns a field that REST would change.
type OwnedError struct{ Field, Owner string }

func (e *OwnedError) Error() string {
	return fmt.Sprintf("%s is owned by %q, which would revert the change: change it there", e.Field, e.Owner)
}

// ownedBy returns the first of the fields that a manager other than REST owns, with that manager, or nil. Fields are paths from
// the root of the object.
func ownedBy(entries []metav1.ManagedFieldsEntry, fields [][]string) *OwnedError {
	for _, field := range fields {
		for i := range entries {
			entry := &entries[i]
			if entry.Subresource == "" && entry.Manager != v1alpha1.FieldManagerREST && has(entry, field) {
				return &OwnedError{Field: strings.Join(field, "."), Owner: entry.Manager}
			}
		}
	}
	return nil
}

// ownFields returns which of the fields REST owns.
func ownFields(entries []metav1.ManagedFieldsEntry, fields [][]string) [][]string {
	return slices.DeleteFunc(slices.Clone(fields), func(field []string) bool {
		return !slices.ContainsFunc(entries, func(entry metav1.ManagedFieldsEntry) bool {
			return entry.Subresource == "" && entry.Manager == v1alpha1.FieldManagerREST && has(&entry, field)
		})
	})
}

func has(entry *metav1.ManagedFieldsEntry, field []string) bool {
	if entry.FieldsV1 == nil {
		return false
	}
	set := &fieldpath.Set{}
	if err := set.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
		return false
	}
	path := make(fieldpath.Path, len(field))
	for i := range field {
		path[i] = fieldpath.PathElement{FieldName: &field[i]}
	}
	if set.Has(path) {
		return true
	}
	for _, step := range field {
		inner, ok := set.Children.Get(fieldpath.PathElement{FieldName: &step})
		if !ok {
			return false
		}
		set = inner
	}
	return !set.Empty()
}
