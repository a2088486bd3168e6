package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"
)

const (
	contentForm      = "application/x-www-form-urlencoded"
	contentMultipart = "multipart/form-data"
	// maxFields is how many fields a form may have.
	maxFields = 1000
	// maxDepth is how deep JSON may be nested.
	maxDepth = 200
)

// body is a request's body: fields, whatever it was written in.
type body struct {
	fields map[string]value
	// form: every value is text.
	form bool
}

// value is the value of one field: JSON, or the text of a form's field.
type value struct {
	json json.RawMessage
	text string
}

// readBody reads a body of any of the three kinds. No body is one without fields.
func (c *call) readBody() (body, []byte, error) {
	if !acquire(c.api.limits.bodies, c.r.ContentLength) {
		return body{}, nil, later(http.StatusTooManyRequests, retrySoon, "Too many bodies are being read at the moment: try again.")
	}
	defer release(c.api.limits.bodies, c.r.ContentLength)
	data, err := io.ReadAll(c.r.Body)
	switch {
	case err == nil:
	case errors.As(err, new(*http.MaxBytesError)):
		c.w.Header().Set("Connection", "close")
		return body{}, nil, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.w.Header().Set("Connection", "close")
		return body{}, nil, refuse(http.StatusRequestTimeout, "The body did not arrive within %d seconds.", int(readPatience.Seconds()))
	default:
		return body{}, nil, refuse(http.StatusBadRequest, "The body cannot be read: it ends before it is complete, or is no body of HTTP.")
	}
	if len(data) == 0 {
		return body{fields: map[string]value{}}, data, nil
	}
	given := c.r.Header.Get("Content-Type")
	media, parameters, err := mime.ParseMediaType(given)
	if err != nil {
		media = ""
	}
	var read body
	switch media {
	case contentJSON:
		read, err = jsonBody(data)
	case contentForm:
		read, err = formBody(data)
	case contentMultipart:
		read, err = multipartBody(data, parameters["boundary"])
	default:
		err = refuse(http.StatusUnsupportedMediaType, "Unsupported media type %q in request.", cut(given, 100))
	}
	return read, data, err
}

func jsonBody(data []byte) (body, error) {
	problem := func(format string, args ...any) error {
		return refuse(http.StatusBadRequest, "JSON parse error - "+format, args...)
	}
	if !utf8.Valid(data) {
		return body{}, problem("the body is not UTF-8")
	}
	if deeper(data, maxDepth) {
		return body{}, problem("the body is nested deeper than %d levels", maxDepth)
	}
	if !json.Valid(data) {
		var nothing any
		err := json.Unmarshal(data, &nothing)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return body{}, problem("%s at byte %d", syntax.Error(), syntax.Offset)
		}
		return body{}, problem("the body is no JSON")
	}
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if kind := kindOf(trimmed); kind != "dict" {
		return body{}, &refusal{status: http.StatusBadRequest, body: map[string][]string{
			"non_field_errors": {fmt.Sprintf("Invalid data. Expected a dictionary, but got %s.", kind)}}}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(trimmed, &fields); err != nil {
		return body{}, problem("the body is no object of JSON")
	}
	read := body{fields: make(map[string]value, len(fields))}
	for name, raw := range fields {
		read.fields[name] = value{json: raw}
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

func formBody(data []byte) (body, error) {
	if bytes.Count(data, []byte("&")) >= maxFields {
		return body{}, refuse(http.StatusBadRequest, "The form has more than %d fields.", maxFields)
	}
	values, err := url.ParseQuery(string(data))
	if err != nil {
		return body{}, refuse(http.StatusBadRequest, "Form parse error - the body is not urlencoded.")
	}
	read := body{fields: make(map[string]value, len(values)), form: true}
	for name, all := range values {
		// The last of several counts.
		if text := all[len(all)-1]; utf8.ValidString(text) {
			read.fields[name] = value{text: text}
		} else {
			return body{}, refuse(http.StatusBadRequest, "Form parse error - the field %q is not UTF-8.", cut(strings.ToValidUTF8(name, "?"), 60))
		}
	}
	return read, nil
}

func multipartBody(data []byte, boundary string) (body, error) {
	if boundary == "" {
		return body{}, refuse(http.StatusBadRequest, "Multipart form parse error - Invalid boundary in multipart: None")
	}
	read := body{fields: map[string]value{}, form: true}
	parts := multipart.NewReader(bytes.NewReader(data), boundary)
	for count := 0; ; count++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return read, nil
		}
		if err != nil || count >= maxFields {
			return body{}, refuse(http.StatusBadRequest, "Multipart form parse error - the body is not a form of at most %d fields.", maxFields)
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return body{}, refuse(http.StatusBadRequest, "Multipart form parse error - the body ends before it is complete.")
		}
		name := part.FormName()
		if !utf8.Valid(text) {
			return body{}, refuse(http.StatusBadRequest, "Multipart form parse error - the field %q is not UTF-8.", cut(strings.ToValidUTF8(name, "?"), 60))
		}
		// A file is text all the same: code is sent as one.
		if name != "" {
			read.fields[name] = value{text: string(text)}
		}
	}
}
