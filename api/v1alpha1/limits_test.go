package v1alpha1_test

import (
	"os"
	"path/filepath"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// unlimited lists the fields without a limit and the reason.
var unlimited = map[string]string{
	"apiVersion": "the API server's own",
	"kind":       "the API server's own",
}

// TestEveryFieldHasALimit walks the schemas that are installed.
//
//security:attack tenant | writes numbers, texts, lists and maps of any size into each field of the custom resources | each has a maximum in the schema
func TestEveryFieldHasALimit(t *testing.T) {
	paths, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil || len(paths) != 3 {
		t.Fatalf("found the definitions %v (%v), want 3", paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			t.Fatal(err)
		}
		for _, version := range crd.Spec.Versions {
			if count := limited(t, crd.Spec.Names.Kind, "", version.Schema.OpenAPIV3Schema); count < 10 {
				t.Errorf("%s has only %d fields: the walk is incomplete", path, count)
			}
		}
	}
}

// limited returns the number of fields that it has checked.
func limited(t *testing.T, kind, path string, schema *apiextensionsv1.JSONSchemaProps) int {
	t.Helper()
	count := 1
	missing := func(what string) {
		if unlimited[path] == "" {
			t.Errorf("%s.%s has no %s", kind, path, what)
		}
	}
	switch {
	case schema.XIntOrString:
		if schema.MaxLength == nil || schema.Pattern == "" && len(schema.AllOf) == 0 {
			missing("maxLength and pattern")
		}
	case schema.Type == "integer" || schema.Type == "number":
		if schema.Maximum == nil || schema.Minimum == nil {
			missing("minimum and maximum")
		}
	case schema.Type == "string":
		if schema.MaxLength == nil && len(schema.Enum) == 0 && schema.Format != "date-time" {
			missing("maxLength")
		}
	case schema.Type == "array":
		if schema.MaxItems == nil {
			missing("maxItems")
		}
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		count += limited(t, kind, path+"[]", schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		if schema.MaxProperties == nil {
			missing("maxProperties")
		}
		count += limited(t, kind, path+"{}", schema.AdditionalProperties.Schema)
	}
	for name := range schema.Properties {
		property := schema.Properties[name]
		below := name
		if path != "" {
			below = path + "." + name
		}
		count += limited(t, kind, below, &property)
	}
	return count
}
