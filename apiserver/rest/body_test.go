package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/apiserver/core"
)

func TestBodiesOfAllKindsHaveFields(t *testing.T) {
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
		read func() (body, error)
		want map[string]string
	}{
		"JSON":                        {func() (body, error) { return jsonBody([]byte(`{"a":"1","b":"x","A":"other"}`)) }, map[string]string{"a": "1", "b": "x", "A": "other"}},
		"JSON with a key twice":       {func() (body, error) { return jsonBody([]byte(`{"a":"1","a":"2"}`)) }, map[string]string{"a": "2"}},
		"a form":                      {func() (body, error) { return formBody([]byte(`a=1&b=x+y%C3%A4`)) }, map[string]string{"a": "1", "b": "x yä"}},
		"a form with a key twice":     {func() (body, error) { return formBody([]byte(`a=1&a=2`)) }, map[string]string{"a": "2"}},
		"a form with a file":          {func() (body, error) { return multipartBody([]byte(multipart), "X") }, map[string]string{"a": "1", "b": "def handler(event): pass"}},
		"an object without any field": {func() (body, error) { return jsonBody([]byte(` {} `)) }, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			read, err := tc.read()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for field := range read.fields {
				text, _, problem := read.text(field, 100)
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

func TestBodiesThatAreNone(t *testing.T) {
	deep := strings.Repeat(`{"a":`, maxDepth+1)
	for name, tc := range map[string]struct {
		read func() (body, error)
		want string
	}{
		"a number":               {func() (body, error) { return jsonBody([]byte("5")) }, `{"non_field_errors":["Invalid data. Expected a dictionary, but got int."]}`},
		"a float":                {func() (body, error) { return jsonBody([]byte("5.0")) }, `{"non_field_errors":["Invalid data. Expected a dictionary, but got float."]}`},
		"null":                   {func() (body, error) { return jsonBody([]byte("null")) }, `{"non_field_errors":["Invalid data. Expected a dictionary, but got NoneType."]}`},
		"text behind the object": {func() (body, error) { return jsonBody([]byte("{} x")) }, `{"detail":"JSON parse error - invalid character 'x' after top-level value at byte 4"}`},
		"only white space":       {func() (body, error) { return jsonBody([]byte("  ")) }, `{"detail":"JSON parse error - unexpected end of JSON input at byte 2"}`},
		"what is too deep":       {func() (body, error) { return jsonBody([]byte(deep)) }, `{"detail":"JSON parse error - the body is nested deeper than 200 levels"}`},
		"a form with an escape":  {func() (body, error) { return formBody([]byte("a=%zz")) }, `{"detail":"Form parse error - the body is not urlencoded."}`},
		"a form of bytes":        {func() (body, error) { return formBody([]byte("a=%ff")) }, `{"detail":"Form parse error - the field \"a\" is not UTF-8."}`},
		"too many fields":        {func() (body, error) { return formBody([]byte(strings.Repeat("a=1&", maxFields))) }, `{"detail":"The form has more than 1000 fields."}`},
		"parts without boundary": {func() (body, error) { return multipartBody([]byte("x"), "") }, `{"detail":"Multipart form parse error - Invalid boundary in multipart: None"}`},
		"parts that do not end": {func() (body, error) {
			return multipartBody([]byte("--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx"), "X")
		}, `{"detail":"Multipart form parse error - the body ends before it is complete."}`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.read()
			if err == nil {
				t.Fatal("it was taken for one")
			}
			refused := refusalOf(err)
			said, err := encodeJSON(refused.body)
			if err != nil || refused.status != http.StatusBadRequest {
				t.Errorf("status %d, %v", refused.status, err)
			}
			if diff := cmp.Diff(tc.want, string(said)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTexts(t *testing.T) {
	for data, want := range map[string]string{
		`{"f":"ok"}`:                "",
		`{"f":"12345678901"}`:       "Ensure this field has no more than 10 characters.",
		`{"f":"ääääääääää"}`:        "",
		`{"f":" \n\t "}`:            sentenceBlank,
		`{"f":""}`:                  sentenceBlank,
		`{"f":null}`:                sentenceNull,
		`{"f":1}`:                   sentenceNotText,
		`{"f":true}`:                sentenceNotText,
		`{"f":["x"]}`:               sentenceNotText,
		`{"f":{"x":1}}`:             sentenceNotText,
		`{"f":"a\u0000"}`:           sentenceNUL,
		`{"f":"\ud83d\ude00"}`:      "",
		`{"f":"\ud83d"}`:            sentenceNotText,
		`{"f":"\ude00"}`:            sentenceNotText,
		`{"f":"\\ud83d"}`:           "",
		`{"f":"\ud83d\ud83d"}`:      sentenceNotText,
		`{"g":"another, not this"}`: sentenceRequired,
	} {
		read, err := jsonBody([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, problem := read.text("f", 10); problem != want {
			t.Errorf("%s: %q, want %q", data, problem, want)
		}
	}
}

func TestUUIDs(t *testing.T) {
	const id = "8b9420da-a848-4523-a138-ddbf33007631"
	for data, want := range map[string]string{
		`{"f":"` + id + `"}`:                  "",
		`{"f":"` + strings.ToUpper(id) + `"}`: "",
		`{"f":"x"}`:                           `"x" is not a valid UUID.`,
		`{"f":5}`:                             `"5" is not a valid UUID.`,
		`{"f":null}`:                          sentenceNull,
		`{"f":""}`:                            sentenceNull,
		`{}`:                                  sentenceRequired,
	} {
		read, err := jsonBody([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		got, _, problem := read.uuid("f")
		if problem != want || problem == "" && got != id {
			t.Errorf("%s: %q %q, want %q", data, got, problem, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for data, want := range map[string]float64{`1`: 1, `0.001`: 0.001, `"2.50"`: 2.5, `1e3`: 1000, `" 7 "`: 7, `-1`: -1} {
		read, err := jsonBody([]byte(`{"f":` + data + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got, given, problem := read.number("f"); got != want || !given || problem != "" {
			t.Errorf("%s: %v %v %q", data, got, given, problem)
		}
	}
	for _, data := range []string{`"x"`, `true`, `[]`, `{}`, `"inf"`, `"nan"`, `1e999`, `"0x10"`, `"1_000"`, `""`} {
		read, err := jsonBody([]byte(`{"f":` + data + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, problem := read.number("f"); problem != sentenceNumber {
			t.Errorf("%s: %q", data, problem)
		}
	}
}

func TestTheSignatureOfAHandler(t *testing.T) {
	for code, want := range map[string]bool{
		"def handler(event): return 42":                               true,
		"import os\n\ndef  handler ( event ) :\n  pass":               true,
		"def handler(event, context=None): pass":                      true,
		"def handler(event: tuple) -> str: pass":                      true,
		"async def handler(event): pass":                              true,
		"try:\n    import x\nexcept E:\n    def handler(event): pass": true,
		"def handler(events): pass":                                   false,
		"def handler(): pass":                                         false,
		"def handle(event): pass":                                     false,
		"# def handler(event): pass":                                  false,
		"function handler(event) { return 1 }":                        false,
	} {
		if got := signatureProblem("python", code) == ""; got != want {
			t.Errorf("python %q: %v", code, got)
		}
	}
	for code, want := range map[string]bool{
		"function handler(event) { return 42 }":               true,
		"var x = 1; function handler(event){return event[0]}": true,
		"async function handler(event) {}":                    true,
		"function handler(event, x) {}":                       true,
		"const handler = (event) => 1":                        false,
		"function handlers(event) {}":                         false,
		"def handler(event): return 42":                       false,
		"my.function handler(event)":                          false,
	} {
		if got := signatureProblem("node", code) == ""; got != want {
			t.Errorf("node %q: %v", code, got)
		}
	}
}

func TestTextOfJSON(t *testing.T) {
	for _, text := range []string{"", "plain", "\"quoted\" \\ /", "\n\r\t\x00\x1f\x7f", "ä€😀", "a\u2028b\u2029", strings.Repeat("x\n", 1000)} {
		var back string
		if err := json.Unmarshal(appendText(nil, text), &back); err != nil || back != text {
			t.Errorf("%q became %s: %v", text, appendText(nil, text), err)
		}
	}
	if got := string(appendText(nil, "<ä&\xff\u2028>")); got != `"<ä&`+"\ufffd"+`\u2028>"` {
		t.Errorf("%s", got)
	}
}

// What is sent may be anything, and is never more than refused.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{`{"name":"x","code":null}`, `[1,2`, `a=1&b=%zz`, "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--X--", `{"a":"\ud800"}`, ""} {
		f.Add([]byte(seed), byte(0))
		f.Add([]byte(seed), byte(1))
		f.Add([]byte(seed), byte(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, kind byte) {
		var read body
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
			refused := refusalOf(err)
			if refused.status != http.StatusBadRequest {
				t.Errorf("status %d", refused.status)
			}
			if said, err := encodeJSON(refused.body); err != nil || !utf8.Valid(said) {
				t.Errorf("%q, %v", said, err)
			}
			return
		}
		for name := range read.fields {
			if text, _, problem := read.text(name, 100); problem == "" && !utf8.ValidString(text) {
				t.Errorf("%q is not UTF-8", text)
			}
			read.uuid(name)
			read.number(name)
		}
	})
}

// A path may be anything too.
func FuzzPaths(f *testing.F) {
	for _, seed := range []string{"/api/v1/functions/8b9420da-a848-4523-a138-ddbf33007631/", "/api/v1//", "/api/v1/functions/{x}", "/api"} {
		f.Add(seed)
	}
	api := &API{}
	api.routes = api.resources()
	f.Fuzz(func(t *testing.T, path string) {
		r := &http.Request{URL: &url.URL{Path: path}}
		c := &call{api: api, r: r}
		found, err := c.route(Prefix)
		if err != nil {
			if refused := new(refusal); !errors.As(err, &refused) || refused.status != http.StatusNotFound {
				t.Errorf("%q: %v", path, err)
			}
			return
		}
		if canonical, ok := core.CanonicalUUID(c.id); c.id != "" && c.id != noUUID && (!ok || canonical != c.id) {
			t.Errorf("%q leads to %q of %s", path, c.id, found.name)
		}
	})
}
