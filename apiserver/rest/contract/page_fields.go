package contract

import (
	"bytes"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// isError reports whether the response describes an error.
func isError(r response) bool {
	if len(r.Content) == 0 {
		return false
	}
	content := r.Content[0].Value.Schema
	refs := []string{name(content.Ref)}
	for _, one := range content.OneOf {
		refs = append(refs, name(one.Ref))
	}
	return slices.Contains(refs, "Detail")
}

// statusNamed returns the status for which a component is named: "MethodNotAllowed" is 405.
func statusNamed(component string) string {
	for code := http.StatusBadRequest; code < 600; code++ {
		if strings.ReplaceAll(http.StatusText(code), " ", "") == component {
			return strconv.Itoa(code)
		}
	}
	return ""
}

func (d *document) errorOf(status string, r response) errorView {
	code, _ := strconv.Atoi(status)
	view := errorView{ID: "error-" + status, Status: status, Title: http.StatusText(code), Meaning: r.Description}
	for _, h := range r.Headers {
		if h.Key == requestIDHeader {
			continue
		}
		resolved := d.header(h.Value)
		field := d.field(h.Key, resolved.Schema)
		field.Meaning, field.Example = resolved.Description, text(resolved.Example)
		view.Headers = append(view.Headers, field)
	}
	content := r.Content[0].Value
	view.Body = compact(content.Example)
	for _, example := range content.Examples {
		view.Examples = append(view.Examples, exampleView{example.Value.Summary, compact(example.Value.Value)})
	}
	return view
}

// parameterField returns a field with the parameter's location instead of whether it is required.
func (d *document) parameterField(p parameter) fieldView {
	field := d.field(p.Name, p.Schema)
	field.Meaning, field.Example, field.Needed = p.Description, text(p.Example), p.In
	return field
}

func (d *document) field(key string, given schema) fieldView {
	whole := d.schema(given)
	field := fieldView{Name: key, Kind: d.kind(whole), Meaning: whole.Description}
	if len(whole.Examples) > 0 {
		field.Example = text(whole.Examples[0])
	}
	return field
}

// kind describes the type of a value: "string, at most 256 characters".
func (d *document) kind(s schema) string {
	var kind string
	switch {
	case len(s.AnyOf) > 0:
		var kinds []string
		for _, one := range s.AnyOf {
			kinds = append(kinds, d.kind(d.schema(one)))
		}
		return strings.Join(kinds, "; or ")
	case s.Items != nil && len(d.schema(*s.Items).Type) > 0:
		return "array of " + d.kind(d.schema(*s.Items)) + "s"
	case s.Format == "uuid":
		return strings.Replace(strings.Join(s.Type, " or "), "string", "UUID", 1)
	case name(s.Ref) == "Date":
		return "date"
	case name(s.Ref) == "DateOrNull":
		return "date or null"
	default:
		kind = strings.Join(s.Type, " or ")
	}
	if s.MaxLength != nil {
		kind += ", at most " + strconv.Itoa(*s.MaxLength) + " characters"
	}
	if s.Minimum != nil && s.Minimum.String() != "0" {
		kind += ", at least " + s.Minimum.String()
	}
	return kind
}

// example returns an object with the examples of its fields, in their order.
func (d *document) example(s schema) string {
	var out bytes.Buffer
	out.WriteString("{")
	for i, property := range s.Properties {
		value := json.RawMessage("null")
		if examples := d.schema(property.Value).Examples; len(examples) > 0 {
			value = examples[0]
		}
		if i > 0 {
			out.WriteString(",")
		}
		out.WriteString("\n  " + strconv.Quote(property.Key) + ": ")
		out.Write(value)
	}
	out.WriteString("\n}")
	return out.String()
}

// text returns a JSON value for a table: a string without its quotes, unless it is empty.
func text(value json.RawMessage) string {
	var s string
	if err := json.Unmarshal(value, &s); err != nil || s == "" {
		return string(value)
	}
	return s
}

// compact returns the value as the server encodes it.
func compact(value json.RawMessage) string {
	var out bytes.Buffer
	_ = json.Compact(&out, value) // it was decoded, so it is valid JSON or empty
	return out.String()
}

// prose formats text in backticks as code.
func prose(markdown string) template.HTML {
	var out strings.Builder
	for i, part := range strings.Split(markdown, "`") {
		if i%2 == 1 {
			out.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
		} else {
			out.WriteString(template.HTMLEscapeString(part))
		}
	}
	return template.HTML(out.String()) // all parts are escaped
}
