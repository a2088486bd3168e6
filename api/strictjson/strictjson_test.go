package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheck(t *testing.T) {
	nested := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	many := func(count int, more string) string {
		var b strings.Builder
		for i := range count {
			fmt.Fprintf(&b, `"k%d":%d,`, i, i)
		}
		return "{" + b.String() + more + "}"
	}
	for name, tc := range map[string]struct{ text, want string }{
		"an object":                                {`{"a":[1,-2.5e3,true,false,null,"x"],"b":{}} `, ""},
		"a scalar":                                 {` "x" `, ""},
		"a long integer":                           {strings.Repeat("9", 5000), ""},
		"a long fraction":                          {"0." + strings.Repeat("9", 5000), ""},
		"a number that underflows":                 {"1e-999", ""},
		"names that differ by case":                {`{"a":1,"A":2}`, ""},
		"equal names in different objects":         {`[{"a":1},{"a":{"a":2}}]`, ""},
		"a surrogate pair":                         {`"\ud83d\ude00"`, ""},
		"a NUL, which is reached unchanged":        {`"\u0000"`, ""},
		"as deep as allowed":                       {nested(64), ""},
		"many names":                               {many(10000, `"z":1`), ""},
		"nothing":                                  {"", "unexpected end of JSON input"},
		"white space":                              {"  ", "unexpected end of JSON input"},
		"an end in the middle":                     {`{"a":[1,`, "unexpected end of JSON input"},
		"two values":                               {"1 2", "invalid character '2' after top-level value"},
		"a comma too many":                         {"[1,]", "invalid character ']' looking for beginning of value"},
		"a leading zero":                           {"01", "invalid character '1' after top-level value"},
		"a control character":                      {"\"\n\"", "invalid character '\\n' in string literal"},
		"an unknown escape":                        {`"\x"`, "invalid character 'x' in string escape code"},
		"the same name twice":                      {`{"a":1,"b":2,"a":3}`, `the key "a" is given twice`},
		"the same name twice, once with an escape": {`{"a":1,"\u0061":3}`, `the key "a" is given twice`},
		"the same name twice, deep inside":         {`[{"x":[{"b":{},"b":1}]}]`, `the key "b" is given twice`},
		"the same name twice among many":           {many(10000, `"k77":1`), `the key "k77" is given twice`},
		"one level too many":                       {nested(65), "it exceeds the maximum depth: it is nested deeper than 64 levels"},
		"ten thousand levels":                      {nested(10001), "it exceeds the maximum depth: it is nested deeper than 64 levels"},
		"a million levels that do not end":         {strings.Repeat(`{"a":`, 1e6), "it exceeds the maximum depth: it is nested deeper than 64 levels"},
		"a number beyond floats":                   {"[1e999]", "the number 1e999 is out of the range of floating-point numbers"},
		"a long number beyond floats":              {strings.Repeat("9", 400) + ".5", "the number " + strings.Repeat("9", 40) + " is out of the range of floating-point numbers"},
		"bytes that are not UTF-8":                 {"\"\xff\"", "it is not UTF-8"},
		"an encoded surrogate":                     {"\"\xed\xa0\x80\"", "it is not UTF-8"},
		"the high half of a pair":                  {`"\ud800"`, `it contains half a surrogate pair (\ud800)`},
		"the low half of a pair":                   {`"\udc00x"`, `it contains half a surrogate pair (\udc00)`},
		"two high halves":                          {`"\ud800\ud800"`, `it contains half a surrogate pair (\ud800)`},
		"half a pair in a name":                    {`{"\ud800":1}`, `it contains half a surrogate pair (\ud800)`},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := Check([]byte(tc.text)); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestOpaqueValuesAreUnchanged(t *testing.T) {
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	for _, text := range []string{`{"a":1,"a":2}`, `"\ud800"`, "1e999", deep, `{"a":  1.50}`} {
		d := NewDecoder([]byte(" "+text+" "), Options{})
		got, err := d.Opaque()
		if err != nil || string(got) != text || d.End() != nil {
			t.Errorf("%.40s became %.40s, %v", text, got, err)
		}
	}
	for _, text := range []string{"\"\xff\"", "[1", "{1:2}", strings.Repeat("[", 10001) + strings.Repeat("]", 10001)} {
		if _, err := NewDecoder([]byte(text), Options{}).Opaque(); err == nil {
			t.Errorf("%.40s was accepted", text)
		}
	}
}

func TestValuesHaveTheTypeOfTheirField(t *testing.T) {
	read := func(text string) error {
		d := NewDecoder([]byte(text), Options{FoldNames: true})
		return d.Object(func(name []byte) (err error) {
			switch string(name) {
			case "int":
				_, err = d.Int()
			case "int32":
				_, err = d.Int32()
			case "bool":
				_, err = d.Bool()
			case "string":
				_, err = d.String()
			case "bytes":
				_, err = d.Base64()
			case "list":
				err = d.Array(func(int) error {
					return d.Object(func([]byte) error {
						_, err := d.Int()
						return err
					})
				})
			default:
				err = d.Skip()
			}
			return err
		})
	}
	for text, want := range map[string]string{
		`{"int":-12,"int32":7,"bool":true,"string":"a\u00e4\n\ud83d\ude00","bytes":"aGk\u003d","list":[{"a":1},{}]}`: "",
		`{"int":9223372036854775807}`:            "",
		`{"int":9223372036854775808}`:            `the field "int" cannot be a JSON number 9223372036854775808`,
		`{"int":1.5}`:                            `the field "int" cannot be a JSON number 1.5`,
		`{"int":"1"}`:                            `the field "int" cannot be a JSON string`,
		`{"int":{}}`:                             `the field "int" cannot be a JSON object`,
		`{"int":01}`:                             "invalid character '1' after object key:value pair",
		`{"int32":2147483648}`:                   `the field "int32" cannot be a JSON number 2147483648`,
		`{"bool":0}`:                             `the field "bool" cannot be a JSON number 0`,
		`{"bool":trve}`:                          "invalid character 'v' in literal true (expecting 'u')",
		`{"string":[{"a":1,"a":2}]}`:             `the key "a" is given twice (keys are not case-sensitive)`,
		`{"string":[]}`:                          `the field "string" cannot be a JSON array`,
		`{"bytes":"a"}`:                          "illegal base64 data at input byte 0",
		`{"list":[{"a":1},{"b":true}]}`:          `the field "list.b" cannot be a JSON bool`,
		`{"list":[{"a":1,"A":1}]}`:               `the key "A" is given twice (keys are not case-sensitive)`,
		`{"int":1,"INT":1}`:                      `the key "INT" is given twice (keys are not case-sensitive)`,
		"{\"\u017ftring\":\"\",\"string\":\"\"}": `the key "string" is given twice (keys are not case-sensitive)`,
		`{"list":[`:                              "unexpected end of JSON input",
		`{"int" 1}`:                              "invalid character '1' after object key",
		`{int:1}`:                                "invalid character 'i' looking for beginning of object key string",
		`[]`:                                     `the field "" cannot be a JSON array`,
	} {
		got := ""
		if err := read(text); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// Validation needs memory only for the names of open objects.
func TestMemoryIsASmallMultipleOfTheText(t *testing.T) {
	var names bytes.Buffer
	names.WriteByte('{')
	for i := range 200_000 {
		fmt.Fprintf(&names, `"%x":1,`, i)
	}
	names.WriteString(`"z":1}`)
	for name, text := range map[string][]byte{
		"empty objects": []byte("[" + strings.Repeat("{},", 1<<20) + "{}]"),
		"small arrays":  []byte("[" + strings.Repeat("[1],", 1<<20) + "1]"),
		"small objects": []byte("[" + strings.Repeat(`{"a":1},`, 1<<18) + "1]"),
		"one string":    []byte(`"` + strings.Repeat(`\n`, 1<<20) + `"`),
		"many names":    names.Bytes(),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := Check(text); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 10*uint64(len(text)) {
				t.Errorf("%d bytes were allocated for a text of %d", used, len(text))
			}
		})
	}
}

// Every accepted text is valid JSON for encoding/json, and Opaque accepts exactly the texts that are JSON in UTF-8.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-2.5e3,true,null,"x\n"],"b":{}}`, `{"a":1,"a":2}`, `"\ud800"`, `[[`, "1e999", "\"\xff\"", `{"\u0061":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		valid := json.Valid(data) && utf8.Valid(data)
		d := NewDecoder(data, Options{})
		_, err := d.Opaque()
		if err == nil {
			err = d.End()
		}
		if (err == nil) != valid {
			t.Fatalf("opaque: %v, but valid is %v", err, valid)
		}
		err = Check(data)
		if err == nil && !valid {
			t.Fatal("a text that is not JSON was accepted")
		}
		var wrong *Error
		if err != nil && (!errors.As(err, &wrong) || valid && wrong.Syntax || !utf8.ValidString(err.Error())) {
			t.Fatalf("valid is %v: %v", valid, err)
		}
		if valid {
			var text string
			if lossy, err := NewDecoder(data, Options{}).Lossy(); err == nil && (json.Unmarshal(data, &text) != nil || lossy != text) {
				t.Fatalf("%q, want %q", lossy, text)
			}
		}
		if err == nil {
			var text string
			if json.Unmarshal(data, &text) == nil && data[0] == '"' {
				got, err := NewDecoder(data, Options{}).String()
				if err != nil || got != text {
					t.Fatalf("%q, want %q", got, text)
				}
			}
		}
	})
}
