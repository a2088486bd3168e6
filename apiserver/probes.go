package apiserver

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/identity"
)

// The health paths. Without credentials the response is only ok or not ok.
var probePaths = []string{"/healthz", "/livez", "/readyz"}

// probePath reports whether the path is a health path, or below one.
func probePath(path string) bool {
	for _, probe := range probePaths {
		if path == probe || strings.HasPrefix(path, probe+"/") {
			return true
		}
	}
	return false
}

// probe answers a health request with ok or not ok. Callers with the right to get the paths below it, which the ClusterRole
// system:monitoring includes, read the state of each check and its error.
func (c *chain) probe(w http.ResponseWriter, r *http.Request, next http.Handler, authenticate authenticator.Request, config *genericapiserver.Config) {
	// Before the concurrency limit: a body that does not arrive must not delay the probes of the kubelet.
	if r = c.unusedBodies.discard(w, r, nil); r == nil {
		return
	}
	release, err := c.probes.Enter(connections.Source(r), "")
	if err != nil {
		refuse(w, r, http.StatusTooManyRequests, err.Error())
		return
	}
	defer release()
	if strings.Count(r.URL.Path, "/") > 1 { // one check: the generic server authorizes its path
		c.identify(w, r, next, authenticate, config)
		return
	}
	verbose := c.mayReadChecks(r, authenticate, config)
	answer := &captured{header: http.Header{}}
	c.identify(answer, r, next, authenticate, config)
	body := answer.body.String()
	switch {
	case answer.status == http.StatusUnauthorized || answer.status == http.StatusForbidden || answer.status == http.StatusTooManyRequests:
		for name, values := range answer.header {
			w.Header()[name] = values
		}
	case verbose && (answer.status != http.StatusOK || r.URL.Query().Has("verbose")):
		body = c.withReasons(r, body)
	case answer.status == http.StatusOK:
		body = "ok"
	default:
		body = "not ok"
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(answer.status)
	_, _ = w.Write([]byte(body))
}

// mayReadChecks reports whether the caller may read the state of the checks.
func (c *chain) mayReadChecks(r *http.Request, authenticate authenticator.Request, config *genericapiserver.Config) bool {
	if r.Header.Get("Authorization") == "" && (r.TLS == nil || len(r.TLS.PeerCertificates) == 0) {
		return false
	}
	ctx, _ := identity.WithAttempt(r.Context())
	response, ok, err := authenticate.AuthenticateRequest(r.Clone(ctx))
	if err != nil || !ok || response.User.GetName() == user.Anonymous {
		return false
	}
	decision, _, err := config.Authorization.Authorizer.Authorize(r.Context(), authorizer.AttributesRecord{
		User: response.User, Verb: "get", Path: r.URL.Path + "/verbose",
	})
	return err == nil && decision == authorizer.DecisionAllow
}

// withReasons adds the errors of failed checks, which the library withholds.
func (c *chain) withReasons(r *http.Request, body string) string {
	for name, check := range c.reasons {
		withheld := fmt.Sprintf("[-]%s failed: reason withheld\n", name)
		if err := check(r); err != nil {
			body = strings.ReplaceAll(body, withheld, fmt.Sprintf("[-]%s failed: %v\n", name, err))
		}
	}
	return body
}

// captured records a response instead of sending it.
type captured struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (c *captured) Header() http.Header { return c.header }

// WriteHeader implements http.ResponseWriter.
func (c *captured) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
}

// Write implements http.ResponseWriter.
func (c *captured) Write(data []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	return c.body.Write(data)
}
