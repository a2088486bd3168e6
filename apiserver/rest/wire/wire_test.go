package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/apiserver/uuids"
)

func TestFieldsOfBodies(t *testing.T) {
	multipart := strings.ReplaceAll(`--X
Content-Disposition: form-data; name="a"

1
--X
Content-Disposition: form-data; name="b"; filename="handler.py"
Content-Type: text/x-python

def handler(event): pass
--X--
`, "\n", "\r\n")
	for name, tc := range map[string]struct {
		read func() (Body, error)
		want map[string]string
	}{
		"JSON":               {func() (Body, error) { return jsonBody([]byte(`{"a":"1","b":"x","A":"other"}`)) }, map[string]string{"a": "1", "b": "x", "A": "other"}},
		"a form":             {func() (Body, error) { return formBody([]byte(`a=1&b=x+y%C3%A4`)) }, map[string]string{"a": "1", "b": "x yä"}},
		"a form with a file": {func() (Body, error) { return multipartBody([]byte(multipart), "X") }, map[string]string{"a": "1", "b": "def handler(event): pass"}},
		"an empty object":    {func() (Body, error) { return jsonBody([]byte(` {} `)) }, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			read, err := tc.read()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for field := range read.fields {
				text, _, problem := read.Text(field, 100)
				if problem != "" {
					t.Errorf("%s: %s", field, problem)
				}
				got[field] = text
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestInvalidBodies(t *testing.T) {
	deep := strings.Repeat(`{"a":`, maxDepth+1)
	var fields strings.Builder
	for i := range maxFields + 1 {
		fmt.Fprintf(&fields, `"%d":1,`, i)
	}
	manyFields := "{" + strings.TrimSuffix(fields.String(), ",") + "}"
	for name, tc := range map[string]struct {
		read func() (Body, error)
		want string
	}{
		"a number":                             {func() (Body, error) { return jsonBody([]byte("5")) }, "Invalid data. Expected a dictionary, but got int."},
		"a float":                              {func() (Body, error) { return jsonBody([]byte("5.0")) }, "Invalid data. Expected a dictionary, but got float."},
		"null":                                 {func() (Body, error) { return jsonBody([]byte("null")) }, "Invalid data. Expected a dictionary, but got NoneType."},
		"text after the object":                {func() (Body, error) { return jsonBody([]byte("{} x")) }, "JSON parse error - invalid character 'x' after top-level value at byte 4"},
		"only white space":                     {func() (Body, error) { return jsonBody([]byte("  ")) }, "JSON parse error - unexpected end of JSON input at byte 2"},
		"deep nesting":                         {func() (Body, error) { return jsonBody([]byte(deep)) }, "JSON parse error - the body is nested deeper than 64 levels"},
		"a duplicate key":                      {func() (Body, error) { return jsonBody([]byte(`{"a":"1","a":"2"}`)) }, `JSON parse error - the key "a" is given twice at byte 10`},
		"a nested duplicate key":               {func() (Body, error) { return jsonBody([]byte(`{"a":[{"b":1,"b":1}]}`)) }, `JSON parse error - the key "b" is given twice at byte 14`},
		"keys that differ in case":             {func() (Body, error) { return jsonBody([]byte(`{"name":"1","NAME":"2"}`)) }, `The fields "name" and "NAME" differ only in case: send one of them.`},
		"a number out of range":                {func() (Body, error) { return jsonBody([]byte(`{"a":[1e999]}`)) }, "JSON parse error - the number 1e999 is out of the range of floating-point numbers at byte 6"},
		"half a surrogate pair":                {func() (Body, error) { return jsonBody([]byte(`{"a":["\ud800"]}`)) }, `JSON parse error - it contains half a surrogate pair (\ud800) at byte 7`},
		"too many JSON fields":                 {func() (Body, error) { return jsonBody([]byte(manyFields)) }, "The body has more than 1000 fields."},
		"a duplicate field of a form":          {func() (Body, error) { return formBody([]byte(`a=1&b=&a=2`)) }, `Form parse error - the field "a" occurs 2 times.`},
		"fields of a form that differ in case": {func() (Body, error) { return formBody([]byte(`code=1&Code=2`)) }, `The fields "code" and "Code" differ only in case: send one of them.`},
		"a duplicate part": {func() (Body, error) {
			part := "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n"
			return multipartBody([]byte(part+part+"--X--\r\n"), "X")
		}, `Multipart form parse error - the field "a" occurs more than once.`},
		"an invalid escape":            {func() (Body, error) { return formBody([]byte("a=%zz")) }, "Form parse error - the body is not URL-encoded."},
		"a form that is not UTF-8":     {func() (Body, error) { return formBody([]byte("a=%ff")) }, "Form parse error - the field \"a\" is not UTF-8."},
		"too many fields":              {func() (Body, error) { return formBody([]byte(strings.Repeat("a=1&", maxFields))) }, "The form has more than 1000 fields."},
		"multipart without a boundary": {func() (Body, error) { return multipartBody([]byte("x"), "") }, "Multipart form parse error - Invalid boundary in multipart: None"},
		"multipart that is incomplete": {func() (Body, error) {
			return multipartBody([]byte("--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx"), "X")
		}, "Multipart form parse error - the body is incomplete."},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.read()
			if err == nil {
				t.Fatal("the body was accepted")
			}
			wrong := new(Error)
			if !errors.As(err, &wrong) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, wrong.Message); diff != "" || wrong.NonField != strings.HasPrefix(tc.want, "Invalid data.") {
				t.Errorf("non-field error %v (-want +got):\n%s", wrong.NonField, diff)
			}
		})
	}
}

func TestTextFields(t *testing.T) {
	for data, want := range map[string]string{
		`{"f":"ok"}`:                "",
		`{"f":"12345678901"}`:       "Ensure this field has no more than 10 characters.",
		`{"f":"ääääääääää"}`:        "",
		`{"f":" \n\t "}`:            MessageBlank,
		`{"f":""}`:                  MessageBlank,
		`{"f":null}`:                MessageNull,
		`{"f":1}`:                   MessageNotText,
		`{"f":true}`:                MessageNotText,
		`{"f":["x"]}`:               MessageNotText,
		`{"f":{"x":1}}`:             MessageNotText,
		`{"f":"a\u0000"}`:           MessageNUL,
		`{"f":"\ud83d\ude00"}`:      "",
		`{"f":"\ud83d"}`:            MessageNotText,
		`{"f":"\ude00"}`:            MessageNotText,
		`{"f":"\\ud83d"}`:           "",
		`{"f":"\ud83d\ud83d"}`:      MessageNotText,
		`{"g":"another, not this"}`: MessageRequired,
	} {
		read, err := jsonBody([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, problem := read.Text("f", 10); problem != want {
			t.Errorf("%s: %q, want %q", data, problem, want)
		}
	}
}

func TestUUIDFields(t *testing.T) {
	const id = "8b9420da-a848-4523-a138-ddbf33007631"
	for data, want := range map[string]string{
		`{"f":"` + id + `"}`:                  "",
		`{"f":"` + strings.ToUpper(id) + `"}`: "",
		`{"f":"x"}`:                           `"x" is not a valid UUID.`,
		`{"f":5}`:                             `"5" is not a valid UUID.`,
		`{"f":null}`:                          MessageNull,
		`{"f":""}`:                            MessageNull,
		`{}`:                                  MessageRequired,
	} {
		read, err := jsonBody([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		got, _, problem := read.UUID("f")
		if problem != want || problem == "" && got != id {
			t.Errorf("%s: %q %q, want %q", data, got, problem, want)
		}
	}
}

func TestNumericFields(t *testing.T) {
	for data, want := range map[string]float64{`1`: 1, `0.001`: 0.001, `"2.50"`: 2.5, `1e3`: 1000, `" 7 "`: 7, `-1`: -1} {
		read, err := jsonBody([]byte(`{"f":` + data + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got, given, problem := read.Number("f"); got != want || !given || problem != "" {
			t.Errorf("%s: %v %v %q", data, got, given, problem)
		}
	}
	for _, data := range []string{`"x"`, `true`, `[]`, `{}`, `"inf"`, `"nan"`, `1e999`, `"0x10"`, `"1_000"`, `""`} {
		read, err := jsonBody([]byte(`{"f":` + data + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, problem := read.Number("f"); problem != MessageNumber {
			t.Errorf("%s: %q", data, problem)
		}
	}
}

// Arbitrary bodies are decoded or refused.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{`{"name":"x","code":null}`, `[1,2`, `a=1&b=%zz`, "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--X--", `{"a":"\ud800"}`, ""} {
		f.Add([]byte(seed), byte(0))
		f.Add([]byte(seed), byte(1))
		f.Add([]byte(seed), byte(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, kind byte) {
		var read Body
		var err error
		switch kind % 3 {
		case 0:
			read, err = jsonBody(data)
		case 1:
			read, err = formBody(data)
		default:
			read, err = multipartBody(data, "X")
		}
		if err != nil {
			if wrong := new(Error); !errors.As(err, &wrong) || !utf8.ValidString(wrong.Message) {
				t.Errorf("%v", err)
			}
			return
		}
		for name := range read.fields {
			if text, _, problem := read.Text(name, 100); problem == "" && !utf8.ValidString(text) {
				t.Errorf("%q is not UTF-8", text)
			}
			read.UUID(name)
			read.Number(name)
		}
	})
}

// Arbitrary paths are parsed or refused.
func FuzzPaths(f *testing.F) {
	for _, seed := range []string{"/api/v1/functions/8b9420da-a848-4523-a138-ddbf33007631/", "/api/v1//", "/api/v1/functions/{x}", "/api"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		p, ok := ParsePath(path, "/api/v1")
		if !ok {
			return
		}
		if canonical, ok := uuids.Canonical(p.ID); p.ID != "" && (!ok || canonical != p.ID) {
			t.Errorf("%q has the id %q", path, p.ID)
		}
		if strings.Contains(p.Resource, "/") || !p.HasID && p.ID != "" {
			t.Errorf("%q is parsed as %+v", path, p)
		}
	})
}

func TestPaths(t *testing.T) {
	const id = "8b9420da-a848-4523-a138-ddbf33007631"
	for path, want := range map[string]Path{
		"/api/v1/functions":              {Resource: "functions"},
		"/api/v1/functions/":             {Resource: "functions", Slash: true},
		"/api/v1/functions/" + id:        {Resource: "functions", HasID: true, ID: id},
		"/api/v1/functions/" + id + "/":  {Resource: "functions", HasID: true, ID: id, Slash: true},
		"/api/v1/functions/" + id + "//": {Resource: "functions", HasID: true, Slash: true},
		"/api/v1/functions/x":            {Resource: "functions", HasID: true},
		"/api/v1/":                       {Slash: false},
		"/api/v1//":                      {Slash: true},
	} {
		if got, ok := ParsePath(path, "/api/v1"); !ok || got != want {
			t.Errorf("%q: %+v %v, want %+v", path, got, ok, want)
		}
	}
	for _, path := range []string{"", "/api/v1", "/api/v2/functions", "api/v1/functions", "//api/v1/functions"} {
		if got, ok := ParsePath(path, "/api/v1"); ok {
			t.Errorf("%q: %+v", path, got)
		}
	}
}

func TestParse(t *testing.T) {
	for contentType, want := range map[string]string{
		"application/json":                  "x",
		"Application/JSON; charset=utf-8":   "x",
		"application/x-www-form-urlencoded": "",
		"text/plain":                        "unsupported media type \"text/plain\"",
		"":                                  "unsupported media type \"\"",
		"///":                               "unsupported media type \"///\"",
	} {
		read, err := Parse(contentType, []byte(`{"f":"x"}`))
		if err != nil {
			if err.Error() != want {
				t.Errorf("%q: %v, want %q", contentType, err, want)
			}
			continue
		}
		if got, _, _ := read.Text("f", 10); got != want {
			t.Errorf("%q: %q, want %q", contentType, got, want)
		}
	}
	if _, err := Parse("text/plain", nil); err != nil {
		t.Errorf("an empty body: %v", err)
	}
}
