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

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/strictjson"
)

// Content types of bodies.
const (
	ContentJSON      = "application/json"
	ContentForm      = "application/x-www-form-urlencoded"
	ContentMultipart = "multipart/form-data"
)

const (
	// maxFields is the maximum number of fields of a body.
	maxFields = 1000
	// maxDepth is the maximum nesting of JSON.
	maxDepth = strictjson.MaxDepth
)

// Error is an error of a body as a whole. 400.
type Error struct {
	Message string
	// NonField: the response has it under non_field_errors.
	NonField bool
}

func (e *Error) Error() string { return e.Message }

// MediaTypeError means that the content type is not supported. 415.
type MediaTypeError struct{ Given string }

func (e *MediaTypeError) Error() string { return fmt.Sprintf("unsupported media type %q", e.Given) }

func problem(format string, args ...any) error { return &Error{Message: fmt.Sprintf(format, args...)} }

// Body has the fields of a request's body, independent of its content type.
type Body struct {
	fields map[string]Value
	// form: all values are text.
	form bool
}

// Value is the value of a field: JSON, or the text of a form field.
type Value struct {
	JSON json.RawMessage
	text string
}

// Parse reads a body. An empty body has no fields, whatever its content type.
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
	if !utf8.Valid(data) {
		return Body{}, problem("JSON parse error - the body is not UTF-8")
	}
	decoder := strictjson.NewDecoder(data, strictjson.Options{})
	if kind := decoder.Peek(); kind != '{' {
		return Body{}, noObject(data)
	}
	read := Body{fields: map[string]Value{}}
	err := decoder.Object(func(name []byte) error {
		if len(read.fields) == maxFields {
			return problem("The body has more than %d fields.", maxFields)
		}
		// Strings and numbers are validated by the accessor of the field.
		value := decoder.Opaque
		if kind := decoder.Peek(); kind == '{' || kind == '[' {
			value = decoder.Raw
		}
		raw, err := value()
		read.fields[string(name)] = Value{JSON: raw}
		return err
	})
	if err == nil {
		err = decoder.End()
	}
	if err == nil {
		err = read.rejectCaseVariants()
	}
	return read, jsonProblem(err)
}

// noObject returns the error of a body that is not a JSON object.
func noObject(data []byte) error {
	if err := strictjson.Check(data); err != nil {
		return jsonProblem(err)
	}
	kind := kindOf(bytes.TrimLeft(data, " \t\r\n"))
	return &Error{NonField: true, Message: fmt.Sprintf("Invalid data. Expected a dictionary, but got %s.", kind)}
}

// jsonProblem converts an error of the decoder.
func jsonProblem(err error) error {
	var wrong *strictjson.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Deep:
		return problem("JSON parse error - the body is nested deeper than %d levels", maxDepth)
	case errors.As(err, &wrong):
		return problem("JSON parse error - %s at byte %d", wrong.Message, wrong.Offset)
	}
	return err
}

// contractFields are the fields that this API reads.
var contractFields = []string{"name", "code", "runtime", "image", "function", "parameters", "bid_price", "base_gpu", "username", "password"}

// rejectCaseVariants refuses a field of the API beside another that differs only in case: a proxy or a client library could confuse them.
func (b Body) rejectCaseVariants() error {
	for name := range b.fields {
		for _, known := range contractFields {
			if name == known || len(name) > 2*len(known) || !strings.EqualFold(name, known) {
				continue
			}
			if _, ok := b.fields[known]; ok {
				return problem("The fields %q and %q differ only in case: send one of them.", known, name)
			}
		}
	}
	return nil
}

// kindOf returns the name of a JSON value's type in the framework of 2018.
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

func formBody(data []byte) (Body, error) {
	if bytes.Count(data, []byte("&")) >= maxFields {
		return Body{}, problem("The form has more than %d fields.", maxFields)
	}
	values, err := url.ParseQuery(string(data))
	if err != nil {
		return Body{}, problem("Form parse error - the body is not URL-encoded.")
	}
	read := Body{fields: make(map[string]Value, len(values)), form: true}
	for name, all := range values {
		shown := printable.Cut(strings.ToValidUTF8(name, "?"), 60)
		switch text := all[0]; {
		case len(all) > 1:
			return Body{}, problem("Form parse error - the field %q occurs %d times.", shown, len(all))
		case !utf8.ValidString(text):
			return Body{}, problem("Form parse error - the field %q is not UTF-8.", shown)
		default:
			read.fields[name] = Value{text: text}
		}
	}
	return read, read.rejectCaseVariants()
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
			return read, read.rejectCaseVariants()
		}
		if err != nil || count >= maxFields {
			return Body{}, problem("Multipart form parse error - the body is not a form of at most %d fields.", maxFields)
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return Body{}, problem("Multipart form parse error - the body is incomplete.")
		}
		name := part.FormName()
		if !utf8.Valid(text) || !utf8.ValidString(name) {
			return Body{}, problem("Multipart form parse error - the field %q is not UTF-8.", printable.Cut(strings.ToValidUTF8(name, "?"), 60))
		}
		if _, twice := read.fields[name]; twice {
			return Body{}, problem("Multipart form parse error - the field %q occurs more than once.", printable.Cut(name, 60))
		}
		// A file is accepted as text: clients send code as a file.
		if name != "" {
			read.fields[name] = Value{text: string(text)}
		}
	}
}
