package v1alpha1

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Quantity is a resource.Quantity ("500m", "2Gi", 4) of bounded size.
//
// resource.Quantity accepts exponents of ten digits and computes the power of ten when it parses, compares, rounds or prints.
// Quantity therefore checks the text before it parses it: at most 18 digits before the decimal point, 9 after it, and 2 in the
// exponent. The API server evaluates rules in CEL even if the text does not match the pattern, so a rule that calls quantity() checks
// the text first, too.
//
// +kubebuilder:ac:generate=false
// +kubebuilder:validation:XIntOrString
// +kubebuilder:validation:MaxLength=34
// +kubebuilder:validation:Pattern=`^[+-]?(([0-9]{1,18}(\.[0-9]{0,9})?)|(\.[0-9]{1,9}))(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]{1,2}))?$`
type Quantity resource.Quantity

// quantityForm repeats the pattern of the schema, because objects may have been stored before the pattern existed, and revisions
// have no schema. It allows 19 digits, because a JSON number can have one digit more than the text of the schema.
var quantityForm = regexp.MustCompile(`^[+-]?(([0-9]{1,19}(\.[0-9]{0,9})?)|(\.[0-9]{1,9}))(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]{1,2}))?$`)

const maxQuantityText = 34

// ParseQuantity parses a quantity in bounded time.
func ParseQuantity(text string) (Quantity, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxQuantityText || !quantityForm.MatchString(text) {
		return Quantity{}, fmt.Errorf("%q is not a valid quantity: use a value such as 500m, 2Gi or 1e3, with at most 18 digits before the decimal point, 9 after it and 2 in the exponent", excerpt([]byte(text)))
	}
	parsed, err := resource.ParseQuantity(text)
	if err != nil {
		return Quantity{}, fmt.Errorf("%q is not a valid quantity: %w", text, err)
	}
	return Quantity(parsed), nil
}

// MustParseQuantity is like ParseQuantity but panics if the text is invalid. Use it for constants.
func MustParseQuantity(text string) Quantity {
	quantity, err := ParseQuantity(text)
	if err != nil {
		panic(err)
	}
	return quantity
}

// Amount returns the quantity as a resource.Quantity.
func (q *Quantity) Amount() resource.Quantity { return (*resource.Quantity)(q).DeepCopy() }

// String returns the canonical form.
func (q *Quantity) String() string { return (*resource.Quantity)(q).String() }

// Cmp returns -1, 0 or 1 if q is less than, equal to or greater than other.
func (q *Quantity) Cmp(other Quantity) int {
	return (*resource.Quantity)(q).Cmp(resource.Quantity(other))
}

// Equal reports whether both quantities are the same amount.
func (q Quantity) Equal(other Quantity) bool { return q.Cmp(other) == 0 }

// IsZero reports whether the quantity is zero.
func (q *Quantity) IsZero() bool { return (*resource.Quantity)(q).IsZero() }

// MarshalJSON writes the canonical form.
func (q Quantity) MarshalJSON() ([]byte, error) { return resource.Quantity(q).MarshalJSON() }

// UnmarshalJSON reads a string or a number, in bounded time.
func (q *Quantity) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		*q = Quantity{}
		return nil
	}
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	parsed, err := ParseQuantity(text)
	if err != nil {
		return err
	}
	*q = parsed
	return nil
}

// DeepCopyInto copies the quantity.
func (q *Quantity) DeepCopyInto(out *Quantity) {
	*out = Quantity((*resource.Quantity)(q).DeepCopy())
}

// DeepCopy copies the quantity.
func (q *Quantity) DeepCopy() *Quantity {
	if q == nil {
		return nil
	}
	out := new(Quantity)
	q.DeepCopyInto(out)
	return out
}
