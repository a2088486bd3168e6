package rest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
	"sharedcloud.io/function-operator/apiserver/writes"
)

// readers decode the body of each route, as far as possible without a cluster. Add one for each new route with a body.
var readers = map[string]func(wire.Body){
	"POST functions":      textFields("name", "code", "runtime", "image"),
	"PUT functions":       textFields("name", "code", "runtime", "image"),
	"PATCH functions":     textFields("name", "code", "runtime", "image"),
	"POST api-token-auth": textFields("username", "password"),
	"POST runs": func(b wire.Body) {
		var fields writes.RunFields
		parametersField(b, &fields, problems{})
		textFields("function", "bid_price", "base_gpu")(b)
	},
}

func textFields(names ...string) func(wire.Body) {
	return func(b wire.Body) {
		for _, name := range names {
			_, _, _ = b.Text(name, maxCode)
			_, _, _ = b.UUID(name)
			_, _, _ = b.Number(name)
		}
	}
}

// hostileBodies returns bodies of about the given size, by content type.
func hostileBodies(size int) map[string]map[string]string {
	filled := func(begin, part, end string) string {
		return begin + strings.Repeat(part, max(0, size-len(begin)-len(end))/len(part)) + end
	}
	var names, form strings.Builder
	for i := 0; names.Len() < size; i++ {
		fmt.Fprintf(&names, `"%x":1,`, i)
		fmt.Fprintf(&form, "%x=1&", i)
	}
	part := "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"
	return map[string]map[string]string{
		wire.ContentJSON: {
			"small inputs": filled(`{"parameters":[`, "[1],", `[1]]}`), "empty objects": filled(`{"parameters":[[`, "{},", `{}]]}`),
			"brackets": filled(`{"parameters":`, "[", ""), "braces": filled("", `{"a":`, ""), "escapes": filled(`{"code":"`, `\n`, `"}`),
			"numbers": filled(`{"parameters":[[`, "1,", `1]]}`), "a long number": filled(`{"bid_price":`, "9", `}`), "fields": "{" + names.String() + `"z":1}`,
			"names inside": `{"parameters":[[{` + names.String() + `"z":1}]]}`, "white space": filled(`{`, " ", `}`), "unknown": filled(`{"x":[`, "[],", `1]}`),
			"a long literal": filled(`{"parameters":"(`, `(),`, `)"}`), "a list": filled("[", "{},", "{}]"),
		},
		wire.ContentForm: {
			"fields": form.String(), "ampersands": filled("", "&", ""), "escapes": filled("code=", "%41", ""), "a long literal": filled("parameters=(", "(1,),", ")"),
			"the same field": filled("", "a=1&", "a=1"), "equals": filled("", "=", ""),
		},
		wire.ContentMultipart + "; boundary=X": {
			"parts": filled("", part, "--X--\r\n"), "boundaries": filled("", "--X\r\n", "--X--\r\n"), "headers": filled("--X\r\n", "a:b\r\n", "\r\n\r\n--X--\r\n"),
			"a long part": filled(part, "x", "\r\n--X--\r\n"), "nothing": filled("", "x", ""), "line ends": filled(part, "\r\n", "--X--\r\n"),
		},
	}
}

//security:attack tenant | A body of the maximum size, as JSON, a form or multipart, that consists of as many small parts as possible, on each route. | Memory stays within a small multiple of the bytes that were read.
func TestTheMemoryOfBodiesIsBoundedOnEachRoute(t *testing.T) {
	api := New(Config{Clock: clock.RealClock{}})
	for name, route := range api.routes {
		for _, methods := range []map[string]handler{route.collection, route.item} {
			for method := range methods {
				switch method {
				case http.MethodPost, http.MethodPut, http.MethodPatch:
				default:
					continue
				}
				read, ok := readers[method+" "+name]
				if !ok {
					t.Errorf("%s %s has no row in the table of this test", method, name)
					continue
				}
				if method == http.MethodPut || method == http.MethodPatch {
					continue // like POST
				}
				t.Run(method+" "+name, func(t *testing.T) { takesLittle(t, api, route.open, read) })
			}
		}
	}
}

func takesLittle(t *testing.T, api *API, open bool, read func(wire.Body)) {
	size := 2 << 20
	if open {
		size = maxAnonymousBody
	}
	for contentType, texts := range hostileBodies(size - 100) {
		for name, text := range texts {
			c := &call{api: api, w: httptest.NewRecorder(), r: httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(text)), namespace: "space"}
			c.r.Header.Set("Content-Type", contentType)
			if !open {
				c.caller = &user.DefaultInfo{Name: "alice"}
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			body, _, err := c.readBody()
			if err == nil {
				read(body)
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 20*uint64(len(text))+1<<20 {
				t.Errorf("%s, %s: %d bytes were allocated for %d (%v)", contentType, name, used, len(text), err)
			}
			if refused := (*refusal)(nil); errors.As(err, &refused) && refused.status >= http.StatusTooManyRequests {
				t.Errorf("%s, %s: %v", contentType, name, err)
			}
			if c.charge != nil {
				c.charge.Close()
			}
		}
	}
	for _, budget := range []*bodies.Budget{api.limits.bodies, api.limits.anonymousBodies} {
		if used := budget.Used(); used != 0 {
			t.Errorf("%d bytes are still charged after the last body", used)
		}
	}
}

//security:attack anonymous | A body of more than 64 KiB without credentials, or many at once from one address. | It is refused with 413 or 429, and callers with credentials are not affected.
func TestAnonymousBodiesHaveASeparateBudget(t *testing.T) {
	api := New(Config{Clock: clock.RealClock{}})
	read := func(size int, caller user.Info) (*call, error) {
		c := &call{api: api, w: httptest.NewRecorder(), r: httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("username="+strings.Repeat("x", size-9)))}
		c.r.Header.Set("Content-Type", wire.ContentForm)
		c.caller = caller
		_, _, err := c.readBody()
		return c, err
	}
	if _, err := read(maxAnonymousBody, nil); err != nil {
		t.Errorf("a body of the maximum size: %v", err)
	}
	if _, err := read(maxAnonymousBody+1, nil); !errors.As(err, new(*http.MaxBytesError)) {
		t.Errorf("one byte more: %v", err)
	}
	var open []*call
	var err error
	for err == nil && len(open) < 100 {
		var c *call
		if c, err = read(maxAnonymousBody, nil); err == nil {
			open = append(open, c)
		}
	}
	if refused := (*refusal)(nil); !errors.As(err, &refused) || refused.status != http.StatusTooManyRequests || refused.retryAfter == 0 {
		t.Errorf("after %d bodies of one address: %v", len(open), err)
	}
	if _, err := read(maxBody, &user.DefaultInfo{Name: "alice"}); err != nil {
		t.Errorf("a caller with credentials: %v", err)
	}
	for _, c := range open {
		c.charge.Close()
	}
}

func FuzzListedInputs(f *testing.F) {
	for _, seed := range []string{`[[1, 2.0, "a"], []]`, `[[12345678901234567890]]`, `[null]`, `[[{"a":[1e2,null]}]]`, `[["\ud83d\ude00\u0000'\""], [-0.0]]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		asJSON, literal, problem := listed(t, list, "python311")
		if given := asJSON != "" || literal != ""; given && problem != "" || asJSON != "" && literal != "" {
			t.Errorf("%q %q %q", asJSON, literal, problem)
		}
	})
}
