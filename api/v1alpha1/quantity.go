package v1alpha1

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Quantity is an amount of a resource, as resource.Quantity has it ("500m", "2Gi", 4), of bounded size.
//
// resource.Quantity itself takes exponents of ten digits, and computes the power of ten when it parses, compares, rounds or
// prints. So the text is checked before it is parsed: at most 18 digits before the point and 9 after it, and an exponent
// of at most two digits.
//
// +kubebuilder:ac:generate=false
// +kubebuilder:validation:XIntOrString
// +kubebuilder:validation:MaxLength=34
// +kubebuilder:validation:Pattern=`^[+-]?(([0-9]{1,18}(\.[0-9]{0,9})?)|(\.[0-9]{1,9}))(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]{1,2}))?$`
type Quantity resource.Quantity

// quantityForm is the pattern of the schema, once more: objects from before it are stored, and so are revisions, which have
// no schema. A JSON number may have more digits than its text would be given.
var quantityForm = regexp.MustCompile(`^[+-]?(([0-9]{1,19}(\.[0-9]{0,9})?)|(\.[0-9]{1,9}))(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]{1,2}))?$`)

const maxQuantityText = 34

// ParseQuantity parses an amount in bounded time.
func ParseQuantity(text string) (Quantity, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxQuantityText || !quantityForm.MatchString(text) {
		return Quantity{}, fmt.Errorf("%q is not an amount of a resource: write one such as 500m, 2Gi or 1e3, with at most 18 digits before the point, 9 after it and 2 in the exponent", excerpt([]byte(text)))
	}
	parsed, err := resource.ParseQuantity(text)
	if err != nil {
		return Quantity{}, fmt.Errorf("%q is not an amount of a resource: %w", text, err)
	}
	return Quantity(parsed), nil
}

// MustParseQuantity is ParseQuantity of a constant. It panics where that is no amount.
func MustParseQuantity(text string) Quantity {
	quantity, err := ParseQuantity(text)
	if err != nil {
		panic(err)
	}
	return quantity
}

// Amount is the quantity as other types have it.
func (q *Quantity) Amount() resource.Quantity { return (*resource.Quantity)(q).DeepCopy() }

// String is its canonical form.
func (q *Quantity) String() string { return (*resource.Quantity)(q).String() }

// Cmp returns -1, 0 or 1 where q is less than, the same as or more than other.
func (q *Quantity) Cmp(other Quantity) int {
	return (*resource.Quantity)(q).Cmp(resource.Quantity(other))
}

// Equal says whether both are the same amount.
func (q Quantity) Equal(other Quantity) bool { return q.Cmp(other) == 0 }

// IsZero says whether the amount is zero.
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

// DeepCopyInto copies the amount.
func (q *Quantity) DeepCopyInto(out *Quantity) {
	*out = Quantity((*resource.Quantity)(q).DeepCopy())
}

// DeepCopy copies the amount.
func (q *Quantity) DeepCopy() *Quantity {
	if q == nil {
		return nil
	}
	out := new(Quantity)
	q.DeepCopyInto(out)
	return out
}
