package rest

import (
	"net/http"
	"slices"
	"strings"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/rest/contract"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
)

// handler answers a call or returns an error. After it has begun to answer, it returns nil.
type handler func(*call) error

// resource is the resource of a path.
type resource struct {
	name        string
	description string
	// collection and item are the handlers by method. HEAD uses GET's; OPTIONS is handled for all.
	collection, item map[string]handler
	// open: credentials are not required.
	open bool
	// page: the response is not JSON.
	page bool
}

// resources returns all resources.
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
			name: "runs", description: "Runs: calls of a function for each tuple of a tuple of tuples.",
			collection: map[string]handler{http.MethodGet: listRuns, http.MethodPost: createRun},
			item:       map[string]handler{http.MethodGet: getRun, http.MethodDelete: deleteRun},
		},
		{
			name: "jobs", description: "Jobs: the outcome of each input of a run.",
			collection: map[string]handler{http.MethodGet: listJobs},
			item:       map[string]handler{http.MethodGet: getJob},
		},
		{
			name: "gpus", description: "GPU products of the cluster's nodes.",
			collection: map[string]handler{http.MethodGet: listGPUs},
			item:       map[string]handler{http.MethodGet: getGPU},
		},
		{
			name: "api-token-auth", description: "Login: validates a token of the cluster.", open: true,
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
				_, err := timedWriter{c}.Write(contract.Page())
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

// route finds the resource of the path, and selects the dialect: paths with and without a trailing slash.
func (c *call) route(prefix string) (*resource, error) {
	path, ok := wire.ParsePath(c.r.URL.Path, prefix)
	found := c.api.routes[path.Resource]
	if !ok || found == nil || path.HasID && found.item == nil || bodies.AmbiguousPath(c.r) {
		return nil, notFound()
	}
	c.slash = path.Slash
	if path.HasID {
		c.id = path.ID
		if c.id == "" { // an invalid uuid is answered after authentication
			c.id = noUUID
		}
	}
	return found, nil
}

// noUUID replaces an invalid uuid in a path. No object has it.
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

// options answers OPTIONS.
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
