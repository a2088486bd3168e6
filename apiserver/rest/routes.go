package rest

import (
	"net/http"
	"slices"
	"strings"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/rest/contract"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
)

// handler answers a call, or says why not. It returns nil once it has begun to answer.
type handler func(*call) error

// resource is what a path names.
type resource struct {
	name        string
	description string
	// collection and item are the handlers by method; HEAD is GET's, OPTIONS everybody's.
	collection, item map[string]handler
	// open: no credentials are needed.
	open bool
	// page: the answer is no JSON.
	page bool
}

// resources are all that there is.
func (a *API) resources() map[string]*resource {
	list := []*resource{
		{
			name: "functions", description: "Functions: code with a runtime and an image.",
			collection: map[string]handler{http.MethodGet: listFunctions, http.MethodPost: createFunction},
			item: map[string]handler{http.MethodGet: getFunction, http.MethodPut: replaceFunction,
				http.MethodPatch: patchFunction, http.MethodDelete: deleteFunction},
		},
		{
			name: "images", description: "Images that functions may use.",
			collection: map[string]handler{http.MethodGet: listImages},
			item:       map[string]handler{http.MethodGet: getImage},
		},
		{
			name: "runs", description: "Runs: a function called over a tuple of tuples.",
			collection: map[string]handler{http.MethodGet: listRuns, http.MethodPost: createRun},
			item:       map[string]handler{http.MethodGet: getRun, http.MethodDelete: deleteRun},
		},
		{
			name: "jobs", description: "Jobs: what became of each input of a run.",
			collection: map[string]handler{http.MethodGet: listJobs},
			item:       map[string]handler{http.MethodGet: getJob},
		},
		{
			name: "gpus", description: "GPU products of the cluster's nodes.",
			collection: map[string]handler{http.MethodGet: listGPUs},
			item:       map[string]handler{http.MethodGet: getGPU},
		},
		{
			name: "api-token-auth", description: "Login: a token of the cluster for itself.", open: true,
			collection: map[string]handler{http.MethodPost: login},
		},
		{
			name: "openapi.json", description: "This API as an OpenAPI 3 document.", open: true,
			collection: map[string]handler{http.MethodGet: func(c *call) error {
				c.answer(http.StatusOK, contract.JSON())
				return nil
			}},
		},
		{
			name: "docs", description: "This API as a page.", open: true, page: true,
			collection: map[string]handler{http.MethodGet: func(c *call) error {
				header := c.w.Header()
				header.Set("Content-Type", "text/html; charset=utf-8")
				header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
				_, err := patient{c}.Write(contract.Page())
				return err
			}},
		},
	}
	routes := make(map[string]*resource, len(list))
	for _, r := range list {
		routes[r.name] = r
	}
	return routes
}

// route finds what the path names. Both dialects are told apart here: a path that ends with a slash, and one that does not.
func (c *call) route(prefix string) (*resource, error) {
	path, ok := wire.ParsePath(c.r.URL.Path, prefix)
	found := c.api.routes[path.Resource]
	if !ok || found == nil || path.HasID && found.item == nil || bodies.AmbiguousPath(c.r) {
		return nil, notFound()
	}
	c.slash = path.Slash
	if path.HasID {
		c.id = path.ID
		if c.id == "" { // it names nothing: to find out more takes credentials
			c.id = noUUID
		}
	}
	return found, nil
}

// noUUID stands for what is none in a path. It is nobody's.
const noUUID = "none"

func allowed(methods map[string]handler) []string {
	list := []string{http.MethodOptions}
	for method := range methods {
		list = append(list, method)
		if method == http.MethodGet {
			list = append(list, http.MethodHead)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return slices.Index(methodOrder, a) - slices.Index(methodOrder, b) })
	return list
}

var methodOrder = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions}

// options answers what can be done with the path.
func (c *call) options(found *resource, methods map[string]handler) error {
	c.w.Header().Set("Allow", strings.Join(allowed(methods), ", "))
	body, err := encodeJSON(struct {
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Renders     []string `json:"renders"`
		Parses      []string `json:"parses"`
	}{found.name, found.description, []string{contentJSON}, []string{contentJSON, wire.ContentForm, wire.ContentMultipart}})
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, body)
	return nil
}
