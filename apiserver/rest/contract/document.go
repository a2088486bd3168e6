package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// document is the part of an OpenAPI 3.1 document that the page shows.
type document struct {
	Info struct {
		Title       string `json:"title"`
		Summary     string `json:"summary"`
		Description string `json:"description"`
	} `json:"info"`
	Servers []struct {
		URL         string `json:"url"`
		Description string `json:"description"`
	} `json:"servers"`
	Tags []struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	} `json:"tags"`
	Paths      ordered[pathItem] `json:"paths"`
	Components struct {
		SecuritySchemes ordered[described]      `json:"securitySchemes"`
		Parameters      map[string]*parameter   `json:"parameters"`
		Headers         map[string]*header      `json:"headers"`
		RequestBodies   map[string]*requestBody `json:"requestBodies"`
		Responses       ordered[response]       `json:"responses"`
		Schemas         map[string]*schema      `json:"schemas"`
	} `json:"components"`
}

type described struct {
	Description string `json:"description"`
}

type pathItem struct {
	Ref        string      `json:"$ref"`
	Parameters []parameter `json:"parameters"`
	Get        *operation  `json:"get"`
	Post       *operation  `json:"post"`
	Put        *operation  `json:"put"`
	Patch      *operation  `json:"patch"`
	Delete     *operation  `json:"delete"`
}

type operation struct {
	Tags        []string          `json:"tags"`
	Summary     string            `json:"summary"`
	Description string            `json:"description"`
	Security    *[]any            `json:"security"` // an empty list: no token required
	Parameters  []parameter       `json:"parameters"`
	RequestBody *requestBody      `json:"requestBody"`
	Responses   ordered[response] `json:"responses"`
}

type parameter struct {
	Ref         string          `json:"$ref"`
	Name        string          `json:"name"`
	In          string          `json:"in"`
	Required    bool            `json:"required"`
	Description string          `json:"description"`
	Schema      schema          `json:"schema"`
	Example     json.RawMessage `json:"example"`
}

type header struct {
	Ref         string          `json:"$ref"`
	Description string          `json:"description"`
	Schema      schema          `json:"schema"`
	Example     json.RawMessage `json:"example"`
}

type requestBody struct {
	Ref         string             `json:"$ref"`
	Description string             `json:"description"`
	Content     ordered[mediaType] `json:"content"`
}

type response struct {
	Ref         string             `json:"$ref"`
	Description string             `json:"description"`
	Headers     ordered[header]    `json:"headers"`
	Content     ordered[mediaType] `json:"content"`
}

type mediaType struct {
	Schema   schema          `json:"schema"`
	Example  json.RawMessage `json:"example"`
	Examples ordered[struct {
		Summary string          `json:"summary"`
		Value   json.RawMessage `json:"value"`
	}] `json:"examples"`
}

type schema struct {
	Ref         string            `json:"$ref"`
	Type        words             `json:"type"`
	Format      string            `json:"format"`
	Description string            `json:"description"`
	Properties  ordered[schema]   `json:"properties"`
	Required    []string          `json:"required"`
	AllOf       []schema          `json:"allOf"`
	AnyOf       []schema          `json:"anyOf"`
	OneOf       []schema          `json:"oneOf"`
	Items       *schema           `json:"items"`
	MaxLength   *int              `json:"maxLength"`
	Minimum     *json.Number      `json:"minimum"`
	Examples    []json.RawMessage `json:"examples"`
}

// words is a string or a list of strings, as in the types of JSON Schema.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		*w = make(words, 1)
		return json.Unmarshal(data, &(*w)[0])
	}
	return json.Unmarshal(data, (*[]string)(w))
}

// ordered is a JSON object that keeps the order of its members for the page.
type ordered[T any] []member[T]

type member[T any] struct {
	Key   string
	Value T
}

func (o *ordered[T]) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return fmt.Errorf("not an object: %.40s", data)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return err
		}
		next := member[T]{Key: key.(string)} // keys of JSON objects are strings
		if err := decoder.Decode(&next.Value); err != nil {
			return fmt.Errorf("%s: %w", next.Key, err)
		}
		*o = append(*o, next)
	}
	return nil
}

func (o ordered[T]) get(key string) (T, bool) {
	for _, m := range o {
		if m.Key == key {
			return m.Value, true
		}
	}
	var none T
	return none, false
}

// name returns the last segment of a reference.
func name(ref string) string {
	return ref[strings.LastIndexByte(ref, '/')+1:]
}

func (d *document) pathItem(item pathItem) pathItem {
	if item.Ref == "" {
		return item
	}
	pointer := strings.NewReplacer("~1", "/", "~0", "~").Replace(name(item.Ref))
	target, _ := d.Paths.get(pointer)
	return target
}

func (d *document) parameter(p parameter) parameter {
	if target := d.Components.Parameters[name(p.Ref)]; p.Ref != "" && target != nil {
		return *target
	}
	return p
}

func (d *document) header(h header) header {
	if target := d.Components.Headers[name(h.Ref)]; h.Ref != "" && target != nil {
		return *target
	}
	return h
}

func (d *document) requestBody(b *requestBody) *requestBody {
	if b == nil || b.Ref == "" {
		return b
	}
	return d.Components.RequestBodies[name(b.Ref)]
}

func (d *document) response(r response) response {
	if r.Ref == "" {
		return r
	}
	target, _ := d.Components.Responses.get(name(r.Ref))
	return target
}

// schema resolves a reference, keeps the members beside it, and merges the properties of allOf.
func (d *document) schema(s schema) schema {
	if target := d.Components.Schemas[name(s.Ref)]; s.Ref != "" && target != nil {
		whole := d.schema(*target)
		if s.Description != "" {
			whole.Description = s.Description
		}
		if len(s.Examples) > 0 {
			whole.Examples = s.Examples
		}
		whole.Ref = s.Ref
		return whole
	}
	for _, part := range s.AllOf {
		s.Properties = append(s.Properties, d.schema(part).Properties...)
	}
	return s
}
