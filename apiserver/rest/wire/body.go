package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
	"unicode/utf8"
)

// The content types of bodies.
const (
	ContentJSON      = "application/json"
	ContentForm      = "application/x-www-form-urlencoded"
	ContentMultipart = "multipart/form-data"
)

const (
	// maxFields is how many fields a form may have.
	maxFields = 1000
	// maxDepth is how deep JSON may be nested.
	maxDepth = 200
)

// Error says what is wrong with a body as a whole. 400.
type Error struct {
	Sentence string
	// OfNoField: it is told among the fields, as that of none.
	OfNoField bool
}

func (e *Error) Error() string { return e.Sentence }

// MediaTypeError says that the body is of none of the three kinds. 415.
type MediaTypeError struct{ Given string }

func (e *MediaTypeError) Error() string { return fmt.Sprintf("unsupported media type %q", e.Given) }

func problem(format string, args ...any) error { return &Error{Sentence: fmt.Sprintf(format, args...)} }

// Body is a request's body: fields, whatever it was written in.
type Body struct {
	fields map[string]Value
	// form: every value is text.
	form bool
}

// Value is the value of one field: JSON, or the text of a form's field.
type Value struct {
	JSON json.RawMessage
	text string
}

// Parse reads a body. One of no bytes has no fields, whatever its type.
func Parse(contentType string, data []byte) (Body, error) {
	if len(data) == 0 {
		return Body{}, nil
	}
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = ""
	}
	switch media {
	case ContentJSON:
		return jsonBody(data)
	case ContentForm:
		return formBody(data)
	case ContentMultipart:
		return multipartBody(data, parameters["boundary"])
	}
	return Body{}, &MediaTypeError{Given: contentType}
}

// List returns the JSON of a field that is an array.
func (b Body) List(name string) (json.RawMessage, bool) {
	v, ok := b.fields[name]
	if !ok || b.form || kindOf(v.JSON) != "list" {
		return nil, false
	}
	return v.JSON, true
}

func jsonBody(data []byte) (Body, error) {
	wrong := func(format string, args ...any) error {
		return problem("JSON parse error - "+format, args...)
	}
	if !utf8.Valid(data) {
		return Body{}, wrong("the body is not UTF-8")
	}
	if deeper(data, maxDepth) {
		return Body{}, wrong("the body is nested deeper than %d levels", maxDepth)
	}
	if !json.Valid(data) {
		var nothing any
		err := json.Unmarshal(data, &nothing)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return Body{}, wrong("%s at byte %d", syntax.Error(), syntax.Offset)
		}
		return Body{}, wrong("the body is no JSON")
	}
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if kind := kindOf(trimmed); kind != "dict" {
		return Body{}, &Error{OfNoField: true, Sentence: fmt.Sprintf("Invalid data. Expected a dictionary, but got %s.", kind)}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(trimmed, &fields); err != nil {
		return Body{}, wrong("the body is no object of JSON")
	}
	read := Body{fields: make(map[string]Value, len(fields))}
	for name, raw := range fields {
		read.fields[name] = Value{JSON: raw}
	}
	return read, nil
}

// kindOf is what the framework of 2018 calls a value of JSON.
func kindOf(data []byte) string {
	switch data[0] {
	case '{':
		return "dict"
	case '[':
		return "list"
	case '"':
		return "str"
	case 't', 'f':
		return "bool"
	case 'n':
		return "NoneType"
	}
	if bytes.ContainsAny(data, ".eE") {
		return "float"
	}
	return "int"
}

// deeper says whether JSON is nested deeper than that.
func deeper(data []byte, most int) bool {
	depth, inText := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '[' || c == '{':
			if depth++; depth > most {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

func formBody(data []byte) (Body, error) {
	if bytes.Count(data, []byte("&")) >= maxFields {
		return Body{}, problem("The form has more than %d fields.", maxFields)
	}
	values, err := url.ParseQuery(string(data))
	if err != nil {
		return Body{}, problem("Form parse error - the body is not urlencoded.")
	}
	read := Body{fields: make(map[string]Value, len(values)), form: true}
	for name, all := range values {
		// The last of several counts.
		if text := all[len(all)-1]; utf8.ValidString(text) {
			read.fields[name] = Value{text: text}
		} else {
			return Body{}, problem("Form parse error - the field %q is not UTF-8.", Cut(strings.ToValidUTF8(name, "?"), 60))
		}
	}
	return read, nil
}

func multipartBody(data []byte, boundary string) (Body, error) {
	if boundary == "" {
		return Body{}, problem("Multipart form parse error - Invalid boundary in multipart: None")
	}
	read := Body{fields: map[string]Value{}, form: true}
	parts := multipart.NewReader(bytes.NewReader(data), boundary)
	for count := 0; ; count++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return read, nil
		}
		if err != nil || count >= maxFields {
			return Body{}, problem("Multipart form parse error - the body is not a form of at most %d fields.", maxFields)
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return Body{}, problem("Multipart form parse error - the body ends before it is complete.")
		}
		name := part.FormName()
		if !utf8.Valid(text) {
			return Body{}, problem("Multipart form parse error - the field %q is not UTF-8.", Cut(strings.ToValidUTF8(name, "?"), 60))
		}
		// A file is text all the same: code is sent as one.
		if name != "" {
			read.fields[name] = Value{text: string(text)}
		}
	}
}
