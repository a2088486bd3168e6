package v1alpha1_test

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestQuantities(t *testing.T) {
	tests := map[string]struct {
		text string
		want string // "" for refused
	}{
		"millis":                       {`"500m"`, `"500m"`},
		"binary":                       {`"1024Mi"`, `"1Gi"`},
		"a number":                     {`4`, `"4"`},
		"a fraction":                   {`"0.5"`, `"500m"`},
		"an exponent":                  {`"1e3"`, `"1e3"`},
		"null":                         {`null`, `"0"`},
		"the greatest exponent":        {`"1e99"`, `"1e99"`},
		"an exponent of three digits":  {`"1e100"`, ""},
		"a great exponent":             {`"1e2147483646"`, ""},
		"a great negative exponent":    {`"1e-2147483646"`, ""},
		"a fraction in the exponent":   {`"1e1.5"`, ""},
		"twenty digits":                {`"12345678901234567890"`, ""},
		"ten digits after the point":   {`"0.1234567890"`, ""},
		"a number with a big exponent": {`1e2147483646`, ""},
		"empty":                        {`""`, ""},
		"a unit alone":                 {`"Gi"`, ""},
		"an object":                    {`{}`, ""},
	}
	for name, tc := range tests {
		//security:attack tenant | writes a quantity whose exponent makes parsing or comparing it compute a giant power of ten | it is refused by its text, before it is parsed
		t.Run(name, func(t *testing.T) {
			var quantity v1alpha1.Quantity
			err := json.Unmarshal([]byte(tc.text), &quantity)
			if tc.want == "" {
				if err == nil {
					t.Fatalf("%s is the amount %s, want an error", tc.text, quantity.String())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := json.Marshal(quantity)
			if err != nil || string(encoded) != tc.want {
				t.Errorf("%s is written as %s (%v), want %s", tc.text, encoded, err, tc.want)
			}
		})
	}
}

func TestAQuantityMarshalsLikeTheCoreType(t *testing.T) {
	for _, text := range []string{"0", "1", "500m", "1024Mi", "1.5Gi", "1e3", "1E", "100n", "-3"} {
		core, err := json.Marshal(resource.MustParse(text))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := json.Marshal(v1alpha1.MustParseQuantity(text))
		if err != nil || string(ours) != string(core) {
			t.Errorf("%s is written as %s (%v), want %s", text, ours, err, core)
		}
	}
}
