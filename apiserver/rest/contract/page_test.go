package contract

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestThePageIsComplete(t *testing.T) {
	doc, page := loadDocument(t), string(Page())
	shown := html.UnescapeString(page)
	plain := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, ""))
	has := func(what, code string) {
		t.Helper()
		if !strings.Contains(shown, "<code>"+code+"</code>") {
			t.Errorf("the page does not contain the %s %s", what, code)
		}
	}
	describes := func(what, text string) {
		t.Helper()
		if !strings.Contains(plain, strings.ReplaceAll(text, "`", "")) {
			t.Errorf("the page does not describe %s: %s", what, text)
		}
	}
	for path, item := range doc.Paths.Map() {
		has("path", "/api/v1"+path)
		for method, operation := range item.Operations() {
			describes(method+" "+path, operation.Summary)
			describes(method+" "+path, operation.Description)
		}
	}
	for _, schema := range doc.Components.Schemas {
		for field := range schema.Value.Properties {
			has("field", field)
		}
	}
	for _, parameter := range doc.Components.Parameters {
		has("parameter", parameter.Value.Name)
	}
	for name, response := range doc.Components.Responses {
		for header := range response.Value.Headers {
			has("header", header)
		}
		describes("the response "+name, *response.Value.Description)
	}
	for _, status := range strings.Fields("400 401 403 404 405 406 408 409 412 413 415 429 500 503") {
		if !strings.Contains(shown, `id="error-`+status+`"`) {
			t.Errorf("the page does not contain the error %s", status)
		}
	}
}

func TestThePageLoadsNothing(t *testing.T) {
	for what, pattern := range map[string]string{
		"a script":             `(?i)<script|javascript:|\son[a-z]+=`,
		"external resources":   `(?i)\ssrc=|<link|<img|<iframe|@import|url\(`,
		"external links":       `(?i)(href|action)="?[a-z]*:?//`,
		"errors of a template": `ZgotmplZ|<no value>|&lt;nil&gt;|%!`,
	} {
		if found := regexp.MustCompile(pattern).Find(Page()); found != nil {
			t.Errorf("the page contains %s: %s", what, found)
		}
	}
}

func TestLinksOfThePage(t *testing.T) {
	page := string(Page())
	var ids []string
	for _, match := range regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if slices.Contains(ids, match[1]) {
			t.Errorf("two elements have the id %s", match[1])
		}
		ids = append(ids, match[1])
	}
	links := regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 30 {
		t.Errorf("the page has only %d links", len(links))
	}
	for _, match := range links {
		if !slices.Contains(ids, match[1]) {
			t.Errorf("the target %s of a link does not exist", match[1])
		}
	}
}

func TestThePageShowsTheDialects(t *testing.T) {
	page := html.UnescapeString(string(Page()))
	for _, row := range []string{
		`<code>POST /api/v1/functions succeeds with</code></td><td class="nowrap">200</td><td class="nowrap">201</td>`,
		`<code>runtime in POST /api/v1/functions</code></td><td class="nowrap">required</td><td class="nowrap">optional</td>`,
		`<code>runtime in PUT /api/v1/functions/{uuid}</code></td><td class="nowrap">required</td><td class="nowrap">optional</td>`,
		`<code>DELETE /api/v1/functions/{uuid} succeeds with</code></td><td class="nowrap">200, {}</td><td class="nowrap">204, no body</td>`,
		`<code>POST /api/v1/runs succeeds with</code></td><td class="nowrap">200</td><td class="nowrap">201</td>`,
		`<code>DELETE /api/v1/runs/{uuid} succeeds with</code></td><td class="nowrap">200, {}</td><td class="nowrap">204, no body</td>`,
	} {
		if !strings.Contains(page, row) {
			t.Errorf("the page does not contain the row %s", row)
		}
	}
	if rows := strings.Count(page, " succeeds with</code>"); rows != 4 {
		t.Errorf("%d calls have another status with the slash, want 4", rows)
	}
}

func TestInvalidDocumentsAreNotRendered(t *testing.T) {
	for name, tc := range map[string]struct{ source, want string }{
		"invalid JSON":          {`{`, "unexpected end"},
		"no server":             {`{}`, "names no server"},
		"paths that are a list": {`{"paths": []}`, "not an object"},
		"a path of one dialect": {`{"servers": [{"url": "/x"}], "tags": [{"name": "a"}], "paths": {"/a": {}}}`, "/a has no variant with a slash"},
		"a call of one dialect": {`{"servers": [{"url": "/x"}], "tags": [{"name": "a"}], "paths": {"/a": {"get": {"tags": ["a"]}}, "/a/": {}}}`, "GET /a/ is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render([]byte(tc.source))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestTextsOfTheDocumentAreEscaped(t *testing.T) {
	page, err := render([]byte(`{"info": {"title": "<b>", "description": "a <i> and ` + "`<u>`" + `"}, "servers": [{"url": "/x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<h1>&lt;b&gt;</h1>", "a &lt;i&gt; and <code>&lt;u&gt;</code>"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not contain %s", want)
		}
	}
}
