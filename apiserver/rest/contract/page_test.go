package contract

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPageHoldsEveryPathFieldParameterHeaderAndSentence(t *testing.T) {
	doc, page := loadDocument(t), string(Page())
	shown := html.UnescapeString(page)
	plain := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, ""))
	has := func(what, code string) {
		t.Helper()
		if !strings.Contains(shown, "<code>"+code+"</code>") {
			t.Errorf("the page lacks the %s %s", what, code)
		}
	}
	says := func(what, sentence string) {
		t.Helper()
		if !strings.Contains(plain, strings.ReplaceAll(sentence, "`", "")) {
			t.Errorf("the page does not say what %s is: %s", what, sentence)
		}
	}
	for path, item := range doc.Paths.Map() {
		has("path", "/api/v1"+path)
		for method, operation := range item.Operations() {
			says(method+" "+path, operation.Summary)
			says(method+" "+path, operation.Description)
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
		says("the answer "+name, *response.Value.Description)
	}
	for _, status := range strings.Fields("400 401 403 404 405 406 408 409 412 413 415 429 500 503") {
		if !strings.Contains(shown, `id="error-`+status+`"`) {
			t.Errorf("the page lacks the error %s", status)
		}
	}
}

func TestPageNeedsNothingElse(t *testing.T) {
	for what, pattern := range map[string]string{
		"a script":                            `(?i)<script|javascript:|\son[a-z]+=`,
		"something to load":                   `(?i)\ssrc=|<link|<img|<iframe|@import|url\(`,
		"an address elsewhere":                `(?i)(href|action)="?[a-z]*:?//`,
		"what a template says where it fails": `ZgotmplZ|<no value>|&lt;nil&gt;|%!`,
	} {
		if found := regexp.MustCompile(pattern).Find(Page()); found != nil {
			t.Errorf("the page has %s: %s", what, found)
		}
	}
}

func TestPageLinksLeadSomewhere(t *testing.T) {
	page := string(Page())
	var ids []string
	for _, match := range regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if slices.Contains(ids, match[1]) {
			t.Errorf("two places are called %s", match[1])
		}
		ids = append(ids, match[1])
	}
	links := regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 30 {
		t.Errorf("the page has only %d links", len(links))
	}
	for _, match := range links {
		if !slices.Contains(ids, match[1]) {
			t.Errorf("a link leads to %s, which is not there", match[1])
		}
	}
}

func TestPageTellsTheDialectsApart(t *testing.T) {
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
			t.Errorf("the page lacks the row %s", row)
		}
	}
	if rows := strings.Count(page, " succeeds with</code>"); rows != 4 {
		t.Errorf("%d calls succeed with another status, want 4", rows)
	}
}

func TestWhatIsNoDocumentIsNotRendered(t *testing.T) {
	for name, tc := range map[string]struct{ source, want string }{
		"no JSON":               {`{`, "unexpected end"},
		"no server":             {`{}`, "names no server"},
		"paths that are a list": {`{"paths": []}`, "not an object"},
		"a path of one dialect": {`{"servers": [{"url": "/x"}], "tags": [{"name": "a"}], "paths": {"/a": {}}}`, "/a lacks its sibling"},
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

func TestWhatTheDocumentSaysIsEscaped(t *testing.T) {
	page, err := render([]byte(`{"info": {"title": "<b>", "description": "a <i> and ` + "`<u>`" + `"}, "servers": [{"url": "/x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<h1>&lt;b&gt;</h1>", "a &lt;i&gt; and <code>&lt;u&gt;</code>"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}
