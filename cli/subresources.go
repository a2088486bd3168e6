package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

const subresourcesPath = "/apis/subresources.sharedcloud.io/v1alpha1"

// subresources is a client of the operator's subresources, through the cluster's aggregated API or directly at the operator's API
// server. The paths are the same.
type subresources struct {
	client    *http.Client
	base      string
	namespace string
	// direct reports whether requests go directly to the operator's API server.
	direct bool
}

// reach connects to the cluster and to the subresources.
func (o *options) reach(ctx context.Context) (*cluster, *subresources, error) {
	c, err := o.connect()
	if err != nil {
		return nil, nil, err
	}
	s, err := c.subresources(ctx)
	return c, s, err
}

// subresources selects how to reach the subresources.
func (c *cluster) subresources(ctx context.Context) (*subresources, error) {
	if c.o.serverURL != "" {
		return c.directSubresources(c.o.serverURL)
	}
	through, err := newSubresources(c.config, c.namespace, false)
	if err != nil {
		return nil, err
	}
	status, err := through.installed(ctx)
	switch {
	case err != nil:
		return nil, err
	case status != http.StatusNotFound && status != http.StatusServiceUnavailable:
		return through, nil // other errors occur again in the request itself
	}
	if address := os.Getenv("SHAREDCLOUD_URL"); address != "" {
		if !strings.HasPrefix(address, "https://") {
			return nil, usageError("SHAREDCLOUD_URL is %q; it must be an https:// address, because requests carry credentials", address)
		}
		return c.directSubresources(address)
	}
	if status == http.StatusServiceUnavailable {
		return nil, clusterError("the operator's API server is not available through the cluster's API (APIService v1alpha1.subresources.sharedcloud.io): run `kubectl function doctor`, or pass the address of the operator's API server with --functions-server")
	}
	return nil, clusterError("this cluster has no aggregated API subresources.sharedcloud.io, which runs, results and logs require: install the operator, or pass the address of its API server with --functions-server https://… (or SHAREDCLOUD_URL)")
}

func (c *cluster) directSubresources(address string) (*subresources, error) {
	config, err := c.directConfig(strings.TrimRight(address, "/"))
	if err != nil {
		return nil, err
	}
	return newSubresources(config, c.namespace, true)
}

func newSubresources(config *rest.Config, namespace string, direct bool) (*subresources, error) {
	config = rest.CopyConfig(config)
	config.Timeout = 0 // responses are streams
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, usageError("the server's address is not valid: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, usageError("the credentials are not valid: %w", err)
	}
	return &subresources{client: client, base: strings.TrimRight(base.String(), "/"), namespace: namespace, direct: direct}, nil
}

// installed is the HTTP status of the discovery of the API group.
func (s *subresources) installed(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+subresourcesPath, nil)
	if err != nil {
		return 0, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, response.Body.Close()
}

// call sends a request to a subresource. The caller closes the body of the response. A status other than success is an API error.
func (s *subresources) call(ctx context.Context, method, resource, name, subresource string, query url.Values, body io.Reader) (*http.Response, error) {
	address := s.base + subresourcesPath + "/namespaces/" + url.PathEscape(s.namespace) + "/" + resource + "/" + url.PathEscape(name) + "/" + subresource
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 200 && response.StatusCode < 300 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	return nil, responseError(response, resource, name)
}

// responseError is the error in a response.
func responseError(response *http.Response, resource, name string) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	var status metav1.Status
	if json.Unmarshal(text, &status) == nil && status.Kind == "Status" && status.Message != "" {
		status.Code = int32(response.StatusCode)
		return &apierrors.StatusError{ErrStatus: status}
	}
	message := strings.TrimSpace(string(text))
	if len(message) > 300 {
		message = message[:300] + "…"
	}
	err := apierrors.NewGenericServerResponse(response.StatusCode, response.Request.Method,
		schema.GroupResource{Group: "sharedcloud.io", Resource: resource}, name, message, 0, true)
	if response.StatusCode == http.StatusUnauthorized {
		err.ErrStatus.Message = fmt.Sprintf("the server %s does not accept the credentials", response.Request.URL.Host)
	}
	return err
}
