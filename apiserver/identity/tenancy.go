package identity

import (
	"slices"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Namespaces knows the namespaces and their tenants.
type Namespaces interface {
	Exists(name string) bool
	// OfTenant returns the namespaces of "user:NAME" or "group:NAME", in order.
	OfTenant(entry string) []string
}

// Tenancy finds the namespace of a caller.
type Tenancy struct {
	namespaces Namespaces
	// otherwise is the namespace of callers without their own; "" for none.
	otherwise string
}

// NewTenancy uses the namespace otherwise for callers without their own.
func NewTenancy(namespaces Namespaces, otherwise string) *Tenancy {
	return &Tenancy{namespaces: namespaces, otherwise: otherwise}
}

// WithoutTenants are the namespaces without their annotation: for clusters in which tenants can set it.
func WithoutTenants(namespaces Namespaces) Namespaces { return untenanted{namespaces} }

type untenanted struct{ Namespaces }

// OfTenant implements Namespaces.
func (untenanted) OfTenant(string) []string { return nil }

// Of returns the caller's namespace: the chosen one, else the service account's own, else the first whose annotation names
// the user or one of the user's groups, else the default. chosen reports that the caller chose it; Rules decides whether the
// caller may use it.
func (t *Tenancy) Of(caller user.Info, choice string) (namespace string, chosen bool, err error) {
	if choice != "" {
		if !t.namespaces.Exists(choice) {
			return "", true, ErrNoNamespace
		}
		return choice, true, nil
	}
	if own, _, err := serviceaccount.SplitUsername(caller.GetName()); err == nil {
		return own, false, nil
	}
	if names := t.namespaces.OfTenant("user:" + caller.GetName()); len(names) > 0 {
		return names[0], false, nil
	}
	var ofGroups []string
	for _, group := range caller.GetGroups() {
		ofGroups = append(ofGroups, t.namespaces.OfTenant("group:"+group)...)
	}
	if len(ofGroups) > 0 {
		return slices.Min(ofGroups), false, nil
	}
	if t.otherwise == "" {
		return "", false, ErrNoNamespace
	}
	return t.otherwise, false, nil
}
