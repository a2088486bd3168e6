package contract

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
)

func loadDocument(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(JSON())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocumentIsOpenAPI31(t *testing.T) {
	doc := loadDocument(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("the document is of version %s", doc.OpenAPI)
	}
}

// All calls of the contract, with the status of a success in both dialects.
func TestEveryCallHasItsStatusInBothDialects(t *testing.T) {
	type statuses struct{ without, with string }
	same := statuses{"200", "200"}
	created, deleted := statuses{"200", "201"}, statuses{"200", "204"}
	want := map[string]statuses{
		"GET /functions": same, "POST /functions": created,
		"GET /functions/{uuid}": same, "PUT /functions/{uuid}": same, "PATCH /functions/{uuid}": same, "DELETE /functions/{uuid}": deleted,
		"GET /images": same, "GET /images/{uuid}": same,
		"GET /runs": same, "POST /runs": created, "GET /runs/{uuid}": same, "DELETE /runs/{uuid}": deleted,
		"GET /jobs": same, "GET /jobs/{uuid}": same,
		"GET /gpus": same, "GET /gpus/{uuid}": same,
		"POST /api-token-auth": same, "GET /openapi.json": same, "GET /docs": same,
	}
	got := map[string]statuses{}
	for path, item := range loadDocument(t).Paths.Map() {
		for method, operation := range item.Operations() {
			var success []string
			for status := range operation.Responses.Map() {
				if strings.HasPrefix(status, "2") {
					success = append(success, status)
				}
			}
			call := method + " " + strings.TrimSuffix(path, "/")
			entry := got[call]
			if strings.HasSuffix(path, "/") {
				entry.with = strings.Join(success, ",")
			} else {
				entry.without = strings.Join(success, ",")
			}
			got[call] = entry
		}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(statuses{})); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestObjectsHaveExactlyTheFieldsOfTheContract(t *testing.T) {
	for name, want := range map[string]string{
		"Function": "uuid current_server_time registry_path runtime num_runs updated_at created_at name code image",
		"Image": "uuid current_server_time num_installations registry_path updated_at created_at name description requires_gpu " +
			"runtime tag",
		"Run": "uuid current_server_time base_gpu_name num_jobs function_name created_at parameters bid_price function base_gpu",
		"Job": "uuid current_server_time function_name duration started_at assigned_at created_at finished_at incremental_id status " +
			"arguments cost build_logs stdout stderr result instance run",
		"GPU":   "uuid current_server_time is_available created_at name codename cuda_cores",
		"Token": "token",
	} {
		t.Run(name, func(t *testing.T) {
			object := loadDocument(t).Components.Schemas[name].Value
			fields := slices.Sorted(slices.Values(strings.Fields(want)))
			if diff := cmp.Diff(fields, slices.Sorted(maps.Keys(object.Properties))); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(fields, slices.Sorted(slices.Values(object.Required))); diff != "" {
				t.Errorf("required fields (-want +got):\n%s", diff)
			}
			if more := object.AdditionalProperties.Has; more == nil || *more {
				t.Error("an object may have other fields")
			}
			for field, schema := range object.Properties {
				if schema.Value.Description == "" || len(schema.Value.Examples) == 0 {
					t.Errorf("%s has no description or no example", field)
				}
			}
		})
	}
}

func TestBodiesRequireWhatTheDialectRequires(t *testing.T) {
	for call, want := range map[string]string{
		"POST /functions": "code image name runtime", "PUT /functions/{uuid}": "code image name runtime",
		"POST /functions/": "code image name", "PUT /functions/{uuid}/": "code image name",
		"PATCH /functions/{uuid}": "", "PATCH /functions/{uuid}/": "",
		"POST /runs": "function parameters", "POST /runs/": "function parameters",
		"POST /api-token-auth": "password username", "POST /api-token-auth/": "password username",
	} {
		t.Run(call, func(t *testing.T) {
			method, path, _ := strings.Cut(call, " ")
			body := loadDocument(t).Paths.Value(path).GetOperation(method).RequestBody.Value
			types := slices.Sorted(maps.Keys(body.Content))
			if diff := cmp.Diff([]string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}, types); diff != "" {
				t.Errorf("kinds of body (-want +got):\n%s", diff)
			}
			for kind, content := range body.Content {
				required := slices.Sorted(slices.Values(content.Schema.Value.Required))
				if got := strings.Join(required, " "); got != want {
					t.Errorf("%s requires %q, want %q", kind, got, want)
				}
			}
		})
	}
}

func TestHeadersAndParameters(t *testing.T) {
	doc := loadDocument(t)
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			var got []string
			for _, parameter := range slices.Concat(item.Parameters, operation.Parameters) {
				got = append(got, parameter.Value.Name)
			}
			if want := parametersOf(method, strings.TrimSuffix(path, "/")); !cmp.Equal(want, got) {
				t.Errorf("%s %s has the parameters %q, want %q", method, path, got, want)
			}
		}
	}
	for name, want := range map[string]string{
		"Function": "ETag", "Unauthorized": "WWW-Authenticate", "MethodNotAllowed": "Allow", "TooManyRequests": "Retry-After",
		"ServiceUnavailable": "Retry-After",
	} {
		if doc.Components.Responses[name].Value.Headers[want] == nil {
			t.Errorf("the response %s has no header %s", name, want)
		}
	}
	for name, response := range doc.Components.Responses {
		if response.Value.Headers["X-Request-Id"] == nil {
			t.Errorf("the response %s has no header X-Request-Id", name)
		}
	}
}

func parametersOf(method, path string) []string {
	var names []string
	if strings.HasSuffix(path, "{uuid}") {
		names = append(names, "uuid")
	}
	if open := path == "/api-token-auth" || path == "/openapi.json" || path == "/docs"; open {
		return []string{"X-Request-Id"}
	}
	names = append(names, "X-Sharedcloud-Namespace", "namespace", "X-Request-Id")
	switch {
	case method == "POST":
		names = append(names, "Idempotency-Key")
	case method != "GET" && path == "/functions/{uuid}":
		names = append(names, "If-Match")
	case method == "GET" && !strings.HasSuffix(path, "{uuid}"):
		switch path {
		case "/runs":
			names = append(names, "function")
		case "/jobs":
			names = append(names, "function", "run", "status")
		}
		names = append(names, "limit", "offset")
	}
	return names
}

// Wrong examples are worse than none.
func TestExamplesFitTheirSchemas(t *testing.T) {
	loaded := loadDocument(t)
	var doc document
	if err := json.Unmarshal(JSON(), &doc); err != nil {
		t.Fatal(err)
	}
	for name, own := range doc.Components.Schemas {
		if whole := doc.schema(*own); len(whole.Properties) > 0 {
			var value any
			if err := json.Unmarshal([]byte(doc.example(whole)), &value); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if err := loaded.ValidateSchemaJSON(loaded.Components.Schemas[name].Value, value); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, response := range loaded.Components.Responses {
		for kind, content := range response.Value.Content {
			values := []any{}
			if content.Example != nil {
				values = append(values, content.Example)
			}
			for _, example := range content.Examples {
				values = append(values, example.Value.Value)
			}
			for _, value := range values {
				if err := loaded.ValidateSchemaJSON(content.Schema.Value, value); err != nil {
					t.Errorf("%s as %s: %v: %v", name, kind, value, err)
				}
			}
		}
	}
}

func TestSchemasRefuseInvalidValues(t *testing.T) {
	for name, tc := range map[string]struct {
		schema string
		change map[string]any // of the example; nil removes the field
		want   string         // "allowed" if the value is valid
	}{
		"an additional field":                     {schema: "Function", change: map[string]any{"owner": "me"}},
		"a missing field":                         {schema: "Function", change: map[string]any{"code": nil}},
		"a uuid in upper case":                    {schema: "Function", change: map[string]any{"uuid": "8B9420DA-A848-4523-A138-DDBF33007631"}},
		"a date in RFC 3339":                      {schema: "Function", change: map[string]any{"created_at": "2018-10-05T14:51:12Z"}},
		"month 13":                                {schema: "Function", change: map[string]any{"created_at": "05-13-2018 14:51:12"}},
		"a fractional count":                      {schema: "Function", change: map[string]any{"num_runs": 1.5}},
		"a run's parameters as arrays":            {schema: "Run", change: map[string]any{"parameters": []any{[]any{1.0}}}},
		"a run's parameters as an object":         {schema: "Run", change: map[string]any{"parameters": map[string]any{}}},
		"money as a string":                       {schema: "Run", change: map[string]any{"bid_price": "0.001"}},
		"a cost as a string":                      {schema: "Job", change: map[string]any{"cost": "0.000"}},
		"a number as the result":                  {schema: "Job", change: map[string]any{"result": 42}},
		"an unknown status":                       {schema: "Job", change: map[string]any{"status": 6}},
		"a fractional duration":                   {schema: "Job", change: map[string]any{"duration": 0.5}},
		"a string instead of a list of errors":    {schema: "FieldErrors", change: map[string]any{"code": "This field is required."}},
		"a body without code":                     {schema: "FunctionBody", change: map[string]any{"code": nil}},
		"a body without a runtime":                {schema: "FunctionBody", change: map[string]any{"runtime": nil}},
		"a body with the slash without a runtime": {schema: "FunctionBodySlash", change: map[string]any{"runtime": nil}, want: "allowed"},
		"a change of no field":                    {schema: "FunctionFields", change: map[string]any{"code": nil, "runtime": nil, "image": nil, "name": nil, "uuid": "x"}, want: "allowed"},
		"unknown fields of a body":                {schema: "RunBody", change: map[string]any{"colour": "blue"}, want: "allowed"},
		"parameters as arrays":                    {schema: "RunBody", change: map[string]any{"parameters": []any{[]any{1.0, "a"}, []any{}}}, want: "allowed"},
		"parameters as an array of numbers":       {schema: "RunBody", change: map[string]any{"parameters": []any{1.0}}},
		"parameters as an object":                 {schema: "RunBody", change: map[string]any{"parameters": map[string]any{"a": 1.0}}},
		"parameters of a form as arrays":          {schema: "RunForm", change: map[string]any{"parameters": []any{[]any{1.0}}}},
		"a price below the minimum":               {schema: "RunBody", change: map[string]any{"bid_price": 0.0001}},
		"no price and no GPU":                     {schema: "RunBody", change: map[string]any{"bid_price": nil, "base_gpu": nil}, want: "allowed"},
		"a name of 257 characters":                {schema: "FunctionBody", change: map[string]any{"name": strings.Repeat("n", 257)}},
		"a name of 256 characters of two bytes":   {schema: "FunctionBody", change: map[string]any{"name": strings.Repeat("ä", 256)}, want: "allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			loaded := loadDocument(t)
			var doc document
			if err := json.Unmarshal(JSON(), &doc); err != nil {
				t.Fatal(err)
			}
			value := map[string]any{}
			if err := json.Unmarshal([]byte(doc.example(doc.schema(*doc.Components.Schemas[tc.schema]))), &value); err != nil {
				t.Fatal(err)
			}
			for field, changed := range tc.change {
				if changed == nil {
					delete(value, field)
				} else {
					value[field] = changed
				}
			}
			err := loaded.ValidateSchemaJSON(loaded.Components.Schemas[tc.schema].Value, value)
			if allowed := tc.want == "allowed"; allowed != (err == nil) {
				t.Errorf("%v: error %v", value, err)
			}
		})
	}
}

// Messages of the contract, on which clients rely.
func TestTheMessagesOfTheContractAreAmongTheExamples(t *testing.T) {
	for _, message := range []string{
		"This field is required.", "This field may not be blank.", "This field may not be null.", "Not a valid string.",
		`"python99" is not a valid choice.`, `"mnist" is not a valid UUID.`, `Invalid pk "`, `" - object does not exist.`,
		"Ensure this field has no more than 256 characters.", "Null characters are not allowed.", "A valid number is required.",
		"cannot be smaller than $0.001", "needs to have the following signature",
		"is unnecessary because the function is not using an image that requires GPU", "this GPU model is currently not available",
		"Please wait until they are finished", "Unable to log in with provided credentials.",
		"Invalid data. Expected a dictionary, but got list.", "JSON parse error - ",
		"Authentication credentials were not provided.", "Invalid token.", "Invalid token header. No credentials provided.",
		"Invalid token header. Token string should not contain spaces.", "You do not have permission to perform this action.",
		"Not found.", `Method "PUT" not allowed.`, `Unsupported media type "text/plain" in request.`,
	} {
		quoted, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(JSON()), string(quoted[1:len(quoted)-1])) {
			t.Errorf("no example has %s", message)
		}
	}
}

// A caller that modifies a result must not change the next one.
func TestResultsAreCopies(t *testing.T) {
	for name, get := range map[string]func() []byte{"JSON": JSON, "Page": Page} {
		want := string(get())
		clear(get())
		if string(get()) != want {
			t.Errorf("%s returns the original", name)
		}
	}
}
