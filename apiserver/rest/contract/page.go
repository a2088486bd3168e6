package contract

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"prose": prose}).Parse(pageHTML))

// The data of the template.
type (
	pageView struct {
		*document
		Base     string
		Dialects []dialectView
		Common   []fieldView // headers of nearly all calls
		Sections []sectionView
		Errors   []errorView
	}
	// dialectView is a difference between the dialects.
	dialectView struct{ What, Without, With string }
	sectionView struct {
		Name, Description string
		Endpoints         []*endpointView
		Objects           []objectView
	}
	endpointView struct {
		ID, Method, Path     string
		Summary, Description string
		Public               bool
		Parameters           []fieldView
		BodyTypes            []string
		Body                 []fieldView
		BodyExample          string
		Answers              []answerView
		Errors               []answerView
	}
	objectView struct {
		ID, Name, Description string
		Fields                []fieldView
		Example               string
	}
	fieldView struct{ Name, Kind, Needed, Meaning, Example string }
	// answerView is a status. Which is its dialect, if it is only in one.
	answerView struct {
		Status, Which, Meaning string
		Error                  bool
		Object                 *objectLink
		Headers                []string
	}
	objectLink struct {
		ID, Name string
		List     bool
	}
	errorView struct {
		ID, Status, Title, Meaning string
		Body                       string // the only example, if there are no named ones
		Headers                    []fieldView
		Examples                   []exampleView
	}
	exampleView struct{ Summary, Value string }
)

// Shown once instead of with every call: parameters by the names of their components, and a header of all responses.
var sharedHeaders = []string{"Namespace", "RequestId"}

const requestIDHeader = "X-Request-Id"

func render(source []byte) ([]byte, error) {
	var doc document
	if err := json.Unmarshal(source, &doc); err != nil {
		return nil, err
	}
	view, err := viewOf(&doc)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, view); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func viewOf(doc *document) (*pageView, error) {
	if len(doc.Servers) == 0 {
		return nil, fmt.Errorf("the document names no server")
	}
	view := &pageView{document: doc, Base: doc.Servers[0].URL}
	for _, shared := range sharedHeaders {
		if header := doc.Components.Parameters[shared]; header != nil {
			view.Common = append(view.Common, doc.parameterField(*header))
		}
	}
	statuses := map[string]string{} // of errors, by the name of their component
	for _, tag := range doc.Tags {
		section := sectionView{Name: tag.Name, Description: tag.Description}
		for _, path := range doc.Paths {
			if strings.HasSuffix(path.Key, "/") {
				continue // shown with the same path without the slash
			}
			slashed, found := doc.Paths.get(path.Key + "/")
			if !found {
				return nil, fmt.Errorf("the path %s has no variant with a slash", path.Key)
			}
			item, other := doc.pathItem(path.Value), doc.pathItem(slashed)
			theirs := other.operations()
			for i, operation := range item.operations() {
				if operation.Value == nil || !slices.Contains(operation.Value.Tags, tag.Name) {
					continue
				}
				if theirs[i].Value == nil {
					return nil, fmt.Errorf("%s %s/ is missing", operation.Key, path.Key)
				}
				pair := pairOf{doc: doc, method: operation.Key, path: view.Base + path.Key, common: item.Parameters, without: operation.Value, with: theirs[i].Value}
				section.Endpoints = append(section.Endpoints, pair.endpoint(statuses))
				section.Objects = append(section.Objects, pair.objects(section.Objects)...)
				view.Dialects = append(view.Dialects, pair.dialects()...)
			}
		}
		view.Sections = append(view.Sections, section)
	}
	for _, r := range doc.Components.Responses {
		if !isError(r.Value) {
			continue
		}
		status := statuses[r.Key]
		if status == "" {
			status = statusNamed(r.Key) // an error of the path, not of an operation
		}
		view.Errors = append(view.Errors, doc.errorOf(status, r.Value))
	}
	slices.SortStableFunc(view.Errors, func(a, b errorView) int { return strings.Compare(a.Status, b.Status) })
	return view, nil
}

func (item pathItem) operations() ordered[*operation] {
	return ordered[*operation]{
		{http.MethodGet, item.Get}, {http.MethodPost, item.Post}, {http.MethodPut, item.Put}, {http.MethodPatch, item.Patch},
		{http.MethodDelete, item.Delete},
	}
}

// pairOf is one operation in both dialects.
type pairOf struct {
	doc           *document
	method, path  string
	common        []parameter
	without, with *operation
}

func (p pairOf) endpoint(statuses map[string]string) *endpointView {
	endpoint := &endpointView{
		ID:     strings.ToLower(p.method) + strings.NewReplacer("/", "-", "{", "", "}", "").Replace(p.path),
		Method: p.method, Path: p.path, Summary: p.without.Summary, Description: p.without.Description,
		Public: p.without.Security != nil && len(*p.without.Security) == 0,
	}
	for _, given := range slices.Concat(p.common, p.without.Parameters) {
		if !slices.Contains(sharedHeaders, name(given.Ref)) {
			endpoint.Parameters = append(endpoint.Parameters, p.doc.parameterField(p.doc.parameter(given)))
		}
	}
	if body := p.doc.requestBody(p.without.RequestBody); body != nil {
		for _, content := range body.Content {
			endpoint.BodyTypes = append(endpoint.BodyTypes, content.Key)
		}
		without, with := p.bodies()
		endpoint.BodyExample = p.doc.example(without)
		for _, property := range without.Properties {
			field := p.doc.field(property.Key, property.Value)
			field.Needed = needed(slices.Contains(without.Required, property.Key), slices.Contains(with.Required, property.Key))
			endpoint.Body = append(endpoint.Body, field)
		}
	}
	for _, answer := range p.answers(statuses) {
		if answer.Error {
			endpoint.Errors = append(endpoint.Errors, answer)
		} else {
			endpoint.Answers = append(endpoint.Answers, answer)
		}
	}
	return endpoint
}

func needed(without, with bool) string {
	switch {
	case without && with:
		return "required"
	case without:
		return "required; optional with the slash"
	case with:
		return "optional; required with the slash"
	}
	return "optional"
}

// bodies returns the JSON schemas of both request bodies.
func (p pairOf) bodies() (without, with schema) {
	bodyOf := func(o *operation) schema {
		if body := p.doc.requestBody(o.RequestBody); body != nil && len(body.Content) > 0 {
			return p.doc.schema(body.Content[0].Value.Schema)
		}
		return schema{}
	}
	return bodyOf(p.without), bodyOf(p.with)
}

func (p pairOf) answers(statuses map[string]string) []answerView {
	var answers []answerView
	add := func(r member[response], which string) {
		resolved := p.doc.response(r.Value)
		answer := answerView{Status: r.Key, Which: which, Meaning: resolved.Description, Error: isError(resolved), Object: p.doc.objectIn(resolved)}
		if answer.Error {
			statuses[name(r.Value.Ref)] = r.Key
		}
		for _, header := range resolved.Headers {
			if header.Key != requestIDHeader {
				answer.Headers = append(answer.Headers, header.Key)
			}
		}
		answers = append(answers, answer)
	}
	for _, r := range p.without.Responses {
		if theirs, found := p.with.Responses.get(r.Key); found && theirs.Ref == r.Value.Ref {
			add(r, "")
		} else {
			add(r, "without the slash")
		}
	}
	for _, r := range p.with.Responses {
		if ours, found := p.without.Responses.get(r.Key); !found || ours.Ref != r.Value.Ref {
			add(r, "with the slash")
		}
	}
	slices.SortStableFunc(answers, func(a, b answerView) int { return strings.Compare(a.Status, b.Status) })
	return answers
}

// dialects returns the rows of the table of differences: statuses of a success, and required fields.
func (p pairOf) dialects() []dialectView {
	var rows []dialectView
	call := p.method + " " + p.path
	success := func(o *operation) string {
		for _, r := range o.Responses {
			if resolved := p.doc.response(r.Value); !isError(resolved) {
				switch {
				case len(resolved.Content) == 0:
					return r.Key + ", no body"
				case p.doc.objectIn(resolved) == nil:
					return r.Key + ", {}"
				}
				return r.Key
			}
		}
		return ""
	}
	if without, with := success(p.without), success(p.with); without != with {
		rows = append(rows, dialectView{call + " succeeds with", without, with})
	}
	without, with := p.bodies()
	for _, property := range without.Properties {
		before, after := slices.Contains(without.Required, property.Key), slices.Contains(with.Required, property.Key)
		if before != after {
			rows = append(rows, dialectView{property.Key + " in " + call, needed(before, before), needed(after, after)})
		}
	}
	return rows
}

// objects returns the objects in the responses that are not shown yet.
func (p pairOf) objects(shown []objectView) []objectView {
	var objects []objectView
	for _, r := range p.without.Responses {
		link := p.doc.objectIn(p.doc.response(r.Value))
		if link == nil || slices.ContainsFunc(slices.Concat(shown, objects), func(o objectView) bool { return o.ID == link.ID }) {
			continue
		}
		whole := p.doc.schema(schema{Ref: "/" + link.Name})
		object := objectView{ID: link.ID, Name: link.Name, Description: whole.Description, Example: p.doc.example(whole)}
		for _, property := range whole.Properties {
			object.Fields = append(object.Fields, p.doc.field(property.Key, property.Value))
		}
		objects = append(objects, object)
	}
	return objects
}

// objectIn returns the object of a successful response, single or in a list.
func (d *document) objectIn(r response) *objectLink {
	if isError(r) || len(r.Content) == 0 {
		return nil
	}
	content := r.Content[0].Value.Schema
	list := content.Items != nil
	if list {
		content = *content.Items
	}
	if content.Ref == "" || len(d.schema(content).Properties) == 0 {
		return nil
	}
	return &objectLink{ID: "object-" + strings.ToLower(name(content.Ref)), Name: name(content.Ref), List: list}
}
