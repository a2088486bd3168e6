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

// subresources reaches the API server's subresources: through the cluster's own API, or at the facade where the cluster has
// no aggregated API. The paths are the same.
type subresources struct {
	client    *http.Client
	base      string
	namespace string
	// facade says that it is the facade.
	facade bool
}

// reach connects to the cluster and finds the way to the API server.
func (o *options) reach(ctx context.Context) (*cluster, *subresources, error) {
	c, err := o.connect()
	if err != nil {
		return nil, nil, err
	}
	s, err := c.subresources(ctx)
	return c, s, err
}

// subresources finds the way to the API server.
func (c *cluster) subresources(ctx context.Context) (*subresources, error) {
	if c.o.facade != "" {
		return c.atFacade(c.o.facade)
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
		return through, nil // what else is wrong, the call itself is told
	}
	if address := os.Getenv("SHAREDCLOUD_URL"); address != "" {
		if !strings.HasPrefix(address, "https://") {
			return nil, usageError("SHAREDCLOUD_URL is %q; it must begin with https://: credentials are shown to nobody in the clear", address)
		}
		return c.atFacade(address)
	}
	if status == http.StatusServiceUnavailable {
		return nil, clusterError("the operator's API server does not answer behind the cluster's API (APIService v1alpha1.subresources.sharedcloud.io): look at `kubectl function doctor`, or give the address of its facade by --facade")
	}
	return nil, clusterError("this cluster has no aggregated API subresources.sharedcloud.io, which results, logs and runs need: install the operator, or give the address of its API server by --facade https://… (or SHAREDCLOUD_URL)")
}

func (c *cluster) atFacade(address string) (*subresources, error) {
	config, err := c.facadeConfig(strings.TrimRight(address, "/"))
	if err != nil {
		return nil, err
	}
	return newSubresources(config, c.namespace, true)
}

func newSubresources(config *rest.Config, namespace string, facade bool) (*subresources, error) {
	config = rest.CopyConfig(config)
	config.Timeout = 0 // answers are streams
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, usageError("the server's address cannot be used: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, usageError("the credentials cannot be used: %w", err)
	}
	return &subresources{client: client, base: strings.TrimRight(base.String(), "/"), namespace: namespace, facade: facade}, nil
}

// installed is the status with which the group's discovery answers.
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

// call asks one subresource. The caller closes the body of the answer, which is a success; anything else is an error of the API.
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
	return nil, answered(response, resource, name)
}

// answered reads an answer that is no success.
func answered(response *http.Response, resource, name string) error {
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
